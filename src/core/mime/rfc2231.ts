/**
 * RFC 2231: long parameters in pieces (`name*0=…; name*1*=…`) and parameters with a charset (`name*=utf-8''%E3%81%82`).
 * The pieces are joined when a structure is made (§6 asks IMAP servers for that); the charset is decoded by whoever shows
 * the value. Fails never: what is malformed stays a parameter of its own.
 */
import { decodeText } from "./charset.ts";
import type { ByteText, Parameter } from "./structure.ts";

const PIECE = /^([^*]+)\*(\d{1,3})(\*?)$/;

interface Piece {
  readonly index: number;
  readonly extended: boolean;
  readonly value: ByteText;
}

/** Characters that may stand for themselves in an extended value (RFC 2231 §7 attribute-char). */
function percentEncode(text: ByteText): string {
  return text.replace(
    /[^!#$&+\-.0-9A-Z^_`a-z{|}~]/g,
    c => `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
  );
}

function joinPieces(name: string, pieces: Piece[]): Parameter {
  pieces.sort((a, b) => a.index - b.index);
  const run = pieces.filter((piece, position) => piece.index === position);
  const extended = run.some(piece => piece.extended);
  if (!extended) return { name, value: run.map(piece => piece.value).join("") };
  // A plain first piece before extended ones has no charset'language' part: give it an empty one.
  const head = run[0]?.extended === true ? "" : "''";
  const value = head + run.map(piece => (piece.extended ? piece.value : percentEncode(piece.value))).join("");
  return { name: `${name}*`, value };
}

/**
 * Join the continuations among `params`. Order is that of first occurrence; pieces after a gap in the numbers are dropped.
 *
 * @param params  names in lower case, at most one of each
 */
export function joinContinuations(params: readonly Parameter[]): readonly Parameter[] {
  if (!params.some(p => p.name.includes("*"))) return params;
  const pieces = new Map<string, Piece[]>();
  const order: Array<Parameter | string> = [];
  for (const param of params) {
    const match = PIECE.exec(param.name);
    const base = match?.[1];
    if (match === null || base === undefined) {
      order.push(param);
      continue;
    }
    const piece: Piece = { index: Number(match[2]), extended: match[3] === "*", value: param.value };
    const known = pieces.get(base);
    if (known !== undefined) known.push(piece);
    else {
      pieces.set(base, [piece]);
      order.push(base);
    }
  }
  return order.map(entry => (typeof entry === "string" ? joinPieces(entry, pieces.get(entry) ?? []) : entry));
}

/** Undo `%XX`; what is no hex pair stays. */
export function percentDecode(text: ByteText): Uint8Array {
  const decoded = text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(decoded, "latin1");
}

/**
 * Decode an extended value, `charset'language'percent-encoded` (RFC 2231 §4).
 *
 * @param value  as it stands in a parameter whose name ends in `*`
 * @returns      Unicode; a value without the two quotes is taken as percent-encoded bytes of unknown charset
 */
export function decodeRfc2231(value: ByteText): string {
  const match = /^([^']{0,64})'[^']{0,64}'/.exec(value);
  const charset = match?.[1] ?? "";
  return decodeText(percentDecode(match === null ? value : value.slice(match[0].length)), charset);
}
