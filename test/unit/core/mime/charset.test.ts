import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeText, decodeTextNamed, detectText } from "../../../../src/core/mime/charset.ts";
import { octets } from "./support.ts";

test("decodeText() knows the names that mail uses and TextDecoder does not", () => {
  for (const name of ["cp932", "MS932", "x-sjis", "windows-31j", "Shift-JIS"])
    assert.equal(decodeText(octets("\x82\xa0\x87\x40"), name), "あ①", name);
  for (const name of ["iso-2022-jp", "CP50220", "cp50221", "iso-2022-jp-2", "ISO-2022-JP-MS"])
    assert.equal(decodeText(octets('\x1b$B$"\x1b(B'), name), "あ", name);
  for (const name of ["euc-jp", "eucjp-ms", "cp51932", "EUCJP-WIN"])
    assert.equal(decodeText(octets("\xa4\xa2"), name), "あ", name);
});

test("decodeText() reads western names as windows-1252, C1 range included", () => {
  for (const name of ["iso-8859-1", "windows-1252", "Latin1"])
    assert.equal(decodeText(octets("\x80\x93\xe9"), name), "€“é", name);
});

test("decodeText() never decodes UTF-7 and does not believe us-ascii", () => {
  assert.equal(decodeText(octets("+ADw-script+AD4-"), "utf-7"), "+ADw-script+AD4-");
  assert.equal(decodeText(octets("\xe3\x81\x82"), "us-ascii"), "あ");
});

test("decodeText() detects under names nobody knows, and never throws", () => {
  for (const name of ["no-such", "", "hz-gb-2312", "iso-2022-kr", "\0", "x".repeat(10_000)]) {
    assert.equal(decodeText(octets("caf\xe9"), name), "café", name.slice(0, 20));
  }
  assert.equal(decodeText(octets("\xff"), "utf-8"), "\ufffd");
});

test("decodeText() keeps no shift state from one text to the next", () => {
  decodeText(octets('\x1b$B$"'), "iso-2022-jp");
  assert.equal(decodeText(octets("ab"), "iso-2022-jp"), "ab");
});

test("detectText() takes ISO-2022-JP by its escapes, valid UTF-8, else windows-1252", () => {
  assert.equal(detectText(octets('\x1b$B$"\x1b(B')), "あ");
  assert.equal(detectText(octets("\xc3\xa9")), "é");
  assert.equal(detectText(octets("\xe9\x80")), "é€");
});

test("decodeTextNamed() says what the text was read as", () => {
  const cases: ReadonlyArray<readonly [Uint8Array, string, string, string]> = [
    [Buffer.from("abc"), "shift_jis", "abc", "us-ascii"],
    [Buffer.from([0x82, 0xa0]), "cp932", "あ", "shift_jis"],
    [Buffer.from("é"), "no-such-charset", "é", "utf-8"],
    [Buffer.from([0x80]), "iso-8859-1", "€", "windows-1252"],
    [Buffer.from([0x80]), "", "€", "windows-1252"],
    [Buffer.from('\x1b$B$"\x1b(B', "latin1"), "us-ascii", "あ", "iso-2022-jp"],
    [Buffer.from([0xc4]), "iso-8859-2", "Ä", "iso-8859-2"],
  ];
  for (const [bytes, declared, text, charset] of cases)
    assert.deepEqual(decodeTextNamed(bytes, declared), { text, charset });
});

test("ISO-2022-JP words that were cut in two and joined again read as one", () => {
  const joined = "\x1b$B@A\x1b(B\x1b$B5a\x1b(B\x1b(J\x1b$B=q\x1b(B";
  assert.equal(decodeText(octets(joined), "iso-2022-jp"), "請求書");
});
