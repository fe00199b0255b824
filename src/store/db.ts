/**
 * The way to PostgreSQL, and the only file that imports the driver (step 7 of the message path; all other steps that store).
 *
 * Guards around postgres.js 3.4.9 and where they stand: holes after a failed result (`db-connection.ts`), never more statements in
 * flight than connections and an end to waiting (`db-pool.ts`), no life after a lost connection (`db-connection.ts`), a
 * transaction that cannot run on without its BEGIN (`db-transaction.ts`), types that need no question to the server and text that
 * it takes (`db-values.ts`), addresses that the driver cannot read (`db-url.ts`). Its `reserve()`, `begin()` and `listen()` are not used.
 *
 * Failures: `db-errors.ts`. Sources: postgres.js issues 1120, 1189, 1195, 751, 925; PostgreSQL manual §53 (protocol).
 */
import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import postgres from "postgres";
import type { Deadline } from "../core/deadline.ts";
import { MairustError } from "../core/errors.ts";
import type { Log } from "../core/ports/log.ts";
import { deadlineAfter, within } from "../platform/deadline.ts";
import { Connection, type Driver, type RawResult, type Result } from "./db-connection.ts";
import { Listener } from "./db-listener.ts";
import { Pool } from "./db-pool.ts";
import { type ServerAddress, socketMaker } from "./db-socket.ts";
import { type Queryable, type TransactionOptions, type Tx, transaction } from "./db-transaction.ts";
import { type DatabaseTarget, parseDatabaseUrl } from "./db-url.ts";
import { type SqlValue, type Statement, statementOf, TYPES } from "./db-values.ts";

export { isForeignKeyViolation, isSerializationFailure, isUniqueViolation, sqlstateOf } from "./db-errors.ts";
export type { Queryable, TransactionOptions, Tx } from "./db-transaction.ts";
export { arrayText, json, jsonText, pgText, type SqlValue, sql } from "./db-values.ts";

/** PostgreSQL 15: the oldest that the schema is written for and tested with. */
export const OLDEST_SERVER = 150_000;

export interface DatabaseOptions {
  /** `database.url`, or the target that the embedded server gave. */
  readonly target: string | DatabaseTarget;
  readonly log: Log;
  /** Connections, and operations under way at a time; LISTEN takes one more. Default 10. */
  readonly pool?: number;
  /** How long the server lets one statement run. Default 30 s; 0: no limit. */
  readonly statementTimeoutMs?: number;
  /** Longest wait for a free connection. Default 10 s. */
  readonly acquireTimeoutMs?: number;
  /** Operations that may wait for a connection. Default 10 000. */
  readonly maxWaiting?: number;
  /** Close connections idle for this long, down to one. Default 60 s. */
  readonly idleMs?: number;
  /** Told of every statement and transaction after it ended: for metrics. */
  readonly observe?: (what: "statement" | "transaction", ms: number, ok: boolean) => void;
}

export interface Db extends Queryable {
  /**
   * Run `work` in one transaction; see {@link transaction} for what it promises. Statements inside run one after the other.
   * @param deadline  ends the wait for a connection
   */
  begin<T>(work: (tx: Tx) => Promise<T>, options?: TransactionOptions, deadline?: Deadline): Promise<T>;
  /**
   * Hear of NOTIFY on `channel` (lower-case identifier) over a connection of its own, which is opened again whenever it is lost.
   *
   * @param onNotify     payload of each notification; must not throw
   * @param onReconnect  LISTEN works again after a gap: notifications are missing, catch up
   * @returns            after LISTEN works: the function that ends it
   * @throws {MairustError} `store_unavailable`: the first LISTEN failed; nothing is kept
   */
  listen(
    channel: string,
    onNotify: (payload: string) => void,
    onReconnect?: () => void,
  ): Promise<() => Promise<void>>;
  /** Send a notification outside any transaction. Payload: less than 8000 octets. */
  notify(channel: string, payload: string): Promise<void>;
  /** For metrics and `/readyz`. */
  readonly counts: { readonly open: number; readonly busy: number; readonly waiting: number };
  /** Wait for operations under way until the deadline, then close every connection. */
  close(deadline: Deadline): Promise<void>;
}

