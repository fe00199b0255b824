/**
 * MAIL FROM and RCPT TO as bytes → sender, recipient and parameters. Pure.
 *
 * What Postfix accepts from the Internet and hands on must be accepted here, or it bounces: doubled and trailing dots,
 * quoted local parts, no domain, address literals, `xn--` labels untouched. Only control characters, unbalanced quotes
 * and bad UTF-8 are refused. UTF-8 is taken without SMTPUTF8 too: Postfix with `smtputf8_enable = no` passes it like that.
 *
 * Sources: RFC 5321 §4.1.1.2, §4.1.1.3, §4.1.2, §4.1.1.11; RFC 1870; RFC 6152; RFC 6531 §3.4; RFC 3461 §4
 */
import { isUtf8 } from "node:buffer";
import { type EnvelopeRecipient, type MailAddress, parseMailAddress } from "../../core/envelope.ts";
import { decodeXtext } from "../../core/xtext.ts";
import type { Reply } from "./reply.ts";

/** MAIL FROM with its parameters. */
export interface MailCommand {
  readonly from: MailAddress;
  readonly declaredSizeBytes: number | undefined;
  readonly body8bit: boolean;
  readonly smtpUtf8: boolean;
  readonly ret: "FULL" | "HDRS" | undefined;
  readonly envid: string | undefined;
}

export type Parsed<T> =
  | { readonly kind: "ok"; readonly value: T }
  | { readonly kind: "bad"; readonly reply: Reply };

/** RFC 3461 §4.4, §5.2.1 (without the parameter's name). */
const ENVID_CHARS = 100;
/** RFC 3461 §4.2. */
const ORCPT_CHARS = 500;
/** RFC 3461 §4. */
const DSN_PARAMETERS: ReadonlySet<string> = new Set(["RET", "ENVID", "NOTIFY", "ORCPT"]);

/** What a command line may hold. */
export interface CommandRules {
  /** Longest address taken. */
  readonly addressBytes: number;
  /** DSN was announced: without that its parameters are unknown ones (RFC 3461 §4). */
  readonly dsn: boolean;
}

/** @param line  `MAIL FROM:<…> …` without CRLF */
export function parseMail(line: Buffer, { addressBytes, dsn }: CommandRules): Parsed<MailCommand> {
  const split = splitCommand(line, MAIL_PREFIX, addressBytes, "5.1.7");
  if (split.kind === "bad") return split;
  const { path, parameters } = split.value;
  let declaredSizeBytes: number | undefined;
  let body8bit = false;
  let smtpUtf8 = false;
  let ret: MailCommand["ret"];
  let envid: string | undefined;
  for (const [key, value] of parameters) {
    if (!dsn && DSN_PARAMETERS.has(key)) return unknownParameter(key);
    switch (key) {
      case "SIZE":
        if (!/^\d{1,20}$/u.test(value)) return badParameter("SIZE");
        declaredSizeBytes = Number(value);
        break;
      case "BODY":
        if (!/^(?:7BIT|8BITMIME)$/iu.test(value)) return badParameter("BODY");
        body8bit = value.length === 8;
        break;
      case "SMTPUTF8":
        if (value !== "") return badParameter("SMTPUTF8");
        smtpUtf8 = true;
        break;
      case "RET": {
        const upper = value.toUpperCase();
        if (upper !== "FULL" && upper !== "HDRS") return badParameter("RET");
        ret = upper;
        break;
      }
      case "ENVID":
        envid = printableXtext(value, ENVID_CHARS);
        if (envid === undefined) return badParameter("ENVID");
        break;
      default:
        return unknownParameter(key);
    }
  }
  return ok({ from: parseMailAddress(path), declaredSizeBytes, body8bit, smtpUtf8, ret, envid });
}

