/**
 * Answers to the SMTP client, as the MTA takes them in SMFIR_REPLYCODE, and the one table from error codes to them.
 *
 * A fault of our house is never a 5xx, whatever its `retry` says: a refusal cannot be taken back, a client can come again.
 * Sources: RFC 5321 §4.2.1; RFC 3463; sendmail smfi_setmlreply(); mail-path.md §3
 */
import { type ErrorCode, isTransient, type MairustError } from "../../core/errors.ts";
import { REPLY_LINES, REPLY_TEXT_BYTES } from "./limits.ts";

export interface Reply {
  readonly code: number;
  readonly enhanced: string;
  readonly lines: readonly string[];
}

const ENHANCED_CODE = /^[45]\.\d{1,3}\.\d{1,3}$/u;
/** RFC 5321 §3.8, RFC 7504: these end the client's connection, not the message. */
const FORBIDDEN: ReadonlySet<number> = new Set([421, 521]);

/**
 * @param id  what leads to `mairust explain`; stands at the end of the last line, whose text gives way to it. "": none
 * @returns the reply without its last line end: lines parted by CRLF, each with both codes, printable ASCII. Wrong codes become
 *   451 4.7.1: a wrong one would make Postfix drop this connection.
 */
export function renderReply(reply: Reply, id = ""): string {
  const { code, enhanced } = soundCodes(reply);
  const lines = reply.lines.length === 0 ? [""] : reply.lines.slice(0, REPLY_LINES);
  const suffix = id === "" ? "" : ` id=${id}`;
  return lines
    .map((line, i) => {
      const isLast = i === lines.length - 1;
      const text = replyText(line, REPLY_TEXT_BYTES - (isLast ? suffix.length : 0));
      return `${code}${isLast ? " " : "-"}${enhanced} ${text}${isLast ? suffix : ""}`;
    })
    .join("\r\n");
}

function soundCodes({ code, enhanced }: Reply): { readonly code: number; readonly enhanced: string } {
  const sound = Number.isInteger(code) && code >= 400 && code <= 599 && !FORBIDDEN.has(code);
  if (!sound) return { code: 451, enhanced: "4.7.1" };
  const replyClass = Math.trunc(code / 100);
  const ownClass = ENHANCED_CODE.test(enhanced) && enhanced.startsWith(`${replyClass}.`);
  return { code, enhanced: ownClass ? enhanced : `${replyClass}.7.1` };
}

/** A line break in a text would make a line of its own; a second enhanced code would be shown as text. */
function replyText(text: string, maxBytes: number): string {
  const cut = text.length > REPLY_TEXT_BYTES * 2 ? text.slice(0, REPLY_TEXT_BYTES * 2) : text;
  const printable = cut.replace(/[^\x20-\x7e]/gu, "?").replace(/^\s*[245]\.\d{1,3}\.\d{1,3}\s+/u, "");
  return printable.slice(0, maxBytes).trimEnd() || "not accepted";
}

interface ErrorReplies {
  /** Codes when the same mail can succeed later, and when it cannot. */
  readonly later: readonly [code: number, enhanced: string];
  readonly never: readonly [code: number, enhanced: string];
  readonly text: string;
}

const HOUSE_FAULT = { later: [451, "4.3.0"], never: [451, "4.3.0"], text: "local error" } as const;
const PLUGIN_FAULT = { ...HOUSE_FAULT, text: "local error in a plugin" } as const;
const STORAGE_FAULT = { ...HOUSE_FAULT, text: "local error in storage" } as const;

const ERROR_REPLIES = {
  address_syntax: HOUSE_FAULT,
  already_exists: HOUSE_FAULT,
  auth_failed: HOUSE_FAULT,
  blob_damaged: STORAGE_FAULT,
  blob_missing: STORAGE_FAULT,
  config_invalid: { later: [451, "4.3.5"], never: [451, "4.3.5"], text: "local configuration error" },
  data_invalid: { later: [451, "4.6.0"], never: [554, "5.6.0"], text: "message not acceptable" },
  deadline: { ...HOUSE_FAULT, text: "not finished in time" },
  disk_full: { later: [452, "4.3.1"], never: [452, "4.3.1"], text: "insufficient system storage" },
  draining: { later: [451, "4.3.2"], never: [451, "4.3.2"], text: "service is stopping" },
  internal: HOUSE_FAULT,
  invalid_argument: HOUSE_FAULT,
  invalid_state: HOUSE_FAULT,
  mail_loop: { later: [451, "4.4.6"], never: [554, "5.4.6"], text: "mail loop" },
  message_too_large: { later: [452, "4.3.4"], never: [552, "5.3.4"], text: "message too large" },
  not_built: { ...HOUSE_FAULT, text: "not available in this version" },
  not_found: HOUSE_FAULT,
  not_permitted: { later: [450, "4.7.1"], never: [550, "5.7.1"], text: "not permitted" },
  over_quota: { later: [452, "4.2.2"], never: [552, "5.2.2"], text: "mailbox full" },
  plugin_dependency: PLUGIN_FAULT,
  plugin_failed: PLUGIN_FAULT,
  plugin_load: PLUGIN_FAULT,
  plugin_security: PLUGIN_FAULT,
  plugin_validation: PLUGIN_FAULT,
  stop_failed: HOUSE_FAULT,
  store_unavailable: { ...HOUSE_FAULT, text: "storage is not available" },
  too_many: { later: [452, "4.5.3"], never: [452, "4.5.3"], text: "too many" },
  unknown_account: { later: [450, "4.1.1"], never: [550, "5.1.1"], text: "no such mailbox" },
  unknown_domain: { later: [450, "4.1.2"], never: [550, "5.1.2"], text: "domain is not served here" },
} as const satisfies Record<ErrorCode, ErrorReplies>;

/** The answer to a message whose handling failed with `error`. */
export function errorReply(error: MairustError): Reply {
  const entry: ErrorReplies = ERROR_REPLIES[error.code];
  const [code, enhanced] = isTransient(error) ? entry.later : entry.never;
  return { code, enhanced, lines: [error.publicText === "" ? entry.text : error.publicText] };
}
