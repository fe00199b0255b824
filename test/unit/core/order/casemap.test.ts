import assert from "node:assert/strict";
import { test } from "node:test";
import { casemap } from "../../../../src/core/order/casemap.ts";

const SAME: ReadonlyArray<readonly [string, string]> = [
  ["straße", "STRAßE"],
  ["café", "CAFE\u0301"],
  ["ｆｕｌｌ", "FULL"],
  ["ǆ", "Ǆ"],
  ["ǆ", "ǅ"],
  ["ᾳ", "ᾼ"],
  ["ž", "Ž"],
  ["ж", "Ж"],
  ["ა", "ა"],
  ["ガ", "ガ"],
];
const DIFFERENT: ReadonlyArray<readonly [string, string]> = [
  ["ß", "SS"],
  // Titlecase comes before decomposition.
  ["ﬁle", "FILE"],
  ["cafe", "café"],
  ["a", "b"],
];

for (const [a, b] of SAME) {
  test(`casemap() makes ${a} and ${b} the same`, () => assert.equal(casemap(a), casemap(b)));
}
for (const [a, b] of DIFFERENT) {
  test(`casemap() keeps ${a} and ${b} apart`, () => assert.notEqual(casemap(a), casemap(b)));
}

test("casemap() titles a digraph and leaves Georgian letters as they are", () => {
  assert.equal(casemap("ǳ"), "Dz");
  assert.equal(casemap("აბ"), "აბ");
});