const CONNECT_TIMEOUT_MS = 5_000;
/** A transaction in which nothing happens is ended by the server after this time: its locks would hold up others. */
const IDLE_IN_TRANSACTION_MS = 60_000;

/**
 * Make the pool and check one connection.
 * @throws {MairustError} `store_unavailable`: no connection; `config_invalid`: URL, or a server older than PostgreSQL 15
 */
export async function openDatabase(options: DatabaseOptions): Promise<Db> {
  const database = new Database(options);
  try {
    await database.check();
  } catch (error) {
    const now = deadlineAfter(0);
    await database.close(now);
    now.dispose();
    throw error;
  }
  return database;
}

class Database implements Db {
  readonly #pool: Pool;
  readonly #listener: Listener;
  readonly #observe: DatabaseOptions["observe"];

  constructor(options: DatabaseOptions) {
    const target = typeof options.target === "string" ? parseDatabaseUrl(options.target) : options.target;
    const limitMs = options.statementTimeoutMs ?? 30_000;
    this.#observe = options.observe;
    this.#pool = new Pool(() => connect(target, limitMs), {
      max: options.pool ?? 10,
      acquireTimeoutMs: options.acquireTimeoutMs ?? 10_000,
      maxWaiting: options.maxWaiting ?? 10_000,
      idleMs: options.idleMs ?? 60_000,
    });
    this.#listener = new Listener(onNotify => connect(target, limitMs, onNotify), options.log);
  }

  get counts() {
    return this.#pool.counts;
  }

  async query<Row extends object>(
    strings: TemplateStringsArray,
    ...values: readonly SqlValue[]
  ): Promise<Row[]> {
    return (await this.#statement(statementOf(strings, values))).rows as Row[];
  }

  async run(strings: TemplateStringsArray, ...values: readonly SqlValue[]): Promise<number> {
    return (await this.#statement(statementOf(strings, values))).count;
  }

  begin<T>(work: (tx: Tx) => Promise<T>, options: TransactionOptions = {}, deadline?: Deadline): Promise<T> {
    return this.#observed("transaction", () =>
      this.#pool.use(connection => transaction(connection, work, options), deadline),
    );
  }

  listen(
    channel: string,
    onNotify: (payload: string) => void,
    onReconnect?: () => void,
  ): Promise<() => Promise<void>> {
    return this.#listener.add({ channel, onNotify, onReconnect });
  }

  async notify(channel: string, payload: string): Promise<void> {
    await this.query`select pg_notify(${channel}, ${payload})`;
  }

  async check(): Promise<void> {
    const [row] = await this.query<{
      version: number;
    }>`select current_setting('server_version_num')::int as version`;
    if (row === undefined || row.version < OLDEST_SERVER) {
      const version = Math.floor((row?.version ?? 0) / 10_000);
      throw new MairustError(
        "config_invalid",
        `Cannot use the database: it is PostgreSQL ${version}, 15 or newer is needed`,
      );
    }
  }

  async close(deadline: Deadline): Promise<void> {
    await this.#listener.close();
    await this.#pool.close(deadline);
  }

  #statement(statement: Statement): Promise<Result> {
    return this.#observed("statement", () => this.#pool.use(connection => connection.run(statement)));
  }

  async #observed<T>(what: "statement" | "transaction", work: () => Promise<T>): Promise<T> {
    if (this.#observe === undefined) return work();
    const startedAt = performance.now();
    let ok = false;
    try {
      const result = await work();
      ok = true;
      return result;
    } finally {
      this.#observe(what, performance.now() - startedAt, ok);
    }
  }
}

