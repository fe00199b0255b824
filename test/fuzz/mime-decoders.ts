/**
 * Fuzz target: the decoders of header values: fields, encoded words, addresses, media types, dispositions, languages,
 * RFC 2231, charsets, message ids. Each gives something for every input, never throws, and never gives back much more than
 * it got.
 */
import { parseAddressList } from "../../src/core/mime/address.ts";
import { decodeText, decodeTextNamed, detectText } from "../../src/core/mime/charset.ts";
import {
  parseDisposition,
  parseEncoding,
  parseLanguages,
  parseMediaType,
} from "../../src/core/mime/content-fields.ts";
import { decodeWords } from "../../src/core/mime/encoded-word.ts";
import { decodeHeaderValue, headerFields, selectHeaderFields, unfold } from "../../src/core/mime/header.ts";
import { renderEnvelope } from "../../src/core/mime/imap-render.ts";
import { decodeRfc2231 } from "../../src/core/mime/rfc2231.ts";
import { firstMessageId, receivedQueueId, threadKeyOf } from "../../src/core/mime/trace-fields.ts";
import { checkEnvelope, readImap } from "../unit/core/mime/imap-reader.ts";
import { headerText } from "./lib/mime-grammar.ts";
import type { Random } from "./lib/random.ts";
import { check, octets } from "./lib/target.ts";

export const name = "mime-decoders";
export const words = [
  "=?utf-8?q?",
  "=?iso-2022-jp?b?",
  "?=",
  "=?=",
  "<",
  ">",
  "@",
  ":",
  ";",
  ",",
  "(",
  ")",
  "\\",
  '"',
  "*0*=",
  "*1=",
  "utf-8''",
  "%e3%81%82",
  "\x1b$B",
  "\x1b(B",
  "charset=",
  "filename*0=",
  "\r\n ",
  "\r\n\r\n",
  "\xe3\x81\x82",
  "\xff\xfe",
];
export const seeds = [
  "=?utf-8?q?C=C3=A9?= =?utf-8?q?x?= =?iso-2022-jp?b?GyRCMnE1RBsoQg==?=",
  'g: a@b, "c\\"d" <@r,@s:e@f>;, (x (y)) h@i (z)',
  "attachment; filename*0*=utf-8''%e3; filename*1=\"x y\"; size=1; filename=a b.pdf",
  'multipart/mixed; boundary="a\\"b"; charset=x (c); (d) name*=iso-8859-1\'en\'%e9',
  "from a (b id c) by d with e id F1 (f); Mon, 1 Jan",
  "Subject: a\r\n b\r\nX:y\r\n\tz\r\nbad line\r\n\r\nbody",
  "<a@b> <c@d> e, ja, en-GB",
].map(octets);

export function generate(random: Random): Uint8Array {
  return octets(headerText(random));
}

const CHARSETS = [
  "utf-8",
  "us-ascii",
  "iso-2022-jp",
  "shift_jis",
  "euc-jp",
  "gb18030",
  "utf-16",
  "windows-1252",
  "utf-7",
  "x-none",
  "",
  "\0",
];

/** @throws {Error} an invariant does not hold */
export function run(input: Uint8Array): void {
  const text = Buffer.from(input.buffer, input.byteOffset, input.byteLength).toString("latin1");
  const roomy = text.length * 4 + 64;
  const shown = decodeHeaderValue(input);
  check(!/[\0-\x08\x0a-\x1f\x7f-\x9f]/u.test(shown), "no controls in a value that is shown");
  check(
    shown.length <= roomy && decodeWords(text).length <= roomy,
    "a decoded value is about as long as it was",
  );
  checkFields(input);
  checkAddresses(text);
  parseMediaType(text);
  const disposition = parseDisposition(text);
  check(disposition === undefined || /^[!-~]+$/u.test(disposition.type), "a disposition is a token");
  check(
    parseLanguages(text).every(tag => /^[!-~]+$/u.test(tag)),
    "languages are tokens",
  );
  check(/^[!-~]*$/u.test(parseEncoding(text) ?? ""), "an encoding is a token");
  check(decodeRfc2231(text).length <= roomy, "an RFC 2231 value is about as long as it was");
  for (const id of [firstMessageId(text), threadKeyOf(text, undefined, text)])
    check(id === undefined || !/[\0-\x20\x7f-\x9f]/u.test(id), "no controls in a message id");
  check(/^[!-~]*$/u.test(receivedQueueId(text) ?? ""), "a queue id is printable");
  checkCharsets(input);
}

function checkFields(input: Uint8Array): void {
  let at = 0;
  for (const field of headerFields(input)) {
    check(
      field.start >= at && field.start < field.valueStart && field.valueStart <= field.end,
      "fields follow each other",
    );
    at = field.end;
    check(!/\n(?=[ \t])/u.test(unfold(field.value)), "no fold is left");
  }
  const names = ["subject", "x"];
  const chosen = selectHeaderFields(input, names, false).length;
  const others = selectHeaderFields(input, names, true).length;
  const all = selectHeaderFields(input, [], true).length;
  const end = chosen + others - all;
  check(end >= 0 && end <= 2, "each field is in one of both selections, the empty line in both");
}

function checkAddresses(text: string): void {
  const list = parseAddressList(text, 50);
  check(list.length <= 51, "no more addresses than asked for");
  const fields = {
    date: text,
    subject: text,
    from: text,
    sender: undefined,
    replyTo: "",
    to: text,
    cc: undefined,
    bcc: text,
    inReplyTo: text,
    messageId: text,
  };
  checkEnvelope(readImap(Buffer.from(renderEnvelope(fields), "latin1")));
}

function checkCharsets(input: Uint8Array): void {
  const roomy = input.length * 4 + 64;
  for (const charset of [...CHARSETS, Buffer.from(input.subarray(0, 12)).toString("latin1")]) {
    check(decodeText(input, charset).length <= roomy, `${charset} gives about as much as it got`);
  }
  const named = decodeTextNamed(input, "");
  check(named.text === detectText(input), "detection says what it used");
}
