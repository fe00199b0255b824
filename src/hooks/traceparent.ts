/** The trace context of a plugin call, W3C Trace Context level 1 §3.2: made of ids that the log, the timeline and the ledger name too. */
import { createHash } from "node:crypto";

const TRACE_DIGITS = 32;
const SPAN_DIGITS = 16;

/** @returns `00-<the message id's digits>-<the last digits of the call id>-01` */
export function traceparent(messageId: string, callId: string): string {
  // The end of a UUIDv7 is random; its beginning is the time, which calls share.
  return `00-${digitsOf(messageId, TRACE_DIGITS)}-${digitsOf(callId, TRACE_DIGITS).slice(-SPAN_DIGITS)}-01`;
}

/** An id that is no UUID, or all zeros (invalid by §3.2.2.3), is hashed. */
function digitsOf(id: string, digits: number): string {
  const hex = id.replaceAll("-", "").toLowerCase();
  const isUsable = hex.length === digits && /^[0-9a-f]+$/.test(hex) && !/^0+$/.test(hex.slice(-SPAN_DIGITS));
  return isUsable ? hex : createHash("sha256").update(id).digest("hex").slice(0, digits);
}
