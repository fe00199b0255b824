/**
 * What a header block and its values mean, said as plainly as it can be, all at once: the code that goes through them in steps must
 * give the same. Source: RFC 5322 §2.2.3, RFC 2047 §5 and §6.2, RFC 2231 §5.
 */
import { decodeWestern, isWestern, labelOf } from "../../src/core/mime/charset.ts";

const WORD =
  /=\?([!#$%&'*+\-.0-9A-Z^_`a-z{|}~:]+)\?(?:Q\?([^?]*)|B\?([A-Za-z0-9+/ \t\r\n]*(?:=[ \t\r\n]*){0,3}))\?=/gi;
const IDLE_ESCAPE = /\x1b(?:\([BJI]|\$[@B])(?=\x1b[($])/g;
const WESTERN = "windows-1252";

export function plainUnfold(value: Buffer): string {
  return value.toString("latin1").replace(/\r?\n(?=[ \t])/g, "");
}

export function plainValue(value: Buffer): string {
  const text = plainWords(plainUnfold(value)).replace(/[\x00-\x08\x0a-\x1f\x7f-\x9f]/g, " ");
  return text.replace(/^[ \t]+/, "").replace(/(?<![ \t])[ \t]+$/, "");
}

function plainWords(text: string): string {
  let read = "";
  let done = 0;
  let run: { readonly charset: string; readonly octets: Buffer[] } | undefined;
  const flush = () => {
    if (run !== undefined) read += plainText(Buffer.concat(run.octets), run.charset);
    run = undefined;
  };
  for (const match of text.matchAll(WORD)) {
    const [word, label = "", q, b = ""] = match;
    const charset = label.replace(/\*.*$/, "").toLowerCase();
    const between = text.slice(done, match.index);
    if (run === undefined || /[^ \t\r\n]/.test(between)) {
      flush();
      read += plainText(Buffer.from(between, "latin1"), "");
    } else if (run.charset !== charset) flush();
    run ??= { charset, octets: [] };
    run.octets.push(q === undefined ? Buffer.from(b.replace(/[ \t\r\n]+/g, ""), "base64") : plainQ(q));
    done = match.index + word.length;
  }
  flush();
  return read + plainText(Buffer.from(text.slice(done), "latin1"), "");
}

function plainQ(text: string): Buffer {
  const unescaped = text
    .replaceAll("_", " ")
    .replace(/=([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(unescaped, "latin1");
}

/** @param charset  "" for none */
export function plainText(octets: Buffer, charset: string): string {
  const label = isWestern(charset) ? WESTERN : (labelOf(charset) ?? guessed(octets));
  if (label === WESTERN) return decodeWestern(octets);
  const whole =
    label === "iso-2022-jp"
      ? Buffer.from(octets.toString("latin1").replace(IDLE_ESCAPE, ""), "latin1")
      : octets;
  return new TextDecoder(label, { ignoreBOM: true }).decode(whole);
}

function guessed(octets: Buffer): string {
  const text = octets.toString("latin1");
  if (/\x1b(?:\$|\([IJ])/.test(text) && !/[\x80-\xff]/.test(text)) return "iso-2022-jp";
  try {
    new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(octets);
    return "utf-8";
  } catch {
    return WESTERN;
  }
}

/** As `BODY[HEADER.FIELDS (…)]`, or `.NOT`. @param names  lower case */
export function plainFields(block: string, names: readonly string[], not: boolean): string {
  const sections: string[] = [];
  for (const line of block.match(/[^\n]*\n|[^\n]+$/g) ?? []) {
    const before = sections.length - 1;
    if (/^[ \t]/.test(line) && before >= 0) sections[before] += line;
    else sections.push(line);
    if (/^\r?\n$/.test(line)) break;
  }
  const kept = sections.filter(section => {
    if (/^\r?\n$/.test(section)) return true;
    const name = /^([!-9;-~]+)[ \t]*:/.exec(section.slice(0, 1024))?.[1]?.toLowerCase();
    return name === undefined ? not : names.includes(name) !== not;
  });
  return kept.join("");
}
