/**
 * LISTEN on a connection of its own (below `db.ts`): how a node hears of other nodes' changes.
 *
 * States: idle (no channel) → listening → lost → listening …; closed from any. While lost it tries again with rising pauses;
 * once LISTEN works again each subscriber is told, because notifications sent meanwhile are gone for good.
 * A connection that stays silent is asked now and then, so that a peer that vanished is noticed.
 */
import { MairustError, messageOf } from "../core/errors.ts";
import type { Log } from "../core/ports/log.ts";
import { every, sleep } from "../platform/deadline.ts";
import type { Connection } from "./db-connection.ts";

export interface Subscription {
  readonly channel: string;
  readonly onNotify: (payload: string) => void;
  readonly onReconnect: (() => void) | undefined;
}

/** PostgreSQL folds and cuts other names (manual §4.1.1); ours never need them. */
const CHANNEL = /^[a-z_][a-z0-9_]{0,62}$/;
const PAUSE_MIN_MS = 100;
const PAUSE_MAX_MS = 5_000;
const PING_MS = 30_000;

type Connect = (onNotify: (channel: string, payload: string) => void) => Promise<Connection>;

export class Listener {
  readonly #connect: Connect;
  readonly #log: Log;
  readonly #subscriptions = new Set<Subscription>();
  readonly #closing = new AbortController();
  #connection: Connection | undefined;
  /** Changes of the connection, one after the other: two first subscribers must not open two. */
  #turn: Promise<unknown> = Promise.resolve();
  #stopPing: (() => void) | undefined;

  constructor(connect: Connect, log: Log) {
    this.#connect = connect;
    this.#log = log;
  }

  /** @returns the function that ends the subscription */
  async add(subscription: Subscription): Promise<() => Promise<void>> {
    if (!CHANNEL.test(subscription.channel)) {
      throw new MairustError(
        "invalid_argument",
        `Cannot listen on "${subscription.channel}": not a lower-case identifier`,
      );
    }
    await this.#inTurn(async () => {
      if (this.#closing.signal.aborted)
        throw new MairustError("store_unavailable", "Cannot listen: the database is closed");
      const connection = this.#connection ?? (await this.#open());
      await connection.run({ text: `listen "${subscription.channel}"`, parameters: [] });
      this.#subscriptions.add(subscription);
    });
    return () => this.#inTurn(() => this.#remove(subscription));
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#stopPing?.();
    await this.#turn;
    this.#subscriptions.clear();
    await this.#connection?.close();
  }

  async #open(): Promise<Connection> {
    const connection = await this.#connect((channel, payload) => this.#deliver(channel, payload));
    this.#connection = connection;
    connection.onLost = error => {
      this.#connection = undefined;
      if (this.#closing.signal.aborted || this.#subscriptions.size === 0) return;
      this.#log.warn("database listener lost", { error });
      void this.#inTurn(() => this.#reopen());
    };
    this.#stopPing ??= every(PING_MS, () => this.#inTurn(() => this.#ping()));
    return connection;
  }

  /** A ping that fails or is not answered loses the connection, which starts the reopening. */
  async #ping(): Promise<void> {
    const connection = this.#connection;
    if (connection === undefined) return;
    const answered = connection.run({ text: "select 1", parameters: [] }).catch(() => undefined);
    const silent = new AbortController();
    const late = sleep(PAUSE_MAX_MS, silent.signal, false).then(
      () => connection.close(),
      () => undefined,
    );
    await Promise.race([answered, late]);
    silent.abort();
  }

  async #reopen(): Promise<void> {
    for (
      let pauseMs = PAUSE_MIN_MS;
      !this.#closing.signal.aborted;
      pauseMs = Math.min(pauseMs * 2, PAUSE_MAX_MS)
    ) {
      if (this.#connection !== undefined || this.#subscriptions.size === 0) return;
      try {
        await this.#reopenOnce();
        return;
      } catch (error) {
        this.#log.debug("database listener cannot connect", { reason: messageOf(error) });
        await sleep(pauseMs, this.#closing.signal, false).catch(() => undefined);
      }
    }
  }

  async #reopenOnce(): Promise<void> {
    const connection = await this.#open();
    for (const channel of new Set([...this.#subscriptions].map(s => s.channel))) {
      await connection.run({ text: `listen "${channel}"`, parameters: [] });
    }
    this.#log.info("database listener connected again");
    for (const subscription of this.#subscriptions) this.#guarded(() => subscription.onReconnect?.());
  }

  async #remove(subscription: Subscription): Promise<void> {
    this.#subscriptions.delete(subscription);
    const connection = this.#connection;
    if (connection === undefined) return;
    if (this.#subscriptions.size === 0) await connection.close();
    else if (![...this.#subscriptions].some(s => s.channel === subscription.channel)) {
      // A lost connection listens to nothing: there is nothing to take back.
      await connection
        .run({ text: `unlisten "${subscription.channel}"`, parameters: [] })
        .catch(() => undefined);
    }
  }

  #deliver(channel: string, payload: string): void {
    for (const subscription of this.#subscriptions) {
      if (subscription.channel === channel) this.#guarded(() => subscription.onNotify(payload));
    }
  }

  /** A subscriber that throws must not break the driver's reader or the other subscribers. */
  #guarded(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#log.error("database subscriber failed", {
        error: error instanceof Error ? error : new Error(String(error)),
      });
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }
}