/** @param line  `RCPT TO:<…> …` without CRLF */
export function parseRcpt(line: Buffer, { addressBytes, dsn }: CommandRules): Parsed<EnvelopeRecipient> {
  const split = splitCommand(line, RCPT_PREFIX, addressBytes, "5.1.3");
  if (split.kind === "bad") return split;
  const { path, parameters } = split.value;
  if (path === "") return bad(501, "5.1.3", "recipient is empty");
  let recipient: EnvelopeRecipient = { address: parseMailAddress(path) };
  for (const [key, value] of parameters) {
    if (!dsn && DSN_PARAMETERS.has(key)) return unknownParameter(key);
    switch (key) {
      case "ORCPT": {
        const decoded = /^[\w!#$%&'*+/=?^`{|}~.-]+;./u.test(value)
          ? printableXtext(value, ORCPT_CHARS)
          : undefined;
        if (decoded === undefined) return badParameter("ORCPT");
        recipient = { ...recipient, orcpt: decoded };
        break;
      }
      case "NOTIFY": {
        const notify = value.toUpperCase().split(",");
        const known = notify.every(word => word === "SUCCESS" || word === "FAILURE" || word === "DELAY");
        if (!known && !(notify.length === 1 && notify[0] === "NEVER")) return badParameter("NOTIFY");
        recipient = { ...recipient, notify };
        break;
      }
      default:
        return unknownParameter(key);
    }
  }
  return ok(recipient);
}

// ---------------------------------------------------------------- command line

const MAIL_PREFIX = /^MAIL[ \t]+FROM[ \t]*:[ \t]*/iu;
const RCPT_PREFIX = /^RCPT[ \t]+TO[ \t]*:[ \t]*/iu;

interface SplitCommand {
  /** Between the angle brackets, without source route. */
  readonly path: string;
  /** Keys in upper case; "" for a key without value. */
  readonly parameters: ReadonlyMap<string, string>;
}

function splitCommand(
  line: Buffer,
  prefix: RegExp,
  addressBytes: number,
  enhanced: string,
): Parsed<SplitCommand> {
  if (!isUtf8(line)) return bad(553, "5.6.7", "address is not UTF-8");
  const text = line.toString("utf8");
  const start = prefix.exec(text)?.[0].length;
  if (start === undefined) return bad(501, "5.5.4", "syntax error");
  const pathEnd = findPathEnd(text, start);
  if (pathEnd < 0) return bad(501, enhanced, "bad address syntax");
  const path = text.slice(start + 1, pathEnd).replace(SOURCE_ROUTE, "");
  if (Buffer.byteLength(path) > addressBytes) return bad(501, enhanced, "address too long");
  const parameters = splitParameters(text.slice(pathEnd + 1));
  return parameters === undefined ? bad(501, "5.5.4", "bad parameter syntax") : ok({ path, parameters });
}

/** RFC 5321 §4.1.2, appendix C: must be accepted, should be ignored. */
const SOURCE_ROUTE = /^@[^\s,:@]+(?:,@[^\s,:@]+)*:/u;

/** @returns offset of the closing bracket that is neither quoted nor escaped, or -1 */
function findPathEnd(text: string, start: number): number {
  if (text[start] !== "<") return -1;
  let quoted = false;
  for (let at = start + 1; at < text.length; at += 1) {
    const char = text.charCodeAt(at);
    // C0, DEL and C1: no mailbox has them, and they would reach logs and replies.
    if (char < 0x20 || (char >= 0x7f && char <= 0x9f)) return -1;
    if (char === 0x5c) {
      at += 1;
      const escaped = text.charCodeAt(at);
      if (Number.isNaN(escaped) || escaped < 0x20 || (escaped >= 0x7f && escaped <= 0x9f)) return -1;
    } else if (char === 0x22) quoted = !quoted;
    else if (quoted) continue;
    else if (char === 0x3e) return at;
    else if (char === 0x3c || char === 0x20) return -1;
  }
  return -1;
}

function splitParameters(text: string): Map<string, string> | undefined {
  const parameters = new Map<string, string>();
  if (text === "") return parameters;
  if (text[0] !== " " && text[0] !== "\t") return undefined;
  for (const word of text.split(/[ \t]+/u)) {
    if (word === "") continue;
    const match = PARAMETER.exec(word);
    const key = match?.[1]?.toUpperCase();
    // Given twice is an error (RFC 3461 §4), and a "KEY=" without value is one too.
    if (key === undefined || parameters.has(key)) return undefined;
    parameters.set(key, match?.[2] ?? "");
  }
  return parameters;
}

/** RFC 5321 §4.1.2 esmtp-param; the value may be UTF-8 (RFC 6531 §3.3). */
const PARAMETER =
  /^([A-Za-z0-9][A-Za-z0-9-]*)(?:=([^\s=\u0000-\u001f\u007f-\u009f][^\s\u0000-\u001f\u007f-\u009f]*))?$/u;

/** Decoded, or undefined when it is malformed, too long, empty or hides control characters (CR LF in `+0D+0A`). */
function printableXtext(value: string, maxChars: number): string | undefined {
  if (value === "" || value.length > maxChars) return undefined;
  const decoded = decodeXtext(value);
  return decoded === undefined || /[\u0000-\u001f\u007f-\u009f]/u.test(decoded) ? undefined : decoded;
}

// ---------------------------------------------------------------- results

function ok<T>(value: T): Parsed<T> {
  return { kind: "ok", value };
}

function bad(code: number, enhanced: string, text: string): { kind: "bad"; reply: Reply } {
  return { kind: "bad", reply: { code, enhanced, text } };
}

function badParameter(name: string): { kind: "bad"; reply: Reply } {
  return bad(501, "5.5.4", `bad ${name} parameter`);
}

/** RFC 5321 §4.1.1.11. */
function unknownParameter(name: string): { kind: "bad"; reply: Reply } {
  return bad(555, "5.5.4", `parameter ${name} is not supported`);
}
