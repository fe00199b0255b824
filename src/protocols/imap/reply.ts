/**
 * Errors to IMAP answers: the one table of this edge. The text may be read by a user in a mail client, so it is the
 * error's public text or a plain sentence; the rest goes to the log. Source: RFC 3501 §7.1, RFC 5530, RFC 9051 §7.1.
 */
import type { ErrorCode, MairustError } from "../../core/errors.ts";

/** How a command ended. */
export interface Completion {
  readonly status: "OK" | "NO" | "BAD";
  /** Response code without brackets. */
  readonly code?: string;
  readonly text: string;
  /** The session ends behind it, with this BYE. */
  readonly bye?: string;
}

interface Rule {
  readonly status: "NO" | "BAD";
  readonly code?: string;
  readonly text: string;
}

const UNAVAILABLE: Rule = { status: "NO", code: "UNAVAILABLE", text: "Temporarily not available, try again" };
const SERVERBUG: Rule = { status: "NO", code: "SERVERBUG", text: "Internal error, see the server's log" };

const RULES = {
  address_syntax: { status: "NO", code: "AUTHENTICATIONFAILED", text: "Not a mail address" },
  already_exists: { status: "NO", code: "ALREADYEXISTS", text: "It exists already" },
  auth_failed: { status: "NO", code: "AUTHENTICATIONFAILED", text: "Authentication failed" },
  blob_damaged: { status: "NO", code: "CORRUPTION", text: "The message cannot be read: its data is damaged" },
  blob_missing: { status: "NO", code: "CORRUPTION", text: "The message cannot be read: its data is missing" },
  config_invalid: SERVERBUG,
  data_invalid: { status: "NO", code: "CORRUPTION", text: "Stored data cannot be read" },
  deadline: UNAVAILABLE,
  disk_full: UNAVAILABLE,
  draining: UNAVAILABLE,
  internal: SERVERBUG,
  invalid_argument: { status: "NO", code: "CANNOT", text: "Not possible" },
  invalid_state: SERVERBUG,
  mail_loop: SERVERBUG,
  message_too_large: { status: "NO", code: "TOOBIG", text: "Too large" },
  not_built: { status: "NO", code: "CANNOT", text: "Not supported" },
  not_found: { status: "NO", code: "NONEXISTENT", text: "There is no such mailbox" },
  not_permitted: { status: "NO", code: "NOPERM", text: "Not permitted" },
  over_quota: { status: "NO", code: "OVERQUOTA", text: "Over quota" },
  plugin_dependency: SERVERBUG,
  plugin_failed: UNAVAILABLE,
  plugin_load: SERVERBUG,
  plugin_security: SERVERBUG,
  plugin_validation: SERVERBUG,
  stop_failed: SERVERBUG,
  store_unavailable: UNAVAILABLE,
  too_many: { status: "NO", code: "LIMIT", text: "Too many, try again later" },
  // Who has no account learns no more than who has a wrong password.
  unknown_account: { status: "NO", code: "AUTHENTICATIONFAILED", text: "Authentication failed" },
  unknown_domain: { status: "NO", code: "AUTHENTICATIONFAILED", text: "Authentication failed" },
} satisfies Record<ErrorCode, Rule>;

/** Errors that say nothing about us: they are not logged as faults. */
const EXPECTED: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "address_syntax",
  "auth_failed",
  "invalid_argument",
  "not_found",
  "not_permitted",
  "too_many",
  "unknown_account",
  "unknown_domain",
]);

/** Codes whose public text would tell a stranger what exists. */
const SILENT: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "address_syntax",
  "auth_failed",
  "unknown_account",
  "unknown_domain",
]);

export function completionOf(error: MairustError): Completion {
  const rule: Rule = RULES[error.code];
  const text = error.publicText === "" || SILENT.has(error.code) ? rule.text : oneLine(error.publicText);
  return { ...rule, text };
}

/** True when the error is the client's or the user's affair. */
export function isExpected(error: MairustError): boolean {
  return EXPECTED.has(error.code);
}

/** Text that can stand in a response line. */
export function oneLine(text: string): string {
  const plain = text.replace(/[^\x20-\x7e]+/gu, "?").slice(0, 300);
  return plain === "" ? "?" : plain;
}

export const ok = (text: string, code?: string): Completion => complete("OK", text, code);
export const no = (text: string, code?: string): Completion => complete("NO", text, code);
export const bad = (text: string, code?: string): Completion => complete("BAD", text, code);

function complete(status: Completion["status"], text: string, code: string | undefined): Completion {
  return code === undefined ? { status, text } : { status, code, text };
}

/** One tagged or untagged status line. @param tag  "*" for untagged */
export function statusLine(tag: string, completion: Completion): string {
  const code = completion.code === undefined ? "" : `[${completion.code}] `;
  return `${tag} ${completion.status} ${code}${completion.text}\r\n`;
}
