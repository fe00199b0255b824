/**
 * The one error family of the service. Every failure that crosses a module boundary is a `MairustError`;
 * each edge (LMTP, IMAP, HTTP, CLI) maps its `code` to a reply in one total table.
 */

/** Every failure kind the service distinguishes. An edge table is `satisfies Record<ErrorCode, …>`. */
export type ErrorCode =
  | "address_syntax"
  | "already_exists"
  | "auth_failed"
  | "blob_damaged"
  | "blob_missing"
  | "config_invalid"
  | "data_invalid"
  | "deadline"
  | "disk_full"
  | "draining"
  | "internal"
  | "invalid_argument"
  | "invalid_state"
  | "mail_loop"
  | "message_too_large"
  | "not_built"
  | "not_found"
  | "not_permitted"
  | "over_quota"
  | "plugin_dependency"
  | "plugin_failed"
  | "plugin_load"
  | "plugin_security"
  | "plugin_validation"
  | "stop_failed"
  | "store_unavailable"
  | "too_many"
  | "unknown_account"
  | "unknown_domain";

/** Whether the same request can succeed later: decides 4xx or 5xx in one place ({@link isTransient}). */
export type Retry = "later" | "never";

export interface ErrorOptions {
  readonly retry?: Retry;
  /** May be shown to a peer: no secret, no path, no address but the peer's own. */
  readonly publicText?: string;
  readonly cause?: unknown;
  /** For the log only. */
  readonly context?: Readonly<Record<string, unknown>>;
}

/** Codes that heal by themselves unless the thrower says otherwise. */
const TRANSIENT: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "blob_damaged",
  "blob_missing",
  "deadline",
  "disk_full",
  "draining",
  "internal",
  "over_quota",
  "plugin_failed",
  "store_unavailable",
  "too_many",
]);

export class MairustError extends Error {
  readonly code: ErrorCode;
  readonly retry: Retry;
  readonly publicText: string;
  readonly context: Readonly<Record<string, unknown>>;

  /** @param message  action, active voice, value in quotes, state after a colon: `Cannot open blob "b4f1…": size is 0` */
  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.retry = options.retry ?? (TRANSIENT.has(code) ? "later" : "never");
    this.publicText = options.publicText ?? "";
    this.context = options.context ?? {};
  }
}

/** The base of what a plugin can do wrong; subclasses are those somebody catches. */
export class PluginError extends MairustError {}
export class PluginLoadError extends PluginError {}
export class PluginValidationError extends PluginError {}
export class PluginSecurityError extends PluginError {}
export class PluginDependencyError extends PluginError {}

/** A name is taken in a registry. */
export class AlreadyRegistered extends MairustError {
  constructor(name: string) {
    super("already_exists", `Cannot register "${name}": the name is taken`);
  }
}

/** A name is not in a registry. */
export class NotFound extends MairustError {
  /** With the name, for edges that can write any text down. */
  readonly namedText: string;

  constructor(what: string, name: string) {
    super("not_found", `Cannot find ${what} "${name}": there is none`, { publicText: `no such ${what}` });
    this.namedText = `no such ${what} "${name}"`;
  }
}

/** A transition that the current state does not allow. */
export class InvalidState extends MairustError {
  constructor(name: string, current: string, expected: string) {
    super(
      "invalid_state",
      `Cannot change component "${name}": state is "${current}", expected "${expected}"`,
    );
  }
}

/** What is to be changed is not what the caller saw: read it again. */
export class StaleVersion extends MairustError {
  constructor(what: string, name: string) {
    const text = `${what} "${name}" was changed meanwhile; look at it again`;
    super("invalid_state", `Cannot change ${text}`, { publicText: text });
  }
}

/** Something must be in order before a change is made, and is not. */
export class PreconditionFailed extends MairustError {
  /** `code` is stable, for scripts. */
  readonly failures: readonly { readonly code: string; readonly text: string }[];

  constructor(action: string, failures: readonly { readonly code: string; readonly text: string }[]) {
    const publicText = `${action} is refused: ${failures.map(({ text }) => text).join("; ")}`;
    super("not_permitted", `Cannot do it: ${publicText}`, { publicText });
    this.failures = failures;
  }
}

/** One or more components failed to stop; the others were stopped all the same. */
export class StopFailed extends MairustError {
  readonly failures: ReadonlyArray<{ readonly name: string; readonly error: unknown }>;

  constructor(failures: ReadonlyArray<{ readonly name: string; readonly error: unknown }>) {
    super("stop_failed", `Cannot stop ${failures.map(f => `"${f.name}": ${messageOf(f.error)}`).join("; ")}`);
    this.failures = failures;
  }
}

/** True when the peer should try again: the single place where 4xx and 5xx part. */
export function isTransient(error: MairustError): boolean {
  return error.retry === "later";
}

/** Wrap whatever was thrown; a `MairustError` passes through, anything else becomes `internal` (transient: nothing is lost). */
export function toMairustError(error: unknown, action: string): MairustError {
  if (error instanceof MairustError) return error;
  return new MairustError("internal", `Cannot ${action}: ${messageOf(error)}`, { cause: error });
}

/** The text of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Ends a `switch` over a closed union: a new member is a compile error here. */
export function assertNever(value: never): never {
  throw new MairustError("internal", `Unreachable value ${JSON.stringify(value)}`);
}
