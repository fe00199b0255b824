/**
 * The connections of one process (step 7, below `db.ts`): at most `max`, each held by one operation at a time.
 *
 * Permits come first: never more operations than connections are under way, so the driver's own queues stay empty (its
 * transactions break when they fill, postgres.js issue 1189), and waiting for a permit has an end. The connection given back last
 * is used first; those idle for long are closed, so that a quiet node holds one.
 * Failures: `store_unavailable` when no permit comes free in time, too many wait, or the server cannot be reached.
 */
import type { Deadline } from "../core/deadline.ts";
import { MairustError } from "../core/errors.ts";
import { deadlineAfter, every } from "../platform/deadline.ts";
import type { Connection } from "./db-connection.ts";

export interface PoolLimits {
  /** Connections, and operations under way. */
  readonly max: number;
  /** Longest wait for a permit. */
  readonly acquireTimeoutMs: number;
  /** Operations that may wait at a time. */
  readonly maxWaiting: number;
  /** Close a connection that nobody used for this long. */
  readonly idleMs: number;
}

/** Connections kept however long nothing happens. */
const MIN_IDLE = 1;
const SWEEP_MS = 1_000;

interface Waiter {
  readonly grant: () => void;
  readonly refuse: (error: MairustError) => void;
}

export class Pool {
  readonly #connect: () => Promise<Connection>;
  readonly #limits: PoolLimits;
  readonly #idle: Connection[] = [];
  readonly #busy = new Set<Connection>();
  readonly #waiting = new Set<Waiter>();
  readonly #stopSweep: () => void;
  #permits: number;
  #closed = false;
  #drained: (() => void) | undefined;

  constructor(connect: () => Promise<Connection>, limits: PoolLimits) {
    this.#connect = connect;
    this.#limits = limits;
    this.#permits = limits.max;
    this.#stopSweep = every(SWEEP_MS, () => this.#sweep());
  }

  /** For metrics and health. */
  get counts(): { readonly open: number; readonly busy: number; readonly waiting: number } {
    const busy = this.#limits.max - this.#permits;
    return { open: this.#idle.length + this.#busy.size, busy, waiting: this.#waiting.size };
  }

  /**
   * Run `work` with a connection of its own.
   * @throws {MairustError} `store_unavailable`, or what `work` throws
   */
  async use<T>(work: (connection: Connection) => Promise<T>, deadline?: Deadline): Promise<T> {
    if (this.#closed) throw unavailable("the database is closed");
    if (this.#permits > 0) this.#permits -= 1;
    else await this.#wait(deadline);
    try {
      const connection = this.#takeIdle() ?? (await this.#connect());
      this.#busy.add(connection);
      try {
        return await work(connection);
      } finally {
        this.#giveBack(connection);
      }
    } finally {
      this.#releasePermit();
    }
  }

  /** Refuse new work, wait for what is under way until the deadline, then close every connection. */
  async close(deadline: Deadline): Promise<void> {
    this.#closed = true;
    this.#stopSweep();
    for (const waiter of [...this.#waiting]) waiter.refuse(unavailable("the database is being closed"));
    if (this.#permits < this.#limits.max && deadline.remainingMs() > 0) {
      await new Promise<void>(resolve => {
        this.#drained = resolve;
        deadline.signal.addEventListener("abort", () => resolve(), { once: true });
      });
    }
    await Promise.all([...this.#busy, ...this.#idle.splice(0)].map(connection => connection.close()));
  }

  #takeIdle(): Connection | undefined {
    for (;;) {
      const connection = this.#idle.pop();
      if (connection === undefined || !connection.lost) return connection;
    }
  }

  #giveBack(connection: Connection): void {
    this.#busy.delete(connection);
    connection.idleSince = performance.now();
    if (connection.lost) return;
    if (this.#closed) void connection.close();
    else this.#idle.push(connection);
  }

  #releasePermit(): void {
    const [next] = this.#waiting;
    if (next !== undefined) next.grant();
    else this.#permits += 1;
    if (this.#closed && this.#permits === this.#limits.max) this.#drained?.();
  }

  async #wait(deadline: Deadline | undefined): Promise<void> {
    if (this.#waiting.size >= this.#limits.maxWaiting) {
      throw unavailable(`${this.#waiting.size} operations wait for a connection already`);
    }
    const limit = deadlineAfter(this.#limits.acquireTimeoutMs, deadline);
    try {
      await new Promise<void>((resolve, reject) => {
        const waiter: Waiter = {
          grant: () => {
            this.#waiting.delete(waiter);
            resolve();
          },
          refuse: error => {
            this.#waiting.delete(waiter);
            reject(error);
          },
        };
        this.#waiting.add(waiter);
        const late = () => waiter.refuse(unavailable("no connection came free in time"));
        if (limit.signal.aborted) late();
        else limit.signal.addEventListener("abort", late, { once: true });
      });
    } finally {
      limit.dispose();
    }
  }

  #sweep(): void {
    const now = performance.now();
    for (const connection of this.#busy) connection.killIfStuck(now);
    while (this.#idle.length > MIN_IDLE) {
      const [oldest] = this.#idle;
      if (oldest === undefined || now - oldest.idleSince < this.#limits.idleMs) return;
      this.#idle.shift();
      void oldest.close();
    }
  }
}

function unavailable(why: string): MairustError {
  return new MairustError("store_unavailable", `Cannot use the database: ${why}`, {
    publicText: "mail storage is not available",
  });
}
