/**
 * Replies of the LMTP listener: how one is written, and the one table from error codes to replies.
 * Last step of the message path: outcome → line for Postfix, whose log then leads to `mairust explain`.
 *
 * Enhanced codes are set here and nowhere else; the library would add its own in front of ours.
 * A fault of our house is never a 5xx, whatever its `retry` says: a bounce cannot be taken back, a queue can wait.
 *
 * Sources: RFC 5321 §4.2; RFC 2034; RFC 3463; RFC 2033 §4.2; mail-path.md §2, §3
 */

import { assertNever, type ErrorCode, isTransient, type MairustError } from "../../core/errors.ts";
import type { RecipientOutcome } from "../../core/ports/intake.ts";
import { REPLY_TEXT_BYTES } from "./limits.ts";

export interface Reply {
  readonly code: number;
  /** RFC 3463 code; "" on the greeting, LHLO and 354 (RFC 2034 §4). */
  readonly enhanced: string;
  readonly text: string;
}

/** @returns the reply as one line with CRLF, printable ASCII, at most {@link REPLY_TEXT_BYTES} of text */
export function renderReply(reply: Reply): string {
  const text = sanitizeText(reply.text, REPLY_TEXT_BYTES);
  return reply.enhanced === "" ? `${reply.code} ${text}\r\n` : `${reply.code} ${reply.enhanced} ${text}\r\n`;
}

/** Replace what is not printable ASCII by "?" and cut. */
export function sanitizeText(text: string, maxBytes: number): string {
  const cut = text.length > maxBytes * 2 ? text.slice(0, maxBytes * 2) : text;
  const ascii = /[^\x20-\x7e]/u.test(cut) ? cut.replace(/[^\x20-\x7e]/gu, "?") : cut;
  return ascii.length > maxBytes ? ascii.slice(0, maxBytes) : ascii;
}

interface ErrorReplies {
  /** Code and enhanced code when the same mail can succeed later, and when it cannot. */
  readonly later: readonly [code: number, enhanced: string];
  readonly never: readonly [code: number, enhanced: string];
  readonly text: string;
}

const HOUSE_FAULT = { later: [451, "4.3.0"], never: [451, "4.3.0"] } as const;

const ERROR_REPLIES = {
  address_syntax: { later: [451, "4.1.3"], never: [501, "5.1.3"], text: "bad address syntax" },
  already_exists: { ...HOUSE_FAULT, text: "local error" },
  auth_failed: { ...HOUSE_FAULT, text: "local error" },
  blob_damaged: { ...HOUSE_FAULT, text: "local error in storage" },
  blob_missing: { ...HOUSE_FAULT, text: "local error in storage" },
  config_invalid: { later: [451, "4.3.5"], never: [451, "4.3.5"], text: "local configuration error" },
  data_invalid: { later: [451, "4.6.0"], never: [554, "5.6.0"], text: "message not acceptable" },
  deadline: { ...HOUSE_FAULT, text: "not finished in time" },
  disk_full: { later: [452, "4.3.1"], never: [452, "4.3.1"], text: "insufficient system storage" },
  draining: { later: [421, "4.3.2"], never: [421, "4.3.2"], text: "service is stopping" },
  internal: { ...HOUSE_FAULT, text: "local error" },
  invalid_argument: { ...HOUSE_FAULT, text: "local error" },
  invalid_state: { ...HOUSE_FAULT, text: "local error" },
  mail_loop: { later: [451, "4.4.6"], never: [554, "5.4.6"], text: "mail loop" },
  message_too_large: { later: [452, "4.3.4"], never: [552, "5.3.4"], text: "message too large" },
  not_built: { ...HOUSE_FAULT, text: "not available in this version" },
  not_found: { ...HOUSE_FAULT, text: "local error" },
  not_permitted: { later: [450, "4.7.1"], never: [550, "5.7.1"], text: "not permitted" },
  over_quota: { later: [452, "4.2.2"], never: [552, "5.2.2"], text: "mailbox full" },
  plugin_dependency: { ...HOUSE_FAULT, text: "local error in a plugin" },
  plugin_failed: { ...HOUSE_FAULT, text: "local error in a plugin" },
  plugin_load: { ...HOUSE_FAULT, text: "local error in a plugin" },
  plugin_security: { ...HOUSE_FAULT, text: "local error in a plugin" },
  plugin_validation: { ...HOUSE_FAULT, text: "local error in a plugin" },
  stop_failed: { ...HOUSE_FAULT, text: "local error" },
  store_unavailable: { ...HOUSE_FAULT, text: "storage is not available" },
  too_many: { later: [452, "4.5.3"], never: [452, "4.5.3"], text: "too many" },
  unknown_account: { later: [450, "4.1.1"], never: [550, "5.1.1"], text: "no such mailbox" },
  unknown_domain: { later: [450, "4.1.2"], never: [550, "5.1.2"], text: "domain is not served here" },
} as const satisfies Record<ErrorCode, ErrorReplies>;

/** The reply to a command that failed with `error`. */
export function errorReply(error: MairustError): Reply {
  const entry: ErrorReplies = ERROR_REPLIES[error.code];
  const [code, enhanced] = isTransient(error) ? entry.later : entry.never;
  return { code, enhanced, text: error.publicText === "" ? entry.text : error.publicText };
}

/**
 * The reply for one recipient after the final dot. Never 421: it would end the connection before the
 * other recipients have their answers.
 * @param id  message id to name in the text, when there is one
 */
export function recipientErrorReply(error: MairustError, id?: string): Reply {
  const reply = errorReply(error);
  const code = reply.code === 421 ? 451 : reply.code;
  return { code, enhanced: reply.enhanced, text: withId(reply.text, id) };
}

