/**
 * One connection to PostgreSQL, guarded (step 7, below `db.ts`).
 *
 * A driver client with a single connection is used once: when the connection is lost the client is thrown away with it. So
 * nothing of a dead connection (half-written bytes, queued statements) reaches the next one, and a transaction can never go on,
 * unnoticed and without its BEGIN, on a new connection. One statement is in flight at a time; the owner sees to that.
 *
 * States: open → lost (closed by the server, broken, or killed). A lost connection refuses everything with `store_unavailable`.
 * Sources: postgres.js issues 1120 (row counter) and 1189 (BEGIN beside other statements).
 */
import { type ErrorCode, MairustError } from "../core/errors.ts";
import { databaseError, dropsConnection } from "./db-errors.ts";
import type { Statement } from "./db-values.ts";

/** What one statement gave. */
export interface Result {
  readonly rows: unknown[];
  /** Rows returned, or touched. */
  readonly count: number;
  /** Command tag such as `SELECT`, `COMMIT`. */
  readonly command: string;
}

/** The driver's rows, with what it adds to them. */
export interface RawResult extends Array<unknown> {
  /** null for some commands. */
  readonly count: number | null;
  readonly command: string;
}

/** What is used of a driver client. `simple`: several statements in one text, without parameters. */
export interface Driver {
  run(text: string, parameters: readonly unknown[], simple: boolean): Promise<RawResult>;
  /** End at once; statements in flight fail. */
  destroy(): Promise<void>;
}

/** A statement may run this much longer than the server's own time-out before the connection is given up. */
export const KILL_GRACE_MS = 5_000;

export class Connection {
  #driver: Driver | undefined;
  #lostBecause: MairustError | undefined;
  #onLost: ((error: MairustError) => void) | undefined;
  #runningSince: number | undefined;
  readonly #usualLimitMs: number;
  #limitMs: number;
  /** When it was last given back, by `performance.now()`. */
  idleSince = 0;

  /**
   * @param makeDriver  makes the client; it calls its argument when its connection is closed
   * @param limitMs     how long the server lets one statement run; 0: no limit
   */
  constructor(makeDriver: (onClosed: () => void) => Driver, limitMs: number) {
    this.#usualLimitMs = limitMs;
    this.#limitMs = limitMs;
    this.#driver = makeDriver(() => this.#lose("the server closed it"));
  }

  get lost(): boolean {
    return this.#lostBecause !== undefined;
  }

  /** Call `listener` when the connection is lost; one listener at a time, undefined takes it away. */
  set onLost(listener: ((error: MairustError) => void) | undefined) {
    this.#onLost = listener;
  }

  /** Another limit for each statement, as `set local statement_timeout` made on the server; undefined: the usual one again. */
  set limitMs(limitMs: number | undefined) {
    this.#limitMs = limitMs ?? this.#usualLimitMs;
  }

  /**
   * Run one statement.
   * @throws {MairustError} see `db-errors.ts`; `store_unavailable` when the connection is lost
   */
  async run(statement: Statement, simple = false): Promise<Result> {
    const driver = this.#driver;
    if (driver === undefined) throw this.#lostBecause ?? lostError("it is closed");
    this.#runningSince = performance.now();
    try {
      const raw = await driver.run(statement.text, statement.parameters, simple);
      return { rows: withoutHoles(raw), count: raw.count ?? 0, command: raw.command };
    } catch (error) {
      const known = databaseError(error, "run a statement");
      if (dropsConnection(known)) this.#lose(known.message);
      throw known;
    } finally {
      this.#runningSince = undefined;
    }
  }

  /** Give the connection up when its statement has run for longer than the server should allow: nobody answers there. */
  killIfStuck(now: number): void {
    if (this.#runningSince === undefined || this.#limitMs === 0) return;
    if (now - this.#runningSince > this.#limitMs + KILL_GRACE_MS) this.#lose("it did not answer in time");
  }

  /** Close it. Never throws. */
  async close(): Promise<void> {
    const driver = this.#driver;
    this.#lose("it was closed here");
    await driver?.destroy();
  }

  #lose(why: string): void {
    const driver = this.#driver;
    if (driver === undefined) return;
    this.#driver = undefined;
    this.#lostBecause = lostError(why);
    this.#onLost?.(this.#lostBecause);
    this.#onLost = undefined;
    // The statement in flight rejects by this; nothing else can be pending, and the error it would give is known already.
    driver.destroy().catch(() => undefined);
  }
}

function lostError(why: string): MairustError {
  const code: ErrorCode = "store_unavailable";
  return new MairustError(code, `Cannot use the database connection: ${why}`, {
    publicText: "mail storage is not available",
    context: { dropConnection: true },
  });
}

/**
 * A plain array without the empty places in front of the rows. After a statement failed in the middle of its rows (an error, a time-out) the
 * driver goes on counting, and the next result begins with as many holes as rows were lost (postgres.js issue 1120).
 */
export function withoutHoles(rows: readonly unknown[]): unknown[] {
  let first = 0;
  while (first < rows.length && !(first in rows)) first += 1;
  // From, not slice: the result is a plain array.
  return Array.from(first === 0 ? rows : rows.slice(first));
}
