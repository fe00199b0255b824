/**
 * What the database or the way to it says, as the one error family (step 7, below `db.ts`). Pure.
 *
 * The rule: when the server cannot be used now (connection, shutdown, failover, no more connections) it is `store_unavailable`,
 * and whoever has more to store need not try; what happened to one statement (a mistake, a deadlock, memory) is `internal`, and says
 * nothing about the next. Both are transient: a bug of ours must never bounce mail.
 * Source: PostgreSQL manual, appendix A (SQLSTATE).
 */
import { type ErrorCode, MairustError, messageOf } from "../core/errors.ts";

/** What {@link databaseError} puts into the context. */
export interface DatabaseErrorContext {
  /** SQLSTATE, or the driver's or Node's code when the server said nothing. */
  readonly sqlstate?: string;
  readonly constraint?: string;
  readonly table?: string;
  /** True when the connection cannot be used again. */
  readonly dropConnection?: boolean;
  /** True when the same transaction may succeed at once: see {@link isSerializationFailure}. */
  readonly retryStatement?: boolean;
}

/** Codes of Node and the driver that mean "no way to the server now". */
const CONNECTION_CODES: ReadonlySet<string> = new Set([
  "CONNECTION_CLOSED",
  "CONNECTION_DESTROYED",
  "CONNECTION_ENDED",
  "CONNECT_TIMEOUT",
  "EACCES",
  "EAI_AGAIN",
  "ECONNABORTED",
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTUNREACH",
  "EMFILE",
  "ENETUNREACH",
  "ENOENT",
  "ENOTFOUND",
  "EPIPE",
  "ERR_STREAM_DESTROYED",
  "ERR_STREAM_WRITE_AFTER_END",
  "ETIMEDOUT",
]);

/** SQLSTATE prefixes, longest first where they overlap; the rest is `internal`. */
const BY_SQLSTATE: ReadonlyArray<readonly [prefix: string, code: ErrorCode, drop: boolean]> = [
  ["08", "store_unavailable", true], // connection exception
  ["25006", "store_unavailable", true], // read only: this server is a standby now
  ["25P03", "store_unavailable", true], // idle in transaction for too long
  ["26000", "store_unavailable", true], // prepared statement is gone: a pooler between us and the server
  ["28", "store_unavailable", true], // login refused
  ["3D000", "store_unavailable", true], // no such database
  ["53100", "disk_full", false],
  ["53200", "internal", false], // out of memory: this statement's
  ["53", "store_unavailable", false], // too many connections
  ["57014", "deadline", false], // cancelled: statement_timeout
  ["57P", "store_unavailable", true], // shutdown, crash, starting up
  ["58", "store_unavailable", true], // the server's own input/output
];

/** Others were in the way: serialization failure, deadlock (class 40), lock not available. */
const OTHERS_IN_THE_WAY = ["40", "55P03"];
/** Severities after which the server ends the connection, whatever the code. */
const ENDS_CONNECTION: ReadonlySet<string> = new Set(["FATAL", "PANIC"]);

/** Routines whose failure means that a cached plan is out of date (another node migrated the schema). */
const STALE_PLAN = "RevalidateCachedQuery";

/**
 * @param error   whatever the driver threw; a `MairustError` passes through
 * @param action  what was tried, for the message: `run a statement`
 * Parameters of the statement never get into the message or the context.
 */
export function databaseError(error: unknown, action: string): MairustError {
  if (error instanceof MairustError) return error;
  const { code, drop } = classify(error);
  const context: DatabaseErrorContext = {
    ...field("sqlstate", textOf(error, "code")),
    ...field("constraint", textOf(error, "constraint_name")),
    ...field("table", textOf(error, "table_name")),
    dropConnection: drop,
    ...(code === "internal" && isInTheWay(error) ? { retryStatement: true } : {}),
  };
  const publicText = code === "internal" ? "" : "mail storage is not available";
  return new MairustError(code, `Cannot ${action}: ${messageOf(error)}`, {
    cause: error,
    context: { ...context },
    publicText,
  });
}

function classify(error: unknown): { readonly code: ErrorCode; readonly drop: boolean } {
  const sqlstate = textOf(error, "code") ?? "";
  if (CONNECTION_CODES.has(sqlstate)) return { code: "store_unavailable", drop: true };
  if (textOf(error, "routine") === STALE_PLAN) return { code: "store_unavailable", drop: true };
  const found = BY_SQLSTATE.find(([prefix]) => sqlstate.startsWith(prefix));
  const [, code = "internal", drop = false] = found ?? [];
  if (!ENDS_CONNECTION.has(textOf(error, "severity") ?? "")) return { code, drop };
  return { code: code === "internal" ? "store_unavailable" : code, drop: true };
}

function isInTheWay(error: unknown): boolean {
  const sqlstate = textOf(error, "code") ?? "";
  return OTHERS_IN_THE_WAY.some(prefix => sqlstate.startsWith(prefix));
}

function textOf(error: unknown, name: string): string | undefined {
  if (typeof error !== "object" || error === null || !(name in error)) return undefined;
  const value: unknown = Reflect.get(error, name);
  return typeof value === "string" ? value : undefined;
}

function field(name: "sqlstate" | "constraint" | "table", value: string | undefined): DatabaseErrorContext {
  return value === undefined ? {} : { [name]: value };
}

/** The SQLSTATE behind an error of `db.ts`, or undefined. */
export function sqlstateOf(error: unknown): string | undefined {
  return error instanceof MairustError ? textOf(error.context, "sqlstate") : undefined;
}

/** True when other transactions were in the way (deadlock, serialization failure, lock): nothing is stored, the same again may succeed. */
export function isSerializationFailure(error: unknown): boolean {
  return error instanceof MairustError && error.context.retryStatement === true;
}

/** True when a unique constraint or index refused the row. @param constraint  only this one, by name */
export function isUniqueViolation(error: unknown, constraint?: string): boolean {
  return isViolation(error, "23505", constraint);
}

/** True when a row that is pointed to is missing, or one that is still pointed to was to go. */
export function isForeignKeyViolation(error: unknown, constraint?: string): boolean {
  return isViolation(error, "23503", constraint);
}

function isViolation(error: unknown, sqlstate: string, constraint: string | undefined): boolean {
  if (sqlstateOf(error) !== sqlstate || !(error instanceof MairustError)) return false;
  return constraint === undefined || textOf(error.context, "constraint") === constraint;
}

/** True when the connection that gave this error must not be used again. */
export function dropsConnection(error: unknown): boolean {
  return error instanceof MairustError && error.context.dropConnection === true;
}
