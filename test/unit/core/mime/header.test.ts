import assert from "node:assert/strict";
import { test } from "node:test";
import {
  decodeHeaderValue,
  headerFields,
  headerFieldsInSteps,
  headerValuePieces,
  selectHeaderFields,
  selectHeaderFieldsInSteps,
  unfold,
} from "../../../../src/core/mime/header.ts";
import { decodeRfc2231 } from "../../../../src/core/mime/rfc2231.ts";
import { countSteps } from "../../../lib/steps.ts";
import { octets } from "./support.ts";

const BLOCK = octets(
  "From x@y Mon Jan 1 00:00:00 2024\r\n to be ignored\r\nReceived: a\r\n\tb\r\nSUBJECT : s\nsubject: t\r\nno colon\r\n more\r\nX-Y:\r\n\r\nBody: no\r\n",
);

function select(names: string[], not: boolean, block: Uint8Array = BLOCK): string {
  return Buffer.from(selectHeaderFields(block, names, not)).toString("latin1");
}

test("headerFields() gives fields top to bottom and leaves lines without a field opaque", () => {
  const fields = [...headerFields(BLOCK)];
  assert.deepEqual(
    fields.map(f => [f.name, f.nameRaw, Buffer.from(f.value).toString("latin1"), f.lines]),
    [
      ["received", "Received", " a\r\n\tb", 2],
      ["subject", "SUBJECT", " s", 1],
      ["subject", "subject", " t", 1],
      ["x-y", "X-Y", "", 1],
    ],
  );
  assert.equal(BLOCK[(fields[0]?.valueStart ?? 0) - 1], 0x3a);
});

test("selectHeaderFields() gives the exact bytes of the fields and the closing empty line", () => {
  assert.equal(select(["Subject"], false), "SUBJECT : s\nsubject: t\r\n\r\n");
  assert.equal(select(["received", "x-none"], false), "Received: a\r\n\tb\r\n\r\n");
  assert.equal(select([], false), "\r\n");
  assert.equal(
    select(["SUBJECT", "received"], true),
    "From x@y Mon Jan 1 00:00:00 2024\r\n to be ignored\r\nno colon\r\n more\r\nX-Y:\r\n\r\n",
  );
});

test("selectHeaderFields() adds no empty line to a message that has none, and takes a block that begins with white space", () => {
  assert.equal(select(["a"], false, octets("A: b")), "A: b");
  assert.equal(select(["a"], false, octets(" x: y\r\nA: b\r\n\r\n")), "A: b\r\n\r\n");
  assert.equal(select(["a"], true, octets(" x: y\r\nA: b\n\n")), " x: y\r\n\n");
});

test("a bare CR ends no header line", () => {
  assert.equal(select(["b"], false, octets("A: x\rB: y\r\n\r\n")), "\r\n");
  assert.equal([...headerFields(octets("A: x\r\rB: y\r\r\nC: z\r\n\r\n"))].length, 2);
});

test("unfold() removes line breaks and keeps the white space", () => {
  assert.equal(unfold(octets(" a\r\n b\n\tc")), " a b\tc");
});

test("decodeHeaderValue() decodes B and Q words and joins neighbours that share a character", () => {
  const decode = (text: string): string => decodeHeaderValue(octets(text));
  assert.equal(decode(" =?UTF-8?Q?caf=C3=A9_au?= lait"), "café au lait");
  assert.equal(decode("=?utf-8?B?44E=?=\r\n =?UTF-8?b?gg==?="), "あ");
  assert.equal(decode("=?utf-8?Q?=E3?= =?utf-8?Q?=81=82?= x"), "あ x");
  assert.equal(decode("=?ISO-2022-JP?B?GyRCJCIbKEI=?= =?utf-8?Q?b?="), "あb");
  assert.equal(decode("=?utf-8*en?Q?a?= b =?us-ascii?Q?c?="), "a b c");
  assert.equal(decode("=?cp932?B?gqA=?="), "あ");
  assert.equal(decode("=?iso-8859-1?Q?=93x=94_=80?="), "“x” €");
});

test("decodeHeaderValue() leaves broken words as they are", () => {
  for (const text of [
    "=?utf-8?Q?open",
    "=?utf-8?X?a?=",
    "=??Q?a?=",
    "=?utf-8?B?@@?=",
    "=?utf-8?Q?a?b?=",
    "=?",
    "a =? b ?=",
  ]) {
    assert.equal(decodeHeaderValue(octets(text)), text);
  }
});

test("decodeHeaderValue() takes raw 8-bit as UTF-8 if valid, else windows-1252, and recognises raw ISO-2022-JP", () => {
  assert.equal(decodeHeaderValue(octets("\xe3\x81\x82")), "あ");
  assert.equal(decodeHeaderValue(octets("caf\xe9 \x80")), "café €");
  assert.equal(decodeHeaderValue(octets('\x1b$B$"\x1b(B')), "あ");
  assert.equal(decodeHeaderValue(octets("voil\xc3\xa0")), "voilà");
});

test("decodeHeaderValue() turns controls into spaces, TAB excepted, also those that were encoded", () => {
  assert.equal(decodeHeaderValue(octets("a\0b\x07c\td\x7fe\rf")), "a b c\td e f");
  assert.equal(decodeHeaderValue(octets("=?utf-8?Q?a=0D=0ABcc:_x?=")), "a  Bcc: x");
});

test("decodeHeaderValue() reads hostile values in one pass", () => {
  for (const piece of ["=?a?Q?x ", "=?", "=?utf-8?B?", "=?utf-8?Q?a?= ", "=?a", "?="]) {
    decodeHeaderValue(octets(piece.repeat(100_000)));
  }
});

