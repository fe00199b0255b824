/**
 * The base subject of a message: without what replies and forwards put around it. Pure; one pass over what it takes away.
 * Source: RFC 5256 §2.1 (its steps by number) and §5 (subj-leader, subj-blob, subj-trailer).
 */
import { decodeHeaderValue } from "../mime/header.ts";

/** Characters of a subject that are looked at: blobs are tried again at each step, so longer ones would take quadratic time. */
export const SUBJECT_CHARS_MAX = 2000;

export interface BaseSubject {
  /** As written, white space reduced. */
  readonly text: string;
  /** Something showed that it is a reply or a forward. */
  readonly isReply: boolean;
}

const BLOB = /\[[^[\]]*\][ \t]*/uy;
const REFWD = /(?:re|fwd?)[ \t]*(?:\[[^[\]]*\][ \t]*)?:/iuy;
const TRAILER = /(?:\(fwd\)|[ \t])$/iu;
const FWD_HEADER = /^\[fwd:/iu;

/** @param value  raw octets of the Subject field */
export function baseSubject(value: Uint8Array): BaseSubject {
  // Step 1. Cut before it is decoded too: a field may be large.
  const decoded = decodeHeaderValue(value.subarray(0, SUBJECT_CHARS_MAX * 4));
  let text = decoded.slice(0, SUBJECT_CHARS_MAX).replace(/[ \t]+/gu, " ");
  let isReply = false;
  for (;;) {
    const trimmed = withoutTrailers(text);
    const led = withoutLeaders(trimmed.text);
    isReply ||= trimmed.isReply || led.isReply;
    text = led.text;
    // Step 6.
    const header = FWD_HEADER.exec(text);
    if (header === null || !text.endsWith("]")) return { text, isReply };
    text = text.slice(header[0].length, -1);
    isReply = true;
  }
}

/** Step 2. */
function withoutTrailers(subject: string): BaseSubject {
  let text = subject;
  let isReply = false;
  for (let found = TRAILER.exec(text); found !== null; found = TRAILER.exec(text)) {
    isReply ||= found[0].length > 1;
    text = text.slice(0, found.index);
  }
  return { text, isReply };
}

/** Steps 3 to 5. */
function withoutLeaders(subject: string): BaseSubject {
  let at = 0;
  let isReply = false;
  for (;;) {
    const leader = endOfLeader(subject, at);
    if (leader > at) {
      isReply ||= subject.charAt(at) !== " ";
      at = leader;
      continue;
    }
    const blob = endOf(BLOB, subject, at);
    // Step 4: a blob goes only when something is left behind it.
    if (blob === at || blob === subject.length) return { text: subject.slice(at), isReply };
    at = blob;
  }
}

/** @returns where a subj-leader that begins at `at` ends; `at` when there is none */
function endOfLeader(subject: string, at: number): number {
  if (subject.charAt(at) === " ") return at + 1;
  let blobs = at;
  for (let next = endOf(BLOB, subject, blobs); next > blobs; next = endOf(BLOB, subject, blobs)) blobs = next;
  const end = endOf(REFWD, subject, blobs);
  return end > blobs ? end : at;
}

function endOf(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : at;
}
