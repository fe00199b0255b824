/**
 * Tells administrators by mail (`alerts.mail_to`): alerts of a while in one mail, through the outbox. Never a loop: the null sender, no
 * notice of failure asked for, and what becomes of such a mail is no alert. What waits is in memory: a killed process has it in its log.
 * Source: RFC 3834 §5 (Auto-Submitted).
 */
import { randomUUID } from "node:crypto";
import { parseMailAddress } from "../core/envelope.ts";
import { messageOf } from "../core/errors.ts";
import type { AdminAlert } from "../core/ports/alerts.ts";
import type { Log } from "../core/ports/log.ts";
import type { Outbox } from "../core/ports/outbox.ts";
import { encodeHeaderValue, rfc5322Date } from "./prefix.ts";

/** Between two mails: what comes meanwhile goes into the next. */
export const ALERT_MAIL_PAUSE_MS = 300_000;
/** Different alerts in one mail; the others are counted. */
export const MAX_ALERTS_PER_MAIL = 50;
/** Characters of one alert. */
const MAX_TEXT = 500;

export interface AlertMailOptions {
  readonly outbox: Pick<Outbox, "queue">;
  /** `alerts.mail_to` now in effect. */
  readonly to: () => readonly string[];
  readonly hostname: string;
  readonly log: Pick<Log, "warn">;
  readonly now: () => Date;
  /** Milliseconds that only go up. */
  readonly steady: () => number;
}

interface Pending {
  readonly alert: AdminAlert;
  readonly first: Date;
  count: number;
}

export class AlertMail {
  readonly #options: AlertMailOptions;
  #pending = new Map<string, Pending>();
  /** That found no room. */
  #others = 0;
  #lastAt: number | undefined;

  constructor(options: AlertMailOptions) {
    this.#options = options;
  }

  /** Waits for nothing, never throws. */
  add(alert: AdminAlert): void {
    if (this.#options.to().length === 0) return;
    const key = JSON.stringify([alert.kind, alert.plugin, alert.hook, alert.text]);
    const known = this.#pending.get(key);
    if (known !== undefined) known.count += 1;
    else if (this.#pending.size >= MAX_ALERTS_PER_MAIL) this.#others += 1;
    else this.#pending.set(key, { alert, first: this.#options.now(), count: 1 });
  }

  /** Send what waits, unless a mail went a short while ago. @param force  the service stops. Never rejects. */
  async flush(force = false): Promise<void> {
    const { outbox, to, log, steady } = this.#options;
    const isSoon = this.#lastAt !== undefined && steady() - this.#lastAt < ALERT_MAIL_PAUSE_MS;
    const recipients = to();
    if (this.#pending.size === 0 || recipients.length === 0 || (isSoon && !force)) return;
    const pending = this.#pending;
    const others = this.#others;
    this.#pending = new Map();
    this.#others = 0;
    try {
      await outbox.queue({
        purpose: "alert",
        mailFrom: "",
        recipients: recipients.map(one => ({ address: parseMailAddress(one), notify: ["NEVER"] })),
        content: { kind: "bytes", bytes: this.#text(recipients, [...pending.values()], others) },
      });
      this.#lastAt = steady();
    } catch (error) {
      log.warn("alerts not mailed", { count: pending.size, reason: messageOf(error) });
      this.#takeBack(pending, others);
    }
  }

  #takeBack(pending: ReadonlyMap<string, Pending>, others: number): void {
    const newer = this.#pending;
    this.#pending = new Map(pending);
    this.#others += others;
    for (const [key, one] of newer) {
      const known = this.#pending.get(key);
      if (known !== undefined) known.count += one.count;
      else if (this.#pending.size >= MAX_ALERTS_PER_MAIL) this.#others += one.count;
      else this.#pending.set(key, one);
    }
  }

  #text(recipients: readonly string[], alerts: readonly Pending[], others: number): Buffer {
    const { hostname, now } = this.#options;
    const [first] = alerts;
    const more = alerts.length + others - 1;
    const subject = `[mairust ${hostname}] ${first?.alert.kind ?? ""}${more > 0 ? ` and ${more} more` : ""}`;
    const lines = [
      `Date: ${rfc5322Date(now())}`,
      `From: MaiRust Sidecar <MAILER-DAEMON@${hostname}>`,
      `To: ${recipients.map(one => `<${oneLine(one)}>`).join(",\r\n ")}`,
      `Subject: ${encodeHeaderValue(subject)}`,
      `Message-ID: <${randomUUID()}@${hostname}>`,
      "Auto-Submitted: auto-generated",
      "Precedence: bulk",
      "MIME-Version: 1.0",
      "Content-Type: text/plain; charset=utf-8",
      "Content-Transfer-Encoding: 8bit",
      "",
      ...alerts.flatMap(alertLines),
      ...(others === 0 ? [] : [`and ${others} more: see admin_alert in the log`, ""]),
      "Look at it with: mairust readyz; mairust hook list; mairust plugin list; mairust audit",
      "",
    ];
    return Buffer.from(lines.join("\r\n"), "utf8");
  }
}

function alertLines({ alert, first, count }: Pending): readonly string[] {
  const { kind, text, plugin, hook } = alert;
  const named = [
    plugin === undefined ? [] : [`plugin ${plugin}`],
    hook === undefined ? [] : [`hook ${hook}`],
  ].flat();
  const times = count === 1 ? "" : `, ${count} times`;
  return [
    `${first.toISOString()} ${kind}${named.length === 0 ? "" : ` (${oneLine(named.join(", "))})`}${times}`,
    `    ${oneLine(text).slice(0, MAX_TEXT)}`,
    "",
  ];
}

function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]/gu, " ");
}