test("decodeRfc2231() decodes by charset and takes a value without quotes as bytes", () => {
  assert.equal(decodeRfc2231("iso-2022-jp'ja'%1B$B$%22%1B(B"), "あ");
  assert.equal(decodeRfc2231("''a%20b"), "a b");
  assert.equal(decodeRfc2231("%E3%81%82"), "あ");
  assert.equal(decodeRfc2231("utf-8''%ZZ%4"), "%ZZ%4");
});

/** What is repeated to make a value of many pieces, and what it reads as each time. */
const REPEATED: ReadonlyArray<readonly [text: string, read: string]> = [
  ["\r\n a", " a"],
  ["\n\t\r\n b", "\t b"],
  ["\ra", " a"],
  ["\xc3\xa9\xe3\x81\x82\xf0\x9f\x98\x80", "éあ😀"],
  ["\x80\xe9", "€é"],
  ['\x1b$B$"\x1b(B', "あ"],
  ["=?utf-8?Q?=E3=81?= \r\n =?utf-8?Q?=82_=41=?= ", "あ A="],
  ["=?utf-8?B?44E=?= =?utf-8?B?gg ==?= ", "あ"],
  ["=?ISO-2022-JP?B?GyRCJCIbKEI=?= ", "あ"],
  ["=?cp932?Q?=82=A0?= x ", "あ x "],
  ["=?=?a?Q", "=?=?a?Q"],
];

test("decodeHeaderValue() reads a value of many pieces as each part of it alone, wherever the pieces end", () => {
  for (const [text, read] of REPEATED) {
    for (let shift = 0; shift < 12; shift++) {
      const times = Math.ceil(50_000 / text.length);
      const before = `${"x".repeat(shift)}.`;
      // Of words that follow each other, white space is shown at neither end.
      const got = decodeHeaderValue(octets(`${before}${text.repeat(times)}.`)).replace(/ \.$/, ".");
      assert.equal(got, `${before}${read.repeat(times)}.`.replace(/ \.$/, "."), `${text} at ${shift}`);
    }
  }
  const one = (encoded: string, charset = "utf-8") => decodeHeaderValue(octets(`=?${charset}?${encoded}?=`));
  for (let shift = 0; shift < 6; shift++) {
    assert.equal(
      one(`Q?${"x".repeat(shift)}${"=E3=81=82==41".repeat(4000)}`),
      "x".repeat(shift) + "あ=A".repeat(4000),
    );
    const plain = `${"x".repeat(shift)}${'\x1b$B$"\x1b(B\x1b(J'.repeat(6000)}`;
    const base64 = Buffer.from(plain, "latin1").toString("base64").replace(/.{7}/g, "$& ");
    assert.equal(one(`B?${base64}`, "iso-2022-jp"), "x".repeat(shift) + "あ".repeat(6000), `shift ${shift}`);
  }
  assert.equal(
    decodeHeaderValue(octets(`${" ".repeat(50_000)}a${" \t".repeat(50_000)}b${" ".repeat(50_000)}`)).length,
    100_002,
  );
});

test("a header value of megabytes is decoded in steps, whatever it is made of", () => {
  const single = (text: string) => [`=?utf-8?Q?${text}?=`, `=?utf-8?B?${text}?=`, `=?iso-8859-1?Q?${text}?=`];
  for (const text of [...REPEATED.map(([each]) => each), "a", " ", "\x01", "\x80", "\xcc\x80"]) {
    const value = octets(`x${text.repeat(Math.ceil(1_000_000 / text.length))}x`);
    const steps = countSteps(headerValuePieces(value));
    assert.ok(steps > 1_000_000 / 20_000, JSON.stringify(text));
    // Unfolding has steps of its own.
    assert.ok(
      !text.includes("\n") || steps > countSteps(headerValuePieces(unfold(value))) + 1_000_000 / 20_000,
      JSON.stringify(text),
    );
    for (const piece of headerValuePieces(value)) assert.ok(piece.length <= 40_000, JSON.stringify(text));
  }
  const steps = (text: string) => countSteps(headerValuePieces(octets(text.repeat(500_000))));
  assert.ok(steps("=?") > steps("xx") + 1_000_000 / 2000, "where words may begin");
  for (const value of [...single("=41".repeat(333_333)), ...single("44GC".repeat(250_000))])
    assert.ok(countSteps(headerValuePieces(octets(value))) > 2 * 30);
});

test("a long encoded word is decoded in linear time, with escapes or without", () => {
  const startedAt = process.cpuUsage().user;
  assert.equal(decodeHeaderValue(octets(`=?utf-8?Q?${"x".repeat(16_000_000)}?=`)).length, 16_000_000);
  assert.ok(process.cpuUsage().user - startedAt < 1_500_000);
});

test("a header block of megabytes is passed in steps: many fields, and one of many lines", () => {
  const fields = octets("a: b\r\n".repeat(100_000));
  assert.ok(countSteps(headerFieldsInSteps(fields)) > 100_000);
  assert.ok(countSteps(selectHeaderFieldsInSteps(fields, ["a"], false)) > 600_000 / 5000);
  const lines = octets(`a:${"\n ".repeat(500_000)}`);
  assert.ok(countSteps(headerFieldsInSteps(lines)) > 500_000 / 5000);
  const apart = octets("a: b\r\nc: d\r\n".repeat(100_000));
  const passed = countSteps(selectHeaderFieldsInSteps(apart, [], false));
  assert.ok(
    countSteps(selectHeaderFieldsInSteps(apart, ["a"], false)) > passed + 100_000 / 5000,
    "what is kept is copied",
  );
  assert.equal(select(["a"], false, apart), "a: b\r\n".repeat(100_000));
});
