/**
 * Which signatures of a message an edit would break (mail-path.md §3, "Signature-safe edits"). Pure.
 *
 * A DKIM-Signature and an ARC-Message-Signature cover the body and the fields named in `h=`, taken from the bottom of the header up.
 * A field that is added below all others is therefore the first one taken: it breaks every signature that names it, whether the name
 * stands there once or once too often. An ARC-Seal covers the ARC fields alone. Whether a signature is right is not asked: the
 * receiver's answer must not become worse.
 *
 * Sources: RFC 6376 §3.4, §3.5 (`c=`, `l=`), §5.4.2; RFC 8617 §4.1.2, §4.1.3
 */
import { tagList } from "./dkim-tags.ts";
import { headerFields, unfold } from "./mime/header.ts";

export interface HeaderAndBodyEdit {
  /** Names of fields that are added below all others, or changed. */
  readonly fields: readonly string[];
  /** Octets at the start of the body that stay; undefined: all of it. */
  readonly bodyKeptBytes: number | undefined;
}

export interface Signature {
  readonly field: "DKIM-Signature" | "ARC-Message-Signature" | "ARC-Seal";
  /** `d=` in printable US-ASCII, as data; "" for none. */
  readonly domain: string;
  /** How often each name is signed; in lower case. */
  readonly signed: ReadonlyMap<string, number>;
  /** Octets of the body that it covers, from the first on; `Infinity`: all of it; 0: none. */
  readonly bodyBytes: number;
}

const NAMES: ReadonlyMap<string, Signature["field"]> = new Map([
  ["dkim-signature", "DKIM-Signature"],
  ["arc-message-signature", "ARC-Message-Signature"],
  ["arc-seal", "ARC-Seal"],
]);
const ARC_FIELDS = ["arc-authentication-results", "arc-message-signature", "arc-seal"];
/** Longest domain that is told. */
const MAX_DOMAIN = 255;
/** Signatures that are looked at; a message with more of them counts as one that all edits break. */
export const MAX_SIGNATURES = 100;

/** @param header  the message's own header block */
export function signaturesOf(header: Uint8Array): readonly Signature[] {
  const found: Signature[] = [];
  for (const { name, value } of headerFields(header)) {
    const field = NAMES.get(name);
    if (field === undefined) continue;
    found.push(signatureOf(field, tagList(unfold(value)).tags));
    if (found.length > MAX_SIGNATURES) break;
  }
  return found;
}

/** @returns those that would no longer be right */
export function brokenSignatures(
  signatures: readonly Signature[],
  { fields, bodyKeptBytes = Number.POSITIVE_INFINITY }: HeaderAndBodyEdit,
): readonly Signature[] {
  const isEdit = fields.length > 0 || bodyKeptBytes !== Number.POSITIVE_INFINITY;
  if (signatures.length > MAX_SIGNATURES) return isEdit ? signatures : [];
  return signatures.filter(
    ({ signed, bodyBytes }) =>
      bodyBytes > bodyKeptBytes || fields.some(name => signed.has(name.toLowerCase())),
  );
}

/**
 * A field that is put above all others is taken last: it breaks a signature only that names it more often than it stands there, which
 * says that no further one may come.
 *
 * @param present  fields of the name in the message
 */
export function brokenOnTop(
  signatures: readonly Signature[],
  name: string,
  present: number,
): readonly Signature[] {
  if (signatures.length > MAX_SIGNATURES) return signatures;
  return signatures.filter(({ signed }) => (signed.get(name.toLowerCase()) ?? 0) > present);
}

function counted(names: readonly string[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}

function signatureOf(field: Signature["field"], tags: ReadonlyMap<string, string>): Signature {
  // It goes into the timeline, where a NUL has no place.
  const domain = (tags.get("d") ?? "").slice(0, MAX_DOMAIN).replace(/[^\x21-\x7e]/g, "?");
  if (field === "ARC-Seal") return { field, domain, signed: counted(ARC_FIELDS), bodyBytes: 0 };
  const names = (tags.get("h") ?? "").split(":").map(name => name.trim().toLowerCase());
  return { field, domain, signed: counted(names), bodyBytes: coveredBytes(tags) };
}

/**
 * `l=` counts octets of the canonical body. Those of `simple` are the octets that stand there, but for empty lines at the end; how many
 * octets `relaxed` took for them is not known here, so that it counts as all.
 */
function coveredBytes(tags: ReadonlyMap<string, string>): number {
  const length = tags.get("l");
  const [, body = "simple"] = (tags.get("c") ?? "simple/simple").split("/");
  return length !== undefined && /^\d{1,15}$/.test(length) && body.trim().toLowerCase() === "simple"
    ? Number(length)
    : Number.POSITIVE_INFINITY;
}
