/**
 * Header fields without what they said. Names stay, and so does what a machine wrote for machines: types, encodings, charsets. Trace,
 * ids and signatures become neutral; encoded words stay encoded words of the same charset.
 */
import { encodeText } from "../../core/mime/encode-charset.ts";
import { decodeWords } from "../../core/mime/encoded-word.ts";
import { headerFields } from "../../core/mime/header.ts";
import { percentDecode } from "../../core/mime/rfc2231.ts";
import type { Substitutes } from "./substitutes.ts";
import { type Rule, redactText } from "./text.ts";

const KEPT: ReadonlySet<string> = new Set([
  "mime-version",
  "content-transfer-encoding",
  "content-language",
  "precedence",
  "auto-submitted",
  "importance",
  "priority",
  "x-priority",
  "x-msmail-priority",
  "list-unsubscribe-post",
]);
const PARAMETERS: ReadonlySet<string> = new Set(["content-type", "content-disposition"]);
const IDS: ReadonlySet<string> = new Set([
  "message-id",
  "resent-message-id",
  "in-reply-to",
  "references",
  "content-id",
]);
const DATES: ReadonlySet<string> = new Set(["date", "resent-date", "delivery-date", "expires", "reply-by"]);
const SIGNATURE =
  /^(?:dkim-signature|domainkey-signature|x-google-dkim-signature|arc-seal|arc-message-signature)$/u;
/** Parameters whose values are kept. */
const KEPT_PARAMETERS: ReadonlySet<string> = new Set([
  "charset",
  "format",
  "delsp",
  "type",
  "protocol",
  "micalg",
  "report-type",
  "method",
  "size",
]);

/** The neutral time: all of a message has the same. */
const NEUTRAL_TIME = "Mon, 05 Jan 2026 12:00:00";
const NEUTRAL_SIGNATURE = " v=1; a=rsa-sha256; c=relaxed/relaxed; d=d.example; s=s; h=from; bh=AAAA; b=AAAA";

/** @param block  a header with its empty line, if it has one. @param subject  what happens to Subject and the like */
export function redactHeader(block: Uint8Array, to: Substitutes, rule: Rule): Buffer {
  const lines: string[] = [];
  for (const { name, nameRaw, value } of headerFields(block)) {
    const raw = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("latin1");
    lines.push(`${nameRaw}:${redactValue(name, raw.replace(/\r?\n/gu, "\r\n"), to, rule)}\r\n`);
  }
  const text = Buffer.from(block.buffer, block.byteOffset, block.byteLength).toString("latin1");
  const hasEnd = /(?:^|\n)\r?\n$/u.test(text);
  return Buffer.from(`${lines.join("")}${hasEnd ? "\r\n" : ""}`, "latin1");
}

function redactValue(name: string, value: string, to: Substitutes, rule: Rule): string {
  if (KEPT.has(name) && /^[\w\s().;,=/-]{0,60}$/u.test(value)) return value;
  if (PARAMETERS.has(name)) return redactParameters(value, to);
  if (IDS.has(name)) return redactIds(value, to);
  if (DATES.has(name)) return ` ${NEUTRAL_TIME} ${zoneOf(value)}`;
  if (name === "received") return redactReceived(value, to);
  if (SIGNATURE.test(name)) return NEUTRAL_SIGNATURE;
  if (name === "authentication-results" || name === "arc-authentication-results") return redactResults(value);
  if (name === "received-spf") return ` ${/^\s*(\w{4,9})\b/u.exec(value)?.[1] ?? "none"}`;
  return redactWords(value, to, rule === "addresses" && name === "subject" ? rule : "all");
}

const zoneOf = (value: string): string => /([+-]\d{4})\b/u.exec(value)?.[1] ?? "+0000";

/** Folds are lost, and how often there is an id is not. */
function redactIds(value: string, to: Substitutes): string {
  const ids = [...value.matchAll(/<([^<>]*)>/gu)].map(([, id = ""]) => `<${to.messageId(id)}>`);
  return ids.length === 0 ? redactWords(value, to, "all") : ` ${ids.join("\r\n ")}`;
}

function redactReceived(value: string, to: Substitutes): string {
  const protocol = /\bwith\s+((?:E?SMTP|LMTP|UTF8SMTP)S?A?)\b/iu.exec(value)?.[1] ?? "ESMTP";
  const ip = /\[(?:IPv6:)?([0-9A-Fa-f.:]+)\]/u.exec(value)?.[1];
  const from = ip === undefined ? "h.example" : `h.example (h.example [${to.ip(ip)}])`;
  return ` from ${from}\r\n by h.example with ${protocol} id R1; ${NEUTRAL_TIME} ${zoneOf(value)}`;
}

/** RFC 8601: the results, without whose they are. */
function redactResults(value: string): string {
  const results = [...value.matchAll(/\b(spf|dkim|dmarc|arc|iprev|auth)=(\w{4,9})\b/giu)].map(
    ([, method, result]) => `${method}=${result}`,
  );
  return ` h.example; ${results.length === 0 ? "none" : results.join("; ")}`;
}

