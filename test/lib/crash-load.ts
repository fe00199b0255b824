/**
 * Mail under which the crash tests kill: through Postfix, and by LMTP clients of our own that note each 250.
 *
 * Clients of our own are of three kinds: `faithful` ones deliver again under the same queue id until they have a 250, as an MTA does;
 * `forgetful` ones try once; `doubling` ones deliver once more although they had their 250, as an MTA does that crashed itself.
 * A reply that is neither 250 nor 4xx is a broken promise: the sender would get a bounce.
 */
import { sleep } from "../../src/platform/deadline.ts";
import { CONTENT_FIELD, type Content, type CrashLedger } from "./crash-ledger.ts";
import { MailDialog } from "./mail-dialog.ts";
import type { SeededRandom } from "./random.ts";

const SENDER = "sender@example.org";
/** Of mail with the same bytes: they share a blob. */
const SHARED_CONTENTS = 12;
const SHARED_SHARE = 0.3;
/** Larger messages go through a file as they come: `store/blobs-fs-stage.ts`. */
const MEMORY_BYTES = 128 * 1024 + 1;
const CUT_WINDOW_MS = 100;
const RETRY_MS = 40;
const WARM_DOUBLES = 4;
const SMTP_CLIENTS = 2;
const LMTP_CLIENTS = 3;

export interface LoadOptions {
  readonly ledger: CrashLedger;
  readonly random: SeededRandom;
  readonly smtpPort: number;
  readonly lmtpPort: number;
  /** Address → account: accounts themselves, aliases of Postfix, aliases of the sidecar. */
  readonly addresses: ReadonlyMap<string, string>;
  /** Those of them that only Postfix knows. */
  readonly postfixOnly: ReadonlySet<string>;
}

export interface LoadCounts {
  /** Messages that Postfix took. */
  smtp: number;
  /** Copies that they mean. */
  smtpCopies: number;
  /** 250s for recipients that LMTP clients of our own saw. */
  lmtp250: number;
  /** Of them, for deliveries that had been cut off or answered 4xx before. */
  lmtp250Again: number;
  /** 250s for deliveries that had their 250 before. */
  lmtp250Doubled: number;
  /** Of all of them, those that came in the last tenth of a second before a connection was cut. */
  lmtp250BeforeCut: number;
  lmtp4xx: number;
  /** Recipients without an answer: the connection ended. */
  lmtpUnanswered: number;
}

/** What the clients send. `redeliveries`: only what was accepted before, nothing new. `none`: they finish what they began. */
export type LoadMode = "mixed" | "redeliveries" | "none";

interface DirectDelivery {
  readonly queueId: string;
  readonly to: readonly string[];
  readonly content: Content;
}

export class CrashLoad {
  readonly counts: LoadCounts = {
    smtp: 0,
    smtpCopies: 0,
    lmtp250: 0,
    lmtp250Again: 0,
    lmtp250Doubled: 0,
    lmtp250BeforeCut: 0,
    lmtp4xx: 0,
    lmtpUnanswered: 0,
  };
  /** Replies that no client may get. */
  readonly violations: string[] = [];
  readonly #options: LoadOptions;
  readonly #shared: Content[] = [];
  readonly #doubles: DirectDelivery[] = [];
  /** When 250s came, by `performance.now()`, since the last cut. */
  readonly #answeredAt: number[] = [];
  #mode: LoadMode = "none";
  #budget = 0;
  #contents = 0;
  #busy = 0;
  #stopped = false;
  #clients: Promise<void>[] = [];

  constructor(options: LoadOptions) {
    this.#options = options;
    for (let i = 0; i < SHARED_CONTENTS; i++) this.#shared.push(this.#newContent());
  }

  start(): void {
    for (let i = 0; i < SMTP_CLIENTS; i++) this.#clients.push(this.#smtpClient());
    for (let i = 0; i < LMTP_CLIENTS; i++) this.#clients.push(this.#lmtpClient());
  }

  /** @param budget  new messages until the next call */
  feed(mode: LoadMode, budget: number): void {
    this.#mode = mode;
    this.#budget = budget;
  }