/** The first server of the target that answers, and takes writes if there are several. @throws {MairustError} `store_unavailable` */
async function connect(target: DatabaseTarget, limitMs: number, onNotify?: OnNotify): Promise<Connection> {
  let failure: unknown;
  for (const [i, host] of target.hosts.entries()) {
    const address = { host, port: target.ports[i] ?? 0 };
    try {
      return await connectTo(address, target, limitMs, onNotify);
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

async function connectTo(
  address: ServerAddress,
  target: DatabaseTarget,
  limitMs: number,
  onNotify: OnNotify | undefined,
): Promise<Connection> {
  const deadline = deadlineAfter(CONNECT_TIMEOUT_MS);
  const makeSocket = socketMaker(address, deadline);
  const options = driverOptions(target, address, limitMs);
  const connection = new Connection(
    onClosed => makeDriver({ ...options, socket: makeSocket, onclose: onClosed, onnotify: onNotify }),
    limitMs,
  );
  try {
    const { rows } = await within(connection.run(IS_STANDBY), deadline);
    if (target.hosts.length > 1 && (rows[0] as { standby: boolean }).standby) {
      throw new MairustError(
        "store_unavailable",
        `Cannot use the database at "${address.host}": it is a standby`,
      );
    }
    return connection;
  } catch (error) {
    await connection.close();
    if (!deadline.signal.aborted) throw error;
    throw new MairustError("store_unavailable", "Cannot connect to the database: no answer in time", {
      cause: error,
      publicText: "mail storage is not available",
    });
  } finally {
    deadline.dispose();
  }
}

const IS_STANDBY: Statement = { text: "select pg_is_in_recovery() as standby", parameters: [] };

type OnNotify = (channel: string, payload: string) => void;
type DeclaredOptions = postgres.Options<Record<string, postgres.PostgresType>>;
/** The driver's options as they are: its type declarations know no lists of hosts, and leave some out. */
type DriverOptions = Omit<DeclaredOptions, "host" | "port"> & {
  readonly host: string[];
  readonly port: number[];
  readonly sslnegotiation: null;
  readonly max_pipeline: number;
  readonly socket?: () => Promise<Socket>;
  readonly onnotify?: OnNotify | undefined;
};

/** Every option is named: for those left out the driver would read the environment. */
function driverOptions(
  target: DatabaseTarget,
  { host, port }: ServerAddress,
  limitMs: number,
): DriverOptions {
  return {
    host: [host],
    port: [port],
    user: target.user,
    password: target.password,
    database: target.database,
    ssl: host.startsWith("/") ? false : tlsOption(target),
    sslnegotiation: null,
    max: 1,
    max_pipeline: 100,
    max_lifetime: null,
    idle_timeout: 0,
    connect_timeout: CONNECT_TIMEOUT_MS / 1_000,
    keep_alive: 60,
    prepare: true,
    fetch_types: false,
    types: { ...TYPES },
    onnotice: () => undefined,
    backoff: false,
    debug: false,
    publications: "",
    target_session_attrs: undefined,
    connection: {
      application_name: "mairust",
      statement_timeout: limitMs,
      idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS,
      // "250" promises durability: a default of the role or the database must not take it back.
      synchronous_commit: "on",
      TimeZone: "UTC",
      DateStyle: "ISO",
      bytea_output: "hex",
      extra_float_digits: 3,
    },
  };
}

/** A driver client of one connection. */
function makeDriver(options: DriverOptions): Driver {
  // As the driver takes them: its declarations lack some ({@link DriverOptions}).
  const client = postgres(options as unknown as DeclaredOptions);
  return {
    run: async (text, parameters, simple) => {
      const how = { prepare: !simple, simple };
      // Wider than its declarations: any value that db-values.ts made, and rows of any shape.
      return (await client.unsafe(text, parameters as never[], how)) as unknown as RawResult;
    },
    destroy: () => client.end({ timeout: 0 }),
  };
}

function tlsOption(target: DatabaseTarget): boolean | "prefer" | "require" | object {
  const ca = target.tlsRootFile === undefined ? {} : { ca: readFileSync(target.tlsRootFile) };
  switch (target.tls) {
    case "disable":
      return false;
    case "prefer":
    case "require":
      return target.tls;
    case "verify-ca":
      return { ...ca, checkServerIdentity: () => undefined };
    case "verify-full":
      return ca;
  }
}
