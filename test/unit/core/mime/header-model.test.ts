/**
 * Header values and blocks against a plain model, with whatever can go wrong at the place where pieces end: encoded words, characters
 * of several octets, escape sequences, folds and white space.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { fold } from "../../../../src/core/mail-text/fold.ts";
import { StreamMatcher } from "../../../../src/core/mail-text/matcher.ts";
import {
  decodeHeaderValue,
  headerValuePieces,
  selectHeaderFields,
} from "../../../../src/core/mime/header.ts";
import { atOnce } from "../../../../src/core/steps.ts";
import { plainFields, plainValue } from "../../../lib/plain-header.ts";
import { octets } from "./support.ts";

/** Octets that all of the code which reads a value takes in one step. */
const PIECE = 16_384;

const CHARSETS = [
  ...["utf-8", "UTF-8*en", "iso-2022-jp", "cp932", "euc-jp", "gb18030", "big5", "euc-kr", "utf-16le"],
  ...["iso-8859-1", "us-ascii", "x-none", "koi8-r", "utf-7"],
];

/** As octets of a charset, in an encoded word or bare. */
const RAW = [
  ...[
    "a",
    " ",
    "\t",
    "_",
    "\0",
    "\x85",
    "\xc3\xa9",
    "\xe3\x81\x82",
    "\xf0\x9f\x98\x80",
    "\xef\xbb\xbf",
    "\xcc\x80",
  ],
  ...[
    "\xc3",
    "\xe3\x81",
    "\xf0\x80",
    "\xed\xa0\x80",
    "\x80",
    "\xff",
    "\x82\xa0",
    "\x81\x30\x81\x30",
    "\x8f\xa2\xaf",
  ],
  ...["\x1b$B", '$"', "\x1b(B", "\x1b(J", "\x1b(I", "\x1b$@", "\x1b", "\x1b$"],
];
const FOLDS = ["\r\n ", "\n\t", "\r\n\r\n ", "\r\n\t\r\n ", "\r", "\n", "\r\n"];
const WORDS = [
  ...[
    "=?utf-8?Q?=E3=81?=",
    "=?utf-8?q?=82_=41=?=",
    "=?UTF-8*en?B?44E=?=",
    "=?utf-8?B?gg ==?=",
    "=?utf-8?B?gg=\r\n =?=",
  ],
  ...[
    "=?ISO-2022-JP?B?GyRCJCIbKEI=?=",
    '=?iso-2022-jp?Q?=1B$B$"?=',
    "=?iso-2022-jp?Q?=1B(B?=",
    "=?cp932?Q?=82?=",
  ],
  ...["=?cp932?Q?=A0?=", "=?x-none?Q?=C3=A9?=", "=?utf-8?Q??=", "=?utf-8?B??=", "=?iso-8859-1?Q?_=80?="],
  ...[
    "=?utf-8?B?@@?=",
    "=?utf-8?X?a?=",
    "=??Q?a?=",
    "=?utf-8?Q?a",
    "?=",
    "=?",
    "=",
    "=4",
    "?",
    "=?utf-8?B?4=4?=",
  ],
];

const anyOf = (...texts: readonly (readonly string[])[]) =>
  fc.array(fc.constantFrom(...texts.flat()), { maxLength: 24 }).map(parts => parts.join(""));
/** So long that a piece ends a little behind it. */
const filler = fc
  .tuple(
    fc.constantFrom("x", " ", "\xc3\xa9", "x \t", "=41", '\x1b$B$"\x1b(B'),
    fc.integer({ min: 0, max: 60 }),
  )
  .map(([text, before]) => text.repeat(PIECE / text.length).slice(0, PIECE - before));
const asQ = (text: string) => text.replace(/[?\r\n]/g, "").replaceAll(" ", "_");
const asB = (text: string) => octets(text).toString("base64").replace(/.{71}/g, "$& ");

const value = fc.oneof(
  anyOf(RAW, FOLDS, WORDS),
  fc.tuple(anyOf(FOLDS, ["a"]), filler, anyOf(RAW, FOLDS, WORDS)).map(parts => parts.join("")),
  fc
    .tuple(
      fc.constantFrom(...CHARSETS),
      filler,
      anyOf(RAW, ["=E3", "=81=82", "=", "=4", "=1B"]),
      anyOf(WORDS, FOLDS, ["a"]),
    )
    .map(([charset, long, text, after]) => `=?${charset}?Q?${asQ(long + text)}?=${after}`),
  fc
    .tuple(fc.constantFrom(...CHARSETS), filler, anyOf(RAW), anyOf(WORDS, FOLDS, ["a"]))
    .map(([charset, long, text, after]) => `=?${charset}?B?${asB(long + text)}?=${after}`),
);

test("a header value reads the same in pieces as at once, whatever stands where a piece ends", () => {
  fc.assert(
    fc.property(value, text => assert.equal(decodeHeaderValue(octets(text)), plainValue(octets(text)))),
    { seed: 2047, numRuns: 1500 },
  );
});

test("what is searched for in a header value is found wherever it stands, and nowhere else", () => {
  fc.assert(
    fc.property(value, fc.nat(80), fc.integer({ min: 1, max: 12 }), (text, fromEnd, length) => {
      const whole = fold(plainValue(octets(text)));
      const from = Math.max(0, whole.length - fromEnd);
      const needles = [whole.slice(from, from + length), `${whole.slice(from, from + length)}\ud800`, "a b"];
      const matcher = new StreamMatcher(needles.filter(needle => needle !== ""));
      for (const piece of headerValuePieces(octets(text))) {
        matcher.add(piece);
        atOnce(matcher.look());
      }
      matcher.cut();
      atOnce(matcher.look());
      for (const needle of needles) assert.equal(matcher.has(needle), whole.includes(needle), needle);
    }),
    { seed: 3501, numRuns: 500 },
  );
});

const LINES = [
  "A: x",
  "a : y",
  "B:",
  "\tb: z",
  " ",
  "nothing",
  ": x",
  "A",
  "b\t:",
  "Å: x",
  "A: x\rB: y",
  "C:c\0",
];
const ENDS = ["\r\n", "\r\n", "\n", "\r", "\r\r\n", "", "\r\n\r\n"];
const block = fc
  .array(fc.tuple(fc.constantFrom(...LINES), fc.constantFrom(...ENDS)), { maxLength: 30 })
  .map(lines => lines.map(line => line.join("")).join(""));

test("selectHeaderFields() gives what a plain reading of the lines gives", () => {
  const names = fc.subarray(["a", "b", "c", "å"]);
  fc.assert(
    fc.property(block, names, fc.boolean(), (text, wanted, not) => {
      const selected = Buffer.from(selectHeaderFields(octets(text), wanted, not)).toString("latin1");
      assert.equal(selected, plainFields(text, wanted, not));
    }),
    { seed: 5322, numRuns: 1000 },
  );
});
