/**
 * The error codes that a `code` member of a problem document may hold, without the schema library: the command line reads
 * this file, and `--help` must not load more. `api/problem.ts` holds it equal to the core's list, by the compiler.
 */
export const API_ERROR_CODES = [
  "address_syntax",
  "already_exists",
  "auth_failed",
  "blob_damaged",
  "blob_missing",
  "config_invalid",
  "data_invalid",
  "deadline",
  "disk_full",
  "draining",
  "internal",
  "invalid_argument",
  "invalid_state",
  "mail_loop",
  "message_too_large",
  "not_built",
  "not_found",
  "not_permitted",
  "over_quota",
  "plugin_dependency",
  "plugin_failed",
  "plugin_load",
  "plugin_security",
  "plugin_validation",
  "stop_failed",
  "store_unavailable",
  "too_many",
  "unknown_account",
  "unknown_domain",
] as const;

export type ApiErrorCode = (typeof API_ERROR_CODES)[number];

/** Most items of one page of a list (`limit`). */
export const MAX_PAGE_ITEMS = 200;
/** Items of a page when the request names no `limit`. */
export const DEFAULT_PAGE_ITEMS = 50;
/** Longest search text, in characters. */
export const MAX_SEARCH_CHARS = 1000;
/** Longest address, id or Message-ID field in a path, in characters. */
export const MAX_PATH_PARAM = 1000;
