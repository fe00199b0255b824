/**
 * Text at the end of one text part, in the part's own charset and transfer encoding. Pure.
 *
 * 7bit and 8bit stay what they are and only grow; base64 and quoted-printable are undone and made again. Where 7bit cannot carry the
 * text the part becomes quoted-printable. A part whose encoding is broken, or whose charset cannot hold the text, is left alone.
 */
import { encodeText } from "./mime/encode-charset.ts";
import { encodeBase64, encodeQuotedPrintable } from "./mime/transfer-encode.ts";
import { decodeTransfer } from "./permissions-transfer.ts";

export type TextKind = "plain" | "html";

export interface TextLeaf {
  readonly kind: TextKind;
  /** Lower case, "" for none. */
  readonly encoding: string;
  /** As written, "" for none. */
  readonly charset: string;
  /** RFC 3676: `format=flowed`. */
  readonly flowed: boolean;
  /** Within a multipart: a line must not look like a delimiter. */
  readonly nested: boolean;
}

export type LeafEdit =
  | {
      readonly kind: "edited";
      readonly body: Uint8Array;
      /** Set where the part's header must say something else than before. */
      readonly encoding: "quoted-printable" | undefined;
      readonly charset: "utf-8" | undefined;
    }
  | { readonly kind: "skipped"; readonly why: string };

const CHARSET = "its charset cannot hold the text";
const ENCODING = "its transfer encoding is broken";
/** RFC 5322 §2.1.1. */
const MAX_LINE_BYTES = 998;
const ESC = 0x1b;

/**
 * @param encoded  the part's body as it stands in the message
 * @param text     lines end in LF
 */
export function appendToLeaf(encoded: Uint8Array, leaf: TextLeaf, text: string): LeafEdit {
  const content = decodeStrictly(encoded, leaf.encoding);
  if (content === undefined) return { kind: "skipped", why: ENCODING };
  const at = leaf.kind === "html" ? endOfHtml(content) : content.length;
  const isFresh = at === 0 || content[at - 1] === 0x0a;
  const lines = `${isFresh ? "" : "\r\n"}${linesOf(text, leaf)}`;
  const added = encodeAdded(lines, leaf, content, at);
  if (added === undefined) return { kind: "skipped", why: CHARSET };
  const whole = Buffer.concat([content.subarray(0, at), added.octets, content.subarray(at)]);
  return transferred(whole, added, leaf, !isSevenBit(content));
}

/** @returns the content; undefined: nobody could say what another reader makes of it */
export function decodeStrictly(encoded: Uint8Array, encoding: string): Uint8Array | undefined {
  const text = () => Buffer.from(encoded.buffer, encoded.byteOffset, encoded.byteLength).toString("latin1");
  if (encoding === "base64") {
    const written = text().replace(/[\r\n\t ]/g, "");
    const octets = Buffer.from(written, "base64");
    return octets.toString("base64") === written ? octets : undefined;
  }
  if (encoding === "quoted-printable" && /=(?![0-9A-Fa-f]{2}|[ \t]*\r?\n|[ \t]*$)/.test(text()))
    return undefined;
  return decodeTransfer(encoded, encoding);
}

/** Before the last `</body>`, else the end. */
function endOfHtml(content: Uint8Array): number {
  const text = Buffer.from(content.buffer, content.byteOffset, content.byteLength)
    .toString("latin1")
    .toLowerCase();
  const at = text.lastIndexOf("</body");
  return at >= 0 && /^<\/body[\s>]/.test(text.slice(at, at + 7)) ? at : content.length;
}

function linesOf(text: string, { flowed }: TextLeaf): string {
  const lines = text.replace(/\n$/, "").split("\n");
  return `${(flowed ? lines.map(fixedLine) : lines).join("\r\n")}\r\n`;
}

/** RFC 3676 §4.1, §4.4: no line flows into the next, and what would be read as a mark is stuffed. `-- ` is the signature's own. */
function fixedLine(line: string): string {
  const fixed = line === "-- " ? line : line.replace(/ +$/, "");
  return /^(?: |>|From )/.test(fixed) ? ` ${fixed}` : fixed;
}

interface Added {
  readonly octets: Uint8Array;
  /** Set: the part had none that says something. */
  readonly charset: "utf-8" | undefined;
}

function encodeAdded(
  lines: string,
  { kind, charset }: TextLeaf,
  content: Uint8Array,
  at: number,
): Added | undefined {
  if (isShifted(content.subarray(0, at))) return undefined;
  const isSilent = /^\s*(?:|us-ascii|ascii|ansi_x3\.4-1968)\s*$/i.test(charset);
  const as = (octets: Uint8Array | undefined): Added | undefined =>
    octets === undefined ? undefined : { octets, charset: undefined };
  if (isSilent && isAsciiText(lines)) return as(Buffer.from(lines, "latin1"));
  if (kind === "html") {
    const direct = isSilent ? undefined : encodeText(lines, charset);
    if (direct !== undefined) return as(direct);
    const named = references(lines);
    return as(isSilent ? Buffer.from(named, "latin1") : encodeText(named, charset));
  }
  if (!isSilent) return as(encodeText(lines, charset));
  // What stands there reads the same in UTF-8 only when it is nothing but US-ASCII.
  const isPlain = isSevenBit(content) && !content.includes(ESC);
  return isPlain ? { octets: Buffer.from(lines, "utf8"), charset: "utf-8" } : undefined;
}

/** HTML can name every character in US-ASCII. */
function references(text: string): string {
  return Array.from(text, character => {
    const code = character.codePointAt(0) ?? 0;
    return code < 0x80 ? character : `&#${code};`;
  }).join("");
}

/** RFC 1468: what follows an escape to another set than US-ASCII is no US-ASCII. */
function isShifted(content: Uint8Array): boolean {
  const at = content.lastIndexOf(ESC);
  return at >= 0 && !(content[at + 1] === 0x28 && content[at + 2] === 0x42);
}

function transferred(
  whole: Uint8Array,
  added: Added,
  { encoding, nested }: TextLeaf,
  hasEightBit: boolean,
): LeafEdit {
  const edited = (body: Uint8Array, to?: "quoted-printable"): LeafEdit => ({
    kind: "edited",
    body,
    encoding: to,
    charset: added.charset,
  });
  if (encoding === "base64") return edited(encodeBase64(whole));
  if (encoding === "quoted-printable") return edited(encodeQuotedPrintable(whole));
  const isSeven = encoding !== "8bit" && encoding !== "binary";
  const fits = isLineSafe(added.octets, nested) && (!isSeven || isSevenBit(added.octets));
  if (fits) return edited(whole);
  return isSeven && hasEightBit
    ? { kind: "skipped", why: ENCODING }
    : edited(encodeQuotedPrintable(whole), "quoted-printable");
}

function isLineSafe(octets: Uint8Array, nested: boolean): boolean {
  const lines = Buffer.from(octets).toString("latin1").split("\r\n");
  return lines.every(line => line.length <= MAX_LINE_BYTES && !(nested && /^--[^ ]/.test(line)));
}

function isAsciiText(text: string): boolean {
  return /^[\x00-\x7f]*$/.test(text);
}

function isSevenBit(octets: Uint8Array): boolean {
  for (let i = 0; i < octets.length; i++) if ((octets[i] ?? 0) > 0x7f) return false;
  return true;
}
