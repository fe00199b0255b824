import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { foldSearchText as fold } from "../../../../src/core/search-text/fold.ts";
import { gramsOf, queryGrams } from "../../../../src/core/search-text/grams.ts";
import { QUERY_GRAMS_MAX } from "../../../../src/core/search-text/limits.ts";

test("queryGrams() has one for two Japanese characters and one for three letters, none for less", () => {
  for (const text of ["会議", "请查", "회의", "inv", "日々", "𠮷"])
    assert.equal(queryGrams(fold(text)).length, 1, text);
  for (const text of ["会", "ab", "a b c", "!?", "会a議", ""])
    assert.equal(queryGrams(fold(text)).length, 0, text);
  assert.equal(queryGrams("会議室").length, 2);
  assert.equal(queryGrams("invoice").length, 5);
});

test("whatever stands in a text has all its grams there", () => {
  const unit = fc.constantFrom(..."abc12 .-@会議のカあé한글𠮷ーﾟ々\u3000");
  fc.assert(
    fc.property(fc.array(unit, { maxLength: 60 }), fc.nat(60), fc.nat(20), (units, from, length) => {
      const text = fold(units.join(""));
      const part = text.slice(from, from + length).trim();
      const grams = new Set(gramsOf(text).grams);
      for (const gram of queryGrams(part)) assert.ok(grams.has(gram), JSON.stringify([text, part]));
    }),
    { numRuns: 2000 },
  );
});

test("gramsOf() gives each gram once, in order, and stops with the text where too many would be needed", () => {
  assert.deepEqual(
    [...gramsOf("abcabcabc").grams],
    [...gramsOf("abcabcabc").grams].sort((a, b) => a - b),
  );
  assert.equal(gramsOf("abcabcabc").grams.length, 3);
  const text = Array.from({ length: 5000 }, (_, i) => String.fromCharCode(0x4e00 + i)).join("");
  const { grams, length } = gramsOf(text, 100);
  assert.equal(grams.length, 100);
  assert.deepEqual([...gramsOf(text.slice(0, length)).grams], [...grams]);
  assert.deepEqual(gramsOf(text).length, text.length);
});

test("queryGrams() asks for a few of a long text", () => {
  assert.equal(
    queryGrams("supercalifragilisticexpialidocious, pneumonoultramicroscopic").length,
    QUERY_GRAMS_MAX,
  );
});