/** One recipient's outcome as the reply line for it (RFC 2033 §4.2). */
export function outcomeReply(outcome: RecipientOutcome): Reply {
  switch (outcome.kind) {
    case "stored":
      return outcome.already
        ? { code: 250, enhanced: "2.0.0", text: `id=${outcome.id} already stored` }
        : { code: 250, enhanced: "2.0.0", text: `stored id=${outcome.id}` };
    case "held":
      return { code: 250, enhanced: "2.0.0", text: `held id=${outcome.id}` };
    case "relayed":
      return relayedReply(outcome);
    case "relayed_before":
      return { code: 250, enhanced: "2.0.0", text: `id=${outcome.id} already relayed` };
    case "refused":
      return refusedReply(outcome);
    case "failed":
      return recipientErrorReply(outcome.error, outcome.id);
    default:
      return assertNever(outcome);
  }
}

/** The next hop's own words: code, enhanced code and text. Only 421 would say something about this connection. */
function relayedReply({ code, enhanced, text, id }: RecipientOutcome & { readonly kind: "relayed" }): Reply {
  const isReply = (code >= 200 && code < 300) || (code >= 400 && code < 600);
  if (!isReply || code === 421) return { code: 451, enhanced: "4.3.2", text: withId(text, id) };
  return { code, enhanced: enhanced === "" ? `${Math.floor(code / 100)}.0.0` : enhanced, text };
}

/** A hook's verdict: its codes were checked, but a wrong one here would lose or bounce mail, so they are checked again. */
function refusedReply(outcome: RecipientOutcome & { readonly kind: "refused" }): Reply {
  const sound =
    Number.isInteger(outcome.code) && outcome.code >= 400 && outcome.code <= 599 && outcome.code !== 421;
  const code = sound ? outcome.code : 451;
  const replyClass = code < 500 ? 4 : 5;
  const ownClass = ENHANCED_CODE.test(outcome.enhanced) && outcome.enhanced.startsWith(`${replyClass}.`);
  // A text that begins with an enhanced code would show two.
  const text = outcome.text.replace(/^\s*[245]\.\d{1,3}\.\d{1,3}\s+/u, "");
  return {
    code,
    enhanced: ownClass ? outcome.enhanced : `${replyClass}.7.1`,
    text: withId(text, outcome.id),
  };
}

const ENHANCED_CODE = /^[45]\.\d{1,3}\.\d{1,3}$/u;

/** The id is what an administrator searches for: the text gives way to it. */
function withId(text: string, id: string | undefined): string {
  if (id === undefined) return text;
  const suffix = ` id=${id}`;
  return sanitizeText(text, REPLY_TEXT_BYTES - suffix.length) + suffix;
}

/** Enhanced codes of the replies that the library itself sends. */
const LIBRARY_CODES: Readonly<Record<number, string>> = {
  214: "2.0.0",
  220: "2.0.0",
  221: "2.0.0",
  250: "2.0.0",
  252: "2.1.5",
  421: "4.3.2",
  451: "4.3.0",
  454: "4.7.0",
  500: "5.5.2",
  501: "5.5.4",
  502: "5.5.1",
  503: "5.5.1",
  550: "5.7.0",
};

/** A reply that came from library code as code and text. */
export function libraryReply(code: number, text: string): Reply {
  const known = LIBRARY_CODES[code] ?? `${Math.trunc(code / 100)}.0.0`;
  return { code, enhanced: code >= 300 && code < 400 ? "" : known, text: text.replace(/^Error: /u, "") };
}

// ---------------------------------------------------------------- fixed replies

export const ACCEPTED_SENDER: Reply = { code: 250, enhanced: "2.1.0", text: "ok" };
export const ACCEPTED_RECIPIENT: Reply = { code: 250, enhanced: "2.1.5", text: "ok" };
export const OK: Reply = { code: 250, enhanced: "2.0.0", text: "ok" };
export const START_MAIL_INPUT: Reply = { code: 354, enhanced: "", text: "end data with <CR><LF>.<CR><LF>" };
export const NEED_MAIL: Reply = { code: 503, enhanced: "5.5.1", text: "send MAIL first" };
export const NESTED_MAIL: Reply = { code: 503, enhanced: "5.5.1", text: "a transaction is open" };
/** RFC 2033 §4.2: DATA without an accepted recipient MUST be 503. */
export const NO_VALID_RECIPIENTS: Reply = { code: 503, enhanced: "5.5.1", text: "no valid recipients" };
export const TOO_MANY_RECIPIENTS: Reply = { code: 452, enhanced: "4.5.3", text: "too many recipients" };
export const TOO_MANY_CONNECTIONS: Reply = { code: 421, enhanced: "4.3.2", text: "too many connections" };
export const TOO_MANY_ERRORS: Reply = { code: 421, enhanced: "4.7.0", text: "too many errors" };
export const DRAINING: Reply = { code: 421, enhanced: "4.3.2", text: "service is stopping" };
export const IDLE_TOO_LONG: Reply = { code: 421, enhanced: "4.4.2", text: "idle for too long" };
export const UPLOAD_TOO_LONG: Reply = { code: 421, enhanced: "4.4.2", text: "message took too long" };
export const GAVE_UP: Reply = { code: 421, enhanced: "4.3.0", text: "local error, closing" };
export const LINE_TOO_LONG: Reply = { code: 500, enhanced: "5.5.2", text: "line too long" };
export const BARE_LF: Reply = { code: 500, enhanced: "5.5.2", text: "lines end with <CR><LF>" };
/** RFC 2034 §4: no enhanced code on replies to LHLO. */
export const BAD_LHLO: Reply = { code: 501, enhanced: "", text: "syntax: LHLO hostname" };