  /** Until there is something that can be delivered once more. Needs a sidecar that runs. */
  async warmUp(): Promise<void> {
    while (this.#doubles.length < WARM_DOUBLES) {
      this.feed("mixed", WARM_DOUBLES);
      await sleep(10);
    }
    this.feed("none", 0);
  }

  /** Nothing new; resolves when every client of our own has its answers. Needs a sidecar that runs. */
  async settle(): Promise<void> {
    this.feed("none", 0);
    while (this.#busy > 0) await sleep(10);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#clients);
  }

  // -------------------------------------------------------------- through Postfix

  async #smtpClient(): Promise<void> {
    const { random, smtpPort } = this.#options;
    let dialog: MailDialog | undefined;
    while (!this.#stopped) {
      if (this.#mode !== "mixed" || this.#budget <= 0) {
        await sleep(10);
        continue;
      }
      this.#budget -= 1;
      this.#busy += 1;
      if (dialog === undefined || !dialog.usable) dialog = await MailDialog.open(smtpPort, "smtp");
      await this.#submit(dialog);
      this.#busy -= 1;
      await sleep(random.whole(0, 25));
    }
    dialog?.close();
  }

  async #submit(dialog: MailDialog): Promise<void> {
    const { ledger, addresses } = this.#options;
    const content = this.#newContent();
    const to = this.#recipients([...addresses.keys()]);
    const accounts = new Set(to.map(address => addresses.get(address) ?? address));
    for (const account of accounts) ledger.tried(account, content.id, "postfix");
    const [reply] = await dialog.submit({ from: SENDER, to, message: content.bytes });
    if (reply?.startsWith("250")) {
      this.counts.smtp += 1;
      this.counts.smtpCopies += accounts.size;
      for (const account of accounts) ledger.accepted(account, content.id, "postfix");
    } else this.violations.push(`Postfix: ${reply ?? "no reply"}`);
  }

  // -------------------------------------------------------------- directly

  async #lmtpClient(): Promise<void> {
    const { random } = this.#options;
    const connection: { dialog: MailDialog | undefined } = { dialog: undefined };
    while (!this.#stopped) {
      const job = this.#takeDirect();
      if (job === undefined) {
        await sleep(10);
        continue;
      }
      this.#busy += 1;
      await this.#deliver(connection, job.delivery, job.kind);
      this.#busy -= 1;
      await sleep(random.whole(0, 15));
    }
    connection.dialog?.close();
  }

  #takeDirect(): { delivery: DirectDelivery; kind: "faithful" | "forgetful" | "doubled" } | undefined {
    const { random, addresses, postfixOnly } = this.#options;
    if (this.#mode === "redeliveries" || (this.#mode === "mixed" && random.chance(0.15))) {
      const delivery = this.#doubles.length === 0 ? undefined : random.pick(this.#doubles);
      if (delivery !== undefined) return { delivery, kind: "doubled" };
    }
    if (this.#mode !== "mixed" || this.#budget <= 0) return undefined;
    this.#budget -= 1;
    const content = random.chance(SHARED_SHARE) ? random.pick(this.#shared) : this.#newContent();
    const usable = [...addresses.keys()].filter(address => !postfixOnly.has(address));
    const delivery = { queueId: this.#name("D"), to: this.#recipients(usable), content };
    return { delivery, kind: random.chance(0.2) ? "forgetful" : "faithful" };
  }

  async #deliver(
    connection: { dialog: MailDialog | undefined },
    delivery: DirectDelivery,
    kind: "faithful" | "forgetful" | "doubled",
  ): Promise<void> {
    let pending = delivery.to;
    for (let attempt = 1; ; attempt++) {
      pending = await this.#attempt(
        connection,
        { ...delivery, to: pending },
        attempt > 1,
        kind === "doubled",
      );
      // What is sent once more to no end may also be cut off.
      if (pending.length === 0 || kind !== "faithful" || this.#stopped) break;
      await sleep(RETRY_MS);
    }
    if (kind === "faithful" && pending.length === 0 && this.#options.random.chance(0.3)) {
      this.#doubles.push(delivery);
      if (this.#doubles.length > 50) this.#doubles.shift();
    }
  }

  /** @returns the recipients that have no 250 */
  async #attempt(
    connection: { dialog: MailDialog | undefined },
    { queueId, to, content }: DirectDelivery,
    again: boolean,
    doubled: boolean,
  ): Promise<readonly string[]> {
    const { ledger, addresses, lmtpPort } = this.#options;
    try {
      if (connection.dialog === undefined || !connection.dialog.usable)
        connection.dialog = await MailDialog.open(lmtpPort, "lmtp");
    } catch {
      return to; // nobody listens: the sidecar is down
    }
    const account = (address: string) => addresses.get(address) ?? address;
    for (const address of to) ledger.tried(account(address), content.id, queueId);
    const replies = await connection.dialog.submit({ from: SENDER, to, message: content.bytes, queueId });
    const left = to.filter((address, i) => {
      const reply = replies[i];
      if (reply?.startsWith("250")) {
        this.#answeredAt.push(performance.now());
        this.counts[doubled ? "lmtp250Doubled" : again ? "lmtp250Again" : "lmtp250"] += 1;
        ledger.accepted(account(address), content.id, queueId);
        return false;
      }
      if (reply === undefined) this.counts.lmtpUnanswered += 1;
      else if (reply.startsWith("4")) this.counts.lmtp4xx += 1;
      else this.violations.push(`LMTP ${queueId} to ${address}: ${reply}`);
      return true;
    });
    if (replies.includes(undefined)) this.#countBeforeCut();
    return left;
  }

  #countBeforeCut(): void {
    const from = performance.now() - CUT_WINDOW_MS;
    this.counts.lmtp250BeforeCut += this.#answeredAt.splice(0).filter(at => at >= from).length;
  }

  // -------------------------------------------------------------- messages

  #name(kind: string): string {
    this.#contents += 1;
    return `${kind}${this.#contents.toString(36).toUpperCase().padStart(5, "0")}`;
  }

  /** One to five addresses; two of them may mean the same account. */
  #recipients(addresses: readonly string[]): readonly string[] {
    const { random } = this.#options;
    const count = random.chance(0.5) ? 1 : random.whole(2, 5);
    return random.shuffled(addresses).slice(0, count);
  }

  #newContent(): Content {
    const { random, ledger } = this.#options;
    const id = this.#name("C");
    const kind = random.next();
    const sizeBytes =
      kind < 0.75
        ? random.whole(200, 4_000)
        : kind < 0.9
          ? random.whole(4_000, 30_000)
          : kind < 0.93
            ? random.whole(30_000, 130_000)
            : random.whole(MEMORY_BYTES, 200_000);
    // With every field that Postfix would add.
    const head = `From: ${SENDER}\r\nTo: crash@example.test\r\nSubject: crash ${id}\r\nMessage-ID: <${id}@example.org>\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\n${CONTENT_FIELD}: ${id}\r\n\r\n`;
    const content = { id, bytes: Buffer.from(head + bodyText(random, sizeBytes), "latin1") };
    ledger.addContent(content);
    return content;
  }
}

/** Lines with leading dots and octets above 127; half of the messages compress well, the others do not. */
function bodyText(random: SeededRandom, sizeBytes: number): string {
  const compressible = random.chance(0.5);
  const pattern = compressible ? "the same words again and again " : undefined;
  const lines: string[] = [];
  for (let length = 0; length < sizeBytes; ) {
    const line =
      pattern === undefined
        ? Array.from({ length: random.whole(1, 9) }, () => random.next().toString(36).slice(2)).join("")
        : pattern.repeat(random.whole(1, 3)) + lines.length;
    lines.push(`${random.chance(0.05) ? "." : random.chance(0.05) ? "\xe9" : ""}${line}`);
    length += line.length + 2;
  }
  return `${lines.join("\r\n")}\r\n`;
}