const PARAMETER = /;(\s*)([^=;\s]+)(\s*=\s*)("(?:[^"\\]|\\.)*"|[^;\s]*)/gu;

function redactParameters(value: string, to: Substitutes): string {
  const [, first = ""] = /^([^;]*)/u.exec(value) ?? [];
  const kept = /^\s*[\w.+-]+(?:\/[\w.+-]+)?\s*$/u.test(first) ? first : redactWords(first, to, "all");
  const parameters = [...value.matchAll(PARAMETER)].map(([, space, name = "", equals, written = ""]) => {
    const isQuoted = written.startsWith('"');
    const bare = isQuoted ? written.slice(1, -1) : written;
    return `;${space}${name}${equals}${parameterOf(name.toLowerCase(), bare, isQuoted, to)}`;
  });
  return `${kept}${parameters.join("")}`;
}

function parameterOf(name: string, value: string, isQuoted: boolean, to: Substitutes): string {
  const quoted = (text: string) => (isQuoted ? `"${text}"` : text);
  if (name === "boundary") return `"${to.boundary(value)}"`;
  if (KEPT_PARAMETERS.has(name) && /^[\w./+-]{1,80}$/u.test(value)) return quoted(value);
  if (!name.endsWith("*")) return quoted(redactName(value, text => redactWords(text, to, "all")));
  // RFC 2231: charset'language'%XX…, and pieces of it.
  const [, prefix = "", encoded = ""] = /^((?:[\w-]*'[\w-]*')?)([\s\S]*)$/u.exec(value) ?? [];
  const charset = prefix.split("'")[0] || "utf-8";
  return quoted(`${prefix}${redactName(encoded, text => redactPercent(text, charset, to))}`);
}

/** What a file is called, without its ending. */
function redactName(name: string, redact: (text: string) => string): string {
  const ending = /\.[A-Za-z0-9]{1,5}$/u.exec(name)?.[0] ?? "";
  return `${redact(name.slice(0, name.length - ending.length))}${ending}`;
}

function redactPercent(encoded: string, charset: string, to: Substitutes): string {
  const text = decodeIn(Buffer.from(percentDecode(encoded)), charset);
  const octets = encodeText(to.words(text), charset) ?? Buffer.from("x");
  return [...octets].map(percentOf).join("");
}

function percentOf(octet: number): string {
  const character = String.fromCharCode(octet);
  return /[A-Za-z0-9._-]/u.test(character)
    ? character
    : `%${octet.toString(16).toUpperCase().padStart(2, "0")}`;
}

const decodeIn = (octets: Buffer, charset: string): string =>
  decodeWords(`=?${charset}?B?${octets.toString("base64")}?=`);

/** Neighbouring words of one charset belong together: mailers cut characters in two between them. */
const ENCODED_RUN = /=\?([^?\s]+)\?([BbQq])\?[^?]*\?=(?:\s+=\?\1\?\2\?[^?]*\?=)*/gu;

/** A value of words: plain ones and encoded ones. */
function redactWords(value: string, to: Substitutes, rule: Rule): string {
  const parts: string[] = [];
  let done = 0;
  for (const match of value.matchAll(ENCODED_RUN)) {
    parts.push(redactRaw(value.slice(done, match.index), to, rule));
    const [run, charset = "utf-8", encoding = "B"] = match;
    parts.push(encodedWords(redactText(decodeWords(run), to, rule), charset, encoding));
    done = match.index + run.length;
  }
  parts.push(redactRaw(value.slice(done), to, rule));
  return parts.join("");
}

/** Octets above 127 are UTF-8 mostly (RFC 6532); what they are else nobody knows, so they go. */
function redactRaw(piece: string, to: Substitutes, rule: Rule): string {
  if (/^[\0-\x7f]*$/u.test(piece)) return redactText(piece, to, rule);
  const text = Buffer.from(piece, "latin1").toString("utf8");
  const known = text.includes("\ufffd") ? piece.replace(/[\x80-\xff]/gu, "?") : text;
  return Buffer.from(redactText(known, to, rule), "utf8").toString("latin1");
}

/** RFC 2047 §2: at most 75 characters each. */
const WORD_CHARACTERS = 12;

function encodedWords(text: string, charset: string, encoding: string): string {
  const characters = [...text];
  const words: string[] = [];
  for (let at = 0; at < characters.length; at += WORD_CHARACTERS) {
    const piece = characters.slice(at, at + WORD_CHARACTERS).join("");
    const octets = Buffer.from(encodeText(piece, charset) ?? Buffer.from(piece.replace(/[^\0-\x7f]/gu, "x")));
    words.push(
      `=?${charset}?${encoding}?${/b/iu.test(encoding) ? octets.toString("base64") : qOf(octets)}?=`,
    );
  }
  return words.join("\r\n ");
}

const qOf = (octets: Buffer): string =>
  [...octets]
    .map(octet => {
      const character = String.fromCharCode(octet);
      if (character === " ") return "_";
      return /[A-Za-z0-9]/u.test(character)
        ? character
        : `=${octet.toString(16).toUpperCase().padStart(2, "0")}`;
    })
    .join("");
