/**
 * The SMTP reply of a verdict. Sources: RFC 5321 §4.2.1 (classes), RFC 3463 §3.8 (x.7.1: delivery not authorised).
 */
import { MAX_REASON_BYTES, PERMANENT_CODES, TEMPORARY_CODES } from "../wire/answer.ts";
import { type Deny, Malformed } from "./answer-read.ts";

export interface Reply {
  readonly code: number;
  /** RFC 3463 status; its class is the class of `code`. */
  readonly enhanced: string;
  /** One line of printable US-ASCII. */
  readonly text: string;
}

export const DEFAULT_REJECT: Reply = { code: 550, enhanced: "5.7.1", text: "Message rejected by policy" };
export const DEFAULT_TEMPFAIL: Reply = { code: 451, enhanced: "4.7.1", text: "Please try again later" };

/**
 * `reject` is permanent unless `permanent: false` or a 4xx code says otherwise; then it is a tempfail with that code.
 * @throws {Malformed} an unknown code, or one that contradicts `permanent` or the action
 */
export function replyOf(
  action: "reject" | "tempfail",
  code: number | undefined,
  permanent: boolean | undefined,
  reason: string | undefined,
  deny: Deny,
): Reply {
  if (code !== undefined && !ALLOWED_CODES.has(code))
    throw new Malformed("code is none of 550, 552, 553, 554, 450, 451, 452");
  if (code !== undefined && permanent !== undefined && permanent !== code >= 500) {
    throw new Malformed(`code ${code} contradicts permanent: ${permanent}`);
  }
  if (action === "tempfail" && (permanent === true || (code ?? 0) >= 500))
    throw new Malformed("tempfail with a permanent code");
  const lasting = action === "reject" && permanent !== false && (code ?? DEFAULT_REJECT.code) >= 500;
  const standard = lasting ? DEFAULT_REJECT : DEFAULT_TEMPFAIL;
  return {
    code: code ?? standard.code,
    enhanced: standard.enhanced,
    text: replyText(reason, standard.text, deny),
  };
}

const ALLOWED_CODES: ReadonlySet<number> = new Set([...PERMANENT_CODES, ...TEMPORARY_CODES]);

/** Other text than printable US-ASCII cannot stand in a reply where SMTPUTF8 was not negotiated: the default stands in. */
function replyText(reason: string | undefined, fallback: string, deny: Deny): string {
  if (reason === undefined || reason === "") return fallback;
  if (/\p{Cc}/u.test(reason)) {
    deny("reason", "it holds line breaks or controls");
    return fallback;
  }
  return /^[ -~]+$/.test(reason) && reason.length <= MAX_REASON_BYTES ? reason : fallback;
}
