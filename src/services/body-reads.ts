/**
 * That an administrator opened somebody's mail is in the audit log before a byte of it is given. One message: each time. Many of one
 * mailbox, as an export reads them: once an hour.
 */
import type { Audit } from "../core/ports/audit.ts";

/** An export of a large mailbox is one thing that somebody did. */
const AGAIN_MS = 3_600_000;
/** Mailboxes remembered; one that fell out is recorded again. */
const MAX_REMEMBERED = 1000;

export class BodyReads {
  readonly #audit: Audit;
  readonly #now: () => number;
  /** Who, account and mailbox → when it was recorded. */
  readonly #recorded = new Map<string, number>();

  constructor(audit: Audit, now: () => number = Date.now) {
    this.#audit = audit;
    this.#now = now;
  }

  /** @param object  id of the message, or of its hold. @throws {MairustError} `store_unavailable`: nothing may be shown */
  async opened(
    actor: string,
    action: "message.read" | "held.read",
    object: string,
    detail: Readonly<Record<string, unknown>>,
  ): Promise<void> {
    await this.#audit.record({ actor, action, object, detail });
  }

  /** @throws {MairustError} `store_unavailable`: nothing may be shown */
  async openedMailbox(actor: string, account: string, mailbox: string): Promise<void> {
    const key = JSON.stringify([actor, account, mailbox]);
    const last = this.#recorded.get(key);
    if (last !== undefined && this.#now() - last < AGAIN_MS) return;
    await this.#audit.record({ actor, action: "mailbox.read", object: account, detail: { mailbox } });
    this.#recorded.delete(key);
    this.#recorded.set(key, this.#now());
    if (this.#recorded.size <= MAX_REMEMBERED) return;
    const [oldest] = this.#recorded.keys();
    if (oldest !== undefined) this.#recorded.delete(oldest);
  }
}
