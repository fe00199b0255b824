/**
 * What the process's exit code says, after sysexits.h. One total table: an error code without a line does not compile.
 * Loads nothing: `--help` needs it too.
 */
import type { ApiErrorCode } from "../wire/api/codes.ts";

export const EXIT = {
  ok: 0,
  failed: 1,
  /** Changed meanwhile: run again. */
  changed: 2,
  usage: 64,
  badData: 65,
  noInput: 66,
  noUser: 67,
  serviceAway: 69,
  bug: 70,
  cannotCreate: 73,
  inputOutput: 74,
  tryLater: 75,
  notAllowed: 77,
  configuration: 78,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

const BY_CODE = {
  address_syntax: EXIT.badData,
  already_exists: EXIT.cannotCreate,
  auth_failed: EXIT.notAllowed,
  blob_damaged: EXIT.inputOutput,
  blob_missing: EXIT.inputOutput,
  config_invalid: EXIT.configuration,
  data_invalid: EXIT.badData,
  deadline: EXIT.tryLater,
  disk_full: EXIT.inputOutput,
  draining: EXIT.tryLater,
  internal: EXIT.bug,
  invalid_argument: EXIT.usage,
  invalid_state: EXIT.changed,
  mail_loop: EXIT.badData,
  message_too_large: EXIT.badData,
  not_built: EXIT.usage,
  not_found: EXIT.noInput,
  not_permitted: EXIT.notAllowed,
  over_quota: EXIT.cannotCreate,
  plugin_dependency: EXIT.badData,
  plugin_failed: EXIT.tryLater,
  plugin_load: EXIT.noInput,
  plugin_security: EXIT.notAllowed,
  plugin_validation: EXIT.badData,
  stop_failed: EXIT.failed,
  store_unavailable: EXIT.serviceAway,
  too_many: EXIT.tryLater,
  unknown_account: EXIT.noUser,
  unknown_domain: EXIT.noUser,
} as const satisfies Record<ApiErrorCode, ExitCode>;

function isKnown(code: unknown): code is ApiErrorCode {
  return typeof code === "string" && Object.hasOwn(BY_CODE, code);
}

/** @param code  of an error of ours; anything else is a bug, 70 */
export function exitCodeOf(code: unknown): ExitCode {
  return isKnown(code) ? BY_CODE[code] : EXIT.bug;
}

/** What a command reports and ends with. `message` is shown as it is, so it must be readable and safe to print. */
export class CommandError extends Error {
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "CommandError";
    this.exitCode = exitCode;
  }
}

/** What became of one of several pieces of work. */
export function asCommandError(error: unknown): CommandError {
  if (error instanceof CommandError) return error;
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return new CommandError(exitCodeOf(code), error instanceof Error ? error.message : String(error), error);
}

export function usageError(message: string): CommandError {
  return new CommandError(EXIT.usage, message);
}

/** Nobody answers at `where`, a socket or an address: 69. @param error  why, as the system says it */
export function serviceAway(where: string, error: unknown): CommandError {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  const known: Readonly<Record<string, string>> = {
    ENOENT: "there is no such socket",
    ECONNREFUSED: "nobody listens there",
  };
  const reason =
    known[String(code)] ?? (code === undefined && error instanceof Error ? error.message : String(code));
  const text = `the service is away: cannot reach ${where} (${reason}). Start it with "mairust serve", or name its configuration with --config`;
  return new CommandError(EXIT.serviceAway, text, error);
}
