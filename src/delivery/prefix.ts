/**
 * The bytes in front of a message for one recipient (message path, step 6): Return-Path, Delivered-To, our Received and the
 * fields that hooks added. Postfix adds neither of the first two over LMTP, so the final delivery agent does (RFC 5321 §4.4).
 */
import type { Envelope } from "../core/envelope.ts";

export interface PrefixFacts {
  readonly envelope: Envelope;
  /** Canonical address of the mailbox; also what loop detection looks for. */
  readonly recipient: string;
  readonly hostname: string;
  readonly messageId: string;
  readonly receivedAt: Date;
  /** Fields added by hooks, in order. */
  readonly headers: ReadonlyArray<readonly [name: string, value: string]>;
}

/** Octets of UTF-8 per encoded word: the word stays under 75 characters (RFC 2047 §2). */
const ENCODED_WORD_OCTETS = 45;

/** @returns header fields with CRLF line ends, without a closing empty line */
export function deliveryPrefix(facts: PrefixFacts): Uint8Array {
  const { envelope } = facts;
  const lines = [
    `Return-Path: <${oneLine(envelope.mailFrom.raw)}>`,
    `Delivered-To: ${oneLine(facts.recipient)}`,
  ];
  const received = receivedLines(facts, facts.recipient);
  return Buffer.from(`${lines.join("\r\n")}\r\n${received}${headerFieldLines(facts.headers)}`, "utf8");
}

/** Our Received field. @param recipient  left out: it stands for several (RFC 5321 §4.4) */
export function receivedLines(
  {
    envelope,
    hostname,
    messageId,
    receivedAt,
  }: Pick<PrefixFacts, "hostname" | "messageId" | "receivedAt"> & {
    readonly envelope: Pick<Envelope, "peer" | "peerHelo" | "smtpUtf8">;
  },
  recipient?: string,
): string {
  const to = recipient === undefined ? "" : `for <${oneLine(recipient)}>`;
  const lines = [
    `Received: from ${oneLine(envelope.peerHelo) || "unknown"} (${oneLine(envelope.peer)})`,
    `\tby ${hostname} with ${envelope.smtpUtf8 ? "UTF8LMTP" : "LMTP"} id ${messageId}${to === "" ? ";" : ""}`,
    `\t${to === "" ? "" : `${to}; `}${rfc5322Date(receivedAt)}`,
  ];
  return `${lines.join("\r\n")}\r\n`;
}

/** @returns fields fit for the wire, each with its CRLF */
export function headerFieldLines(headers: PrefixFacts["headers"]): string {
  return headers.map(([name, value]) => `${name}: ${encodeHeaderValue(value)}\r\n`).join("");
}

/**
 * A field value fit for the wire: printable ASCII as it is, anything else as RFC 2047 encoded words, folded.
 * Control characters become spaces: a value can never start a field of its own.
 */
export function encodeHeaderValue(value: string): string {
  const clean = oneLine(value);
  if (/^[\x20-\x7e]*$/u.test(clean) && !clean.includes("=?")) return clean;
  const words: string[] = [];
  let word = "";
  for (const character of clean) {
    if (Buffer.byteLength(word + character) > ENCODED_WORD_OCTETS) {
      words.push(word);
      word = "";
    }
    word += character;
  }
  words.push(word);
  return words.map(w => `=?UTF-8?B?${Buffer.from(w, "utf8").toString("base64")}?=`).join("\r\n ");
}

/** `Sat, 21 Nov 2026 01:02:03 +0000` (RFC 5322 §3.3). */
export function rfc5322Date(date: Date): string {
  return date.toUTCString().replace("GMT", "+0000");
}

function oneLine(text: string): string {
  return text.replace(/[\x00-\x1f\x7f]/gu, " ");
}
