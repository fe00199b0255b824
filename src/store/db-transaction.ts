/**
 * One transaction on one connection (step 7, below `db.ts`).
 *
 * States: open → committed | rolled back | lost. Statements run one after the other, whatever the caller awaits. After the end, or
 * after the connection was lost, every statement is refused: it would run outside the transaction.
 * A statement that failed dooms the transaction even if the caller swallowed the error: PostgreSQL answers COMMIT with ROLLBACK
 * and no error, which would look like success.
 */
import { MairustError } from "../core/errors.ts";
import type { Connection, Result } from "./db-connection.ts";
import { type SqlValue, type Statement, statementOf } from "./db-values.ts";

/** Where statements run: the database itself (each its own transaction) or one transaction. */
export interface Queryable {
  /**
   * Run one statement: `` db.query<{ id: number }>`select id from accounts where domain = ${domain}` ``. Column types: int8 a number,
   * timestamptz a Date, bytea a Buffer, jsonb parsed, numeric a string.
   *
   * @throws {MairustError} `store_unavailable`, `deadline` (statement time-out), `disk_full`, `internal` (see `db-errors.ts`)
   */
  query<Row extends object = Record<string, unknown>>(
    strings: TemplateStringsArray,
    ...values: readonly SqlValue[]
  ): Promise<Row[]>;
  /** As `query`, for the number of rows that were inserted, updated or deleted. */
  run(strings: TemplateStringsArray, ...values: readonly SqlValue[]): Promise<number>;
}

export interface Tx extends Queryable {
  /** Run the statements of `text` (separated by `;`, no parameters): migrations. */
  script(text: string): Promise<void>;
}

export interface TransactionOptions {
  /** Instead of the pool's statement time-out; 0: none. */
  readonly statementTimeoutMs?: number;
  /** Longest wait for a lock that another transaction holds; default: as long as the statement may run. */
  readonly lockTimeoutMs?: number;
  /** Default `read committed`. */
  readonly isolation?: "repeatable read" | "serializable";
}

/**
 * Run `work` in one transaction: committed when it resolves, rolled back when it rejects.
 *
 * @throws {MairustError} what `work` threw; `store_unavailable` when the connection was lost: with `context.outcome` "unknown"
 *         when that happened during COMMIT (the work may be stored), else nothing is stored
 */
export async function transaction<T>(
  connection: Connection,
  work: (tx: Tx) => Promise<T>,
  options: TransactionOptions,
): Promise<T> {
  const tx = new Transaction(connection);
  const lost = new Promise<never>((_, reject) => {
    connection.onLost = reject;
  });
  lost.catch(() => undefined);
  try {
    await tx.begin(options);
    const result = await Promise.race([work(tx), lost]);
    await tx.commit();
    return result;
  } catch (error) {
    await tx.rollback();
    throw error;
  } finally {
    connection.onLost = undefined;
    tx.end();
  }
}

class Transaction implements Tx {
  readonly #connection: Connection;
  #tail: Promise<unknown> = Promise.resolve();
  #failure: unknown;
  #failed = false;
  #state: "open" | "ending" | "ended" = "open";

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  async query<Row extends object>(
    strings: TemplateStringsArray,
    ...values: readonly SqlValue[]
  ): Promise<Row[]> {
    return (await this.#enqueue(statementOf(strings, values), false)).rows as Row[];
  }

  async run(strings: TemplateStringsArray, ...values: readonly SqlValue[]): Promise<number> {
    return (await this.#enqueue(statementOf(strings, values), false)).count;
  }

  async script(text: string): Promise<void> {
    await this.#enqueue({ text, parameters: [] }, true);
  }

  async begin(options: TransactionOptions): Promise<void> {
    const isolation = options.isolation === undefined ? "" : ` isolation level ${options.isolation}`;
    const { lockTimeoutMs } = options;
    if (lockTimeoutMs === undefined) await this.#connection.run(plain(`begin${isolation}`));
    else {
      const limit = Math.max(1, Math.trunc(lockTimeoutMs));
      // In one text: a round trip less. Numbers cannot be parameters of SET.
      await this.#connection.run(plain(`begin${isolation}; set local lock_timeout = ${limit}`), true);
    }
    const limitMs = options.statementTimeoutMs;
    if (limitMs === undefined) return;
    this.#connection.limitMs = limitMs;
    await this.#connection.run({
      text: "select set_config('statement_timeout', $1, true)",
      parameters: [String(limitMs)],
    });
  }

  /** Waits for statements the caller did not await, so that none runs after COMMIT. */
  async commit(): Promise<void> {
    this.#state = "ending";
    await this.#tail;
    if (this.#failed) throw this.#failure;
    try {
      const { command } = await this.#connection.run(plain("commit"));
      if (command !== "COMMIT")
        throw new MairustError("internal", `Cannot commit: the server answered "${command}"`);
    } catch (error) {
      if (this.#connection.lost) throw outcomeUnknown(error);
      throw error;
    }
  }

  /** Never throws: a connection that cannot roll back is closed, which rolls back. */
  async rollback(): Promise<void> {
    this.#state = "ending";
    await this.#tail;
    if (this.#connection.lost) return;
    try {
      await this.#connection.run(plain("rollback"));
    } catch {
      await this.#connection.close();
    }
  }

  end(): void {
    this.#state = "ended";
    this.#connection.limitMs = undefined;
  }

  #enqueue(statement: Statement, simple: boolean): Promise<Result> {
    if (this.#state !== "open") {
      throw new MairustError("invalid_state", "Cannot run a statement: the transaction has ended");
    }
    const turn = this.#tail.then(() => this.#connection.run(statement, simple));
    this.#tail = turn.catch(error => {
      if (!this.#failed) this.#failure = error;
      this.#failed = true;
    });
    return turn;
  }
}

function plain(text: string): Statement {
  return { text, parameters: [] };
}

function outcomeUnknown(error: unknown): MairustError {
  return new MairustError(
    "store_unavailable",
    "Cannot tell whether the transaction was committed: the connection was lost",
    {
      cause: error,
      context: { outcome: "unknown" },
      publicText: "mail storage is not available",
    },
  );
}
