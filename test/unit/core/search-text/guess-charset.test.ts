import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeUnsure } from "../../../../src/core/search-text/guess-charset.ts";
import { CHARSET_SAMPLES, UNLABELLED_SAMPLES } from "./samples.ts";

const bytes = (hex: string) => Buffer.from(hex, "hex");

test("decodeUnsure() reads every charset of mail by the names that mail uses", () => {
  for (const [charset, text, hex] of CHARSET_SAMPLES) {
    assert.equal(decodeUnsure(bytes(hex), charset, false).normalize("NFKC"), text.normalize("NFKC"), charset);
  }
});

test("decodeUnsure() finds the charset of text that has none, and of text that is declared wrongly", () => {
  for (const [what, text, hex] of UNLABELLED_SAMPLES) {
    for (const declared of ["", "us-ascii", "x-unknown", "no-such-charset"])
      assert.equal(decodeUnsure(bytes(hex), declared, false), text, `${what} as ${declared}`);
    // UTF-8 is the wrong name that is written most.
    if (!what.startsWith("windows"))
      assert.equal(decodeUnsure(bytes(hex), "utf-8", false), text, `${what} as utf-8`);
  }
});

test("decodeUnsure() sees Japanese under a western name, and leaves western text what it is", () => {
  for (const [what, text, hex] of UNLABELLED_SAMPLES) {
    const read = decodeUnsure(bytes(hex), "iso-8859-1", false);
    if (/JIS|JP|windows/u.test(what)) assert.equal(read, text, what);
  }
});

test("decodeUnsure() believes the meta element of HTML without a charset, unless it is wrong", () => {
  const meta = (name: string, hex: string) =>
    Buffer.concat([
      Buffer.from(`<html><head><meta http-equiv=x content="text/html; charset=${name}">`),
      bytes(hex),
    ]);
  const cyrillic = CHARSET_SAMPLES.find(([name]) => name === "koi8-r");
  assert.match(decodeUnsure(meta("koi8-r", cyrillic?.[2] ?? ""), "", true), /Привет/u);
  const [, text = "", hex = ""] = UNLABELLED_SAMPLES[0] ?? [];
  assert.ok(decodeUnsure(meta("utf-8", hex), "", true).endsWith(text));
});

test("decodeUnsure() never throws, and replaces what cannot be read", () => {
  assert.equal(decodeUnsure(Buffer.from([0x61, 0xff, 0x62]), "shift_jis", false).length, 3);
  for (let seed = 0; seed < 300; seed++) {
    const noise = Buffer.from(
      Array.from({ length: 200 }, (_, i) => (seed * 7919 + i * i * 31 + i * seed) & 0xff),
    );
    for (const charset of ["", "utf-8", "iso-2022-jp", "gb18030", "\0", "utf-16be"])
      assert.equal(typeof decodeUnsure(noise, charset, seed % 2 === 0), "string");
  }
});
