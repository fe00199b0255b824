import assert from "node:assert/strict";
import { test } from "node:test";
import { foldSearchText as fold } from "../../../../src/core/search-text/fold.ts";
import { COMBINING_MAX } from "../../../../src/core/search-text/limits.ts";

test("foldSearchText() makes case, width, composition and Greek final sigma meet", () => {
  assert.equal(fold("ＡＢＣ１２３"), "abc123");
  assert.equal(fold("ｶﾞｷﾞ"), "ガギ");
  assert.equal(fold("cafe\u0301"), "café");
  assert.equal(fold("①㈱"), "1(株)");
  assert.equal(fold("ΟΔΟΣ"), fold("οδοσ"));
  assert.equal(fold("STRASSE Ünal"), "strasse ünal");
});

test("foldSearchText() joins white space, and lines that were wrapped between Japanese characters", () => {
  assert.equal(fold("  monthly\r\n\t report \n"), "monthly report");
  assert.equal(fold("会\r\n議"), "会議");
  assert.equal(fold("会  \r\n  議"), "会議");
  assert.equal(fold("会\r\n\r\n議"), "会 議", "a paragraph ends");
  assert.equal(fold("会 議"), "会 議");
  assert.equal(fold("会\r\nab"), "会 ab");
});

test("foldSearchText() leaves out what nobody sees and what the database refuses", () => {
  assert.equal(fold("in\u00advoi\u200bce"), "invoice");
  assert.equal(fold("a\u0000b"), "a b");
  assert.equal(fold("a\ud800b"), "a\ufffdb");
});

test("foldSearchText() keeps runs of combining marks short, so that normalising stays linear", () => {
  const marks = "\u0301\u0316".repeat(100_000);
  assert.equal(fold(`a${marks}b`).length, COMBINING_MAX + 1);
});

test("foldSearchText() is linear in white space and marks that lead to nothing", () => {
  for (const text of [
    "会 \t".repeat(200_000),
    "会\n \n ".repeat(200_000),
    " \r".repeat(300_000),
    "\u0301".repeat(500_000),
  ])
    assert.ok(fold(text).length <= text.length);
});
