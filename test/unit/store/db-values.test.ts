import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  arrayText,
  json,
  jsonText,
  MAX_PARAMETERS,
  parseArray,
  pgText,
  safeInteger,
  sql,
  statementOf,
} from "../../../src/store/db-values.ts";

const of = (strings: TemplateStringsArray, ...values: Parameters<typeof statementOf>[1]) =>
  statementOf(strings, values);

test("statementOf() numbers parameters through nested fragments", () => {
  const inner = sql`b = ${2} and c = ${"x"}`;
  assert.deepEqual(of`select 1 where a = ${1} and ${inner} or d = ${null}`, {
    text: "select 1 where a = $1 and b = $2 and c = $3 or d = $4",
    parameters: [1, 2, "x", null],
  });
});

test("statementOf() turns elements of arrays into text that leaves nothing to guess", () => {
  const at = new Date("2026-01-02T03:04:05.678Z");
  const { parameters } = of`${[at, null, true, 5n, Buffer.from([0, 255]), "x", 1.5, json([1])]}`;
  assert.deepEqual(parameters, [["2026-01-02T03:04:05.678Z", null, "t", "5", "\\x00ff", "x", 1.5, "[1]"]]);
});

test("statementOf() refuses undefined and more parameters than the protocol counts", () => {
  const missing = {} as { value: string };
  assert.throws(() => of`${missing.value}`, { code: "invalid_argument" });
  assert.throws(() => of`${[missing.value]}`, { code: "invalid_argument" });
  const strings = Array.from({ length: MAX_PARAMETERS + 2 }, () => ",");
  assert.throws(
    () =>
      statementOf(
        strings,
        strings.slice(1).map(() => 1),
      ),
    { code: "invalid_argument" },
  );
});

test("arrays survive being written and read, whatever their text", () => {
  fc.assert(
    fc.property(fc.array(fc.option(fc.string())), elements => {
      assert.deepEqual(
        parseArray(arrayText(elements), text => text),
        elements,
      );
    }),
  );
});

test("parseArray() tells NULL from the text NULL, and refuses a second dimension", () => {
  assert.deepEqual(
    parseArray('{NULL,"NULL",a}', text => text),
    [null, "NULL", "a"],
  );
  assert.deepEqual(parseArray("{1,2}", Number), [1, 2]);
  assert.throws(() => parseArray("{{1},{2}}", Number), { code: "internal" });
  assert.throws(() => parseArray('{{"a,"},{b}}', String), { code: "internal" });
});

test("pgText() gives text without NUL and lone surrogates, and leaves all else", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map(c => String.fromCharCode(c)) }),
      text => {
        const stored = pgText(text);
        assert.ok(!stored.includes("\0"));
        assert.equal(Buffer.from(stored).toString("utf8"), stored);
        assert.equal(stored.length, text.length);
        if (!text.includes("\0") && Buffer.from(text).toString("utf8") === text) assert.equal(stored, text);
      },
    ),
  );
});

test("jsonText() replaces what jsonb refuses and keeps escaped backslashes", () => {
  assert.equal(
    jsonText({ a: "x\0y", b: "\\u0000", c: "\ud800", d: "\\\0" }),
    '{"a":"x\\ufffdy","b":"\\\\u0000","c":"\\ufffd","d":"\\\\\\ufffd"}',
  );
  assert.equal(jsonText(json(undefined)), "null");
  assert.equal(jsonText({ e: "\u{1f600}\u0001" }), '{"e":"\u{1f600}\\u0001"}');
});

test("safeInteger() reads up to 2^53 - 1 and refuses what is beyond", () => {
  assert.equal(safeInteger("-9007199254740991"), Number.MIN_SAFE_INTEGER);
  assert.throws(() => safeInteger("9007199254740992"), { code: "internal" });
});
