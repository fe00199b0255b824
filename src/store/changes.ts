/**
 * Who needs to know that mailboxes changed. Sessions of this node hear right after the commit; other nodes by a coalesced NOTIFY on
 * a connection of its own, never inside the delivering transaction (it would serialise commits). Each NOTIFY is a commit with an
 * fsync, so under load there is one in a tenth of a second; the first after a quiet time goes out at once.
 */
import { randomUUID } from "node:crypto";
import { messageOf } from "../core/errors.ts";
import { type MailboxId, mailboxId } from "../core/ids.ts";
import type { Log } from "../core/ports/log.ts";
import { sleep } from "../platform/deadline.ts";
import type { Db } from "./db.ts";

const CHANNEL = "mairust_changes";
/** Ids per NOTIFY: the payload stays far below PostgreSQL's 8000 bytes. */
const IDS_PER_NOTIFY = 300;
/** Time from one NOTIFY to the next: a tenth of what new mail may take to reach IDLE on another node. */
const NOTIFY_INTERVAL_MS = 100;

export class MailboxChanges {
  readonly #db: Db;
  readonly #log: Log;
  /** Tells our own notifications from other nodes'. */
  readonly #node = randomUUID();
  readonly #listeners = new Set<(mailboxes: readonly MailboxId[] | "all") => void>();
  #pending = new Set<MailboxId>();
  #sending: Promise<void> | undefined;
  #stop = new AbortController();
  #unlisten: (() => Promise<void>) | undefined;

  constructor(db: Db, log: Log) {
    this.#db = db;
    this.#log = log;
  }

  /** Listen to other nodes; after a lost connection everything may have changed ("all"). */
  async start(): Promise<void> {
    this.#stop = new AbortController();
    this.#unlisten = await this.#db.listen(
      CHANNEL,
      payload => this.#onNotify(payload),
      () => this.#tell("all"),
    );
  }

  /** What waits is sent first. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#sending;
    await this.#unlisten?.();
    this.#unlisten = undefined;
  }

  /** Call after the commit. Local listeners hear at once. */
  publish(mailboxes: readonly MailboxId[]): void {
    this.#tell(mailboxes);
    for (const id of mailboxes) this.#pending.add(id);
    this.#sending ??= this.#send().finally(() => {
      this.#sending = undefined;
      if (this.#pending.size > 0) this.publish([]);
    });
  }

  /** @returns the unsubscriber */
  onChange(listener: (mailboxes: readonly MailboxId[] | "all") => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async #send(): Promise<void> {
    while (this.#pending.size > 0) {
      const ids = [...this.#pending].slice(0, IDS_PER_NOTIFY);
      for (const id of ids) this.#pending.delete(id);
      try {
        await this.#db.notify(CHANNEL, `${this.#node} ${ids.join(",")}`);
      } catch (error) {
        // Other nodes catch up by MODSEQ at their next refresh; this node was told already.
        this.#log.warn("change notification not sent", { reason: messageOf(error) });
      }
      if (this.#pending.size < IDS_PER_NOTIFY) await this.#pause();
    }
  }

  /** Not when stopping: then what waits goes out at once. */
  async #pause(): Promise<void> {
    const { signal } = this.#stop;
    await sleep(NOTIFY_INTERVAL_MS, signal, false).catch(() => undefined);
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
