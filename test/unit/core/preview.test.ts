import assert from "node:assert/strict";
import { test } from "node:test";
import { makePreview } from "../../../src/core/preview.ts";

test("a preview is one line: white space and controls are one space, NUL is gone", () => {
  assert.equal(
    makePreview("\r\n  Dear\u00a0Bob,\r\n\r\n\tsee\u0000 below\u0007.\u2028Bye "),
    "Dear Bob, see below . Bye",
  );
  assert.equal(makePreview(" \r\n\u0000\u0085"), "");
});

test("a preview has 200 characters at most, cut between characters and without a space at its end", () => {
  assert.equal(makePreview("😀".repeat(300)), "😀".repeat(200));
  assert.equal(makePreview(`${"a".repeat(199)} bcd`), "a".repeat(199));
  assert.equal(makePreview(`${"a".repeat(198)} bcd`), `${"a".repeat(198)} b`);
  assert.equal(makePreview("日本語の本文。".repeat(100)).length, 200);
});

test("a lone surrogate becomes U+FFFD, also one that the cut would leave", () => {
  assert.equal(makePreview("a\ud83d b"), "a\ufffd b");
  assert.ok(makePreview(`${"\ud83d".repeat(199)}😀😀`).isWellFormed());
});

test("words that nobody sees are left out, joiners within words stay", () => {
  assert.equal(makePreview("Sale \u034f \u200c \u00ad\u200c\u00a0\u200b now"), "Sale now");
  assert.equal(makePreview("👩‍💻 می‌خواهم"), "👩‍💻 می‌خواهم");
});

test("what is encrypted in the text is no preview", () => {
  assert.equal(makePreview("-----BEGIN PGP MESSAGE-----\r\n\r\nhQEMA"), "");
  assert.equal(makePreview("Hi,\r\n-----BEGIN PGP MESSAGE-----\r\n\r\nhQEMA"), "Hi,");
});

test("a preview of a large text takes no longer than that of a small one", () => {
  const startedAt = performance.now();
  for (const text of ["x".repeat(8_000_000), "x ".repeat(4_000_000)])
    assert.equal(makePreview(text).length <= 200, true);
  assert.ok(performance.now() - startedAt < 2000);
});
