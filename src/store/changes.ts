/**
 * Who needs to know that mailboxes changed. Sessions of this node hear right after the commit through `onLocal`; other nodes by
 * one coalesced NOTIFY on a connection of its own, never inside the delivering transaction (it would serialise commits).
 */
import { randomUUID } from "node:crypto";
import { messageOf } from "../core/errors.ts";
import { type MailboxId, mailboxId } from "../core/ids.ts";
import type { Log } from "../core/ports/log.ts";
import type { Db } from "./db.ts";

const CHANNEL = "mairust_changes";
/** Ids per NOTIFY: the payload stays far below PostgreSQL's 8000 bytes. */
const IDS_PER_NOTIFY = 300;

export class MailboxChanges {
  readonly #db: Db;
  readonly #log: Log;
  /** Tells our own notifications from other nodes'. */
  readonly #node = randomUUID();
  readonly #listeners = new Set<(mailboxes: readonly MailboxId[] | "all") => void>();
  #pending = new Set<MailboxId>();
  #sending = false;
  #unlisten: (() => Promise<void>) | undefined;

  constructor(db: Db, log: Log) {
    this.#db = db;
    this.#log = log;
  }

  /** Listen to other nodes; after a lost connection everything may have changed ("all"). */
  async start(): Promise<void> {
    this.#unlisten = await this.#db.listen(
      CHANNEL,
      payload => this.#onNotify(payload),
      () => this.#tell("all"),
    );
  }

  async stop(): Promise<void> {
    await this.#unlisten?.();
    this.#unlisten = undefined;
  }

  /** Call after the commit. Local listeners hear at once. */
  publish(mailboxes: readonly MailboxId[]): void {
    this.#tell(mailboxes);
    for (const id of mailboxes) this.#pending.add(id);
    if (!this.#sending) void this.#send();
  }

  /** @returns the unsubscriber */
  onChange(listener: (mailboxes: readonly MailboxId[] | "all") => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async #send(): Promise<void> {
    this.#sending = true;
    while (this.#pending.size > 0) {
      const ids = [...this.#pending].slice(0, IDS_PER_NOTIFY);
      for (const id of ids) this.#pending.delete(id);
      try {
        await this.#db.notify(CHANNEL, `${this.#node} ${ids.join(",")}`);
      } catch (error) {
        // Other nodes catch up by MODSEQ at their next refresh; this node was told already.
        this.#log.warn("change notification not sent", { reason: messageOf(error) });
      }
    }
    this.#sending = false;
  }

  #onNotify(payload: string): void {
    const [node, ids = ""] = payload.split(" ");
    if (node === this.#node) return;
    this.#tell(ids.split(",").flatMap(id => (/^\d+$/u.test(id) ? [mailboxId(Number(id))] : [])));
  }

  #tell(mailboxes: readonly MailboxId[] | "all"): void {
    for (const listener of this.#listeners) listener(mailboxes);
  }
}
