/**
 * Who needs to know that domains, accounts, aliases or stages changed: the directory of this process at once, those of other nodes by
 * NOTIFY. A change of a stage sends it inside its transaction ({@link tellDirectories}), so that no node that listens misses it; such
 * changes are rare. After a lost connection everything may have changed.
 */
import { messageOf } from "../core/errors.ts";
import type { Log } from "../core/ports/log.ts";
import type { Db, Queryable } from "./db.ts";

const CHANNEL = "mairust_directory";

/** With the commit: every node forgets what it remembers. */
export async function tellDirectories(tx: Queryable): Promise<void> {
  await tx.query`select pg_notify(${CHANNEL}, '')`;
}

export class DirectoryChanges {
  readonly #db: Db;
  readonly #log: Log;
  readonly #directory: { invalidate(): void };
  readonly #sending = new Set<Promise<void>>();
  #unlisten: (() => Promise<void>) | undefined;

  constructor(db: Db, log: Log, directory: { invalidate(): void }) {
    this.#db = db;
    this.#log = log;
    this.#directory = directory;
  }

  async start(): Promise<void> {
    const forget = () => this.#directory.invalidate();
    this.#unlisten = await this.#db.listen(CHANNEL, forget, forget);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#sending);
    await this.#unlisten?.();
    this.#unlisten = undefined;
  }

  /** Call after the commit. Here it counts at once. */
  publish(): void {
    this.#directory.invalidate();
    const sending = this.#db
      .notify(CHANNEL, "")
      // Other nodes remember for a few seconds only.
      .catch((error: unknown) => this.#log.warn("directory_change_not_told", { reason: messageOf(error) }))
      .finally(() => this.#sending.delete(sending));
    this.#sending.add(sending);
  }
}
