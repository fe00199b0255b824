/**
 * What a message is sorted and threaded by, made from its root header once (after its commit, or when a client asks first). Pure: the hash
 * comes from outside. A higher version makes every key again. Source: RFC 5256 §2, §3.
 */
import { parseAddressList } from "../mime/address.ts";
import { detectText } from "../mime/charset.ts";
import { type HeaderField, headerFields, unfold } from "../mime/header.ts";
import { baseSubject } from "./base-subject.ts";
import { casemap } from "./casemap.ts";
import { messageIds } from "./message-ids.ts";
import { sentSeconds } from "./sent-date.ts";

export const MESSAGE_KEYS_VERSION = 1;

/** Characters of a key: what is the same so far is the same to SORT. */
const KEY_CHARS_MAX = 255;
/** Ids that are kept of what a message answers. */
const REFERENCES_MAX = 50;
/** Ids that are read of a References field: 64 KB hold no more. */
const REFERENCES_READ_MAX = 10_000;
/** Octets of an address field that are read for its first address. */
const ADDRESS_BYTES_MAX = 4096;

export interface MessageKeys {
  /** Of the Date field, in seconds since 1970; null: it names no day. */
  readonly sentS: number | null;
  /** Under i;unicode-casemap: compared by code points. */
  readonly subject: string;
  readonly from: string;
  readonly to: string;
  readonly cc: string;
  readonly isReply: boolean;
  /** Of the whole base subject; 0: it is empty. */
  readonly subjectHash: number;
  /** Of message ids: its own (0: none), then those of what it answers, the oldest first. */
  readonly ids: readonly number[];
}

/** @returns an integer of 1 … 2^53 - 1 that hardly any other text has, also when somebody looks for one */
export type TextHash = (text: string) => number;

/** @param header  the root header block */
export function makeMessageKeys(header: Uint8Array, hash: TextHash): MessageKeys {
  const fields = fieldsOf(header);
  const subject = baseSubject(fields.get("subject")?.value ?? new Uint8Array(0));
  const mapped = casemap(subject.text);
  return {
    sentS: sentSeconds(textOf(fields, "date")) ?? null,
    subject: cut(mapped),
    from: addressKey(textOf(fields, "from")),
    to: addressKey(textOf(fields, "to")),
    cc: addressKey(textOf(fields, "cc")),
    isReply: subject.isReply,
    subjectHash: mapped === "" ? 0 : hash(mapped),
    ids: idsOf(fields, hash),
  };
}

const NAMES: ReadonlySet<string> = new Set([
  "subject",
  "date",
  "from",
  "to",
  "cc",
  "message-id",
  "references",
  "in-reply-to",
]);

type Fields = ReadonlyMap<string, HeaderField>;

/** Of these the last one counts, of the others the first: as ENVELOPE shows them (`mime/header-reader.ts`). */
const LAST_COUNTS: ReadonlySet<string> = new Set(["date", "subject", "in-reply-to", "message-id"]);

function fieldsOf(header: Uint8Array): Fields {
  const fields = new Map<string, HeaderField>();
  for (const field of headerFields(header)) {
    if (!NAMES.has(field.name)) continue;
    if (LAST_COUNTS.has(field.name) || !fields.has(field.name)) fields.set(field.name, field);
  }
  return fields;
}

function textOf(fields: Fields, name: string): string {
  const value = fields.get(name)?.value;
  return value === undefined ? "" : unfold(value);
}

/** addr-mailbox of the first address; of a group its name, as in ENVELOPE. */
function addressKey(value: string): string {
  const [first] = parseAddressList(value.slice(0, ADDRESS_BYTES_MAX), 1);
  const name = first === undefined ? "" : first.kind === "group" ? first.name : first.mailbox;
  return cut(casemap(detectText(Buffer.from(name, "latin1")).replace(/[\x00-\x1f\x7f]/gu, " ")));
}

/** In-Reply-To counts only where References has nothing, and only its first id (RFC 5256 §3, step 1). */
function idsOf(fields: Fields, hash: TextHash): readonly number[] {
  const [own] = messageIds(textOf(fields, "message-id"), 1);
  const references = messageIds(textOf(fields, "references"), REFERENCES_READ_MAX);
  const answered = references.length > 0 ? references : messageIds(textOf(fields, "in-reply-to"), 1);
  return [own === undefined ? 0 : hash(own), ...shortened(answered).map(hash)];
}

/** The thread's root and the nearest ones: what lies between is known from those messages themselves. */
function shortened(ids: readonly string[]): readonly string[] {
  if (ids.length <= REFERENCES_MAX) return ids;
  return [...ids.slice(0, 1), ...ids.slice(1 - REFERENCES_MAX)];
}

function cut(text: string): string {
  if (text.length <= KEY_CHARS_MAX) return text;
  // Not in the middle of a pair.
  return text.slice(0, KEY_CHARS_MAX).replace(/[\ud800-\udbff]$/, "");
}
