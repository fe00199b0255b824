import assert from "node:assert/strict";
import { test } from "node:test";
import { Merge } from "../../../src/core/merge.ts";
import { groupByDecision, isSame } from "../../../src/core/same-decision.ts";

test("isSame() compares JSON values by their content", () => {
  const pairs: readonly (readonly [unknown, unknown, boolean])[] = [
    [{ a: [1, { b: "x" }], c: undefined }, { c: undefined, a: [1, { b: "x" }] }, true],
    [[], {}, false],
    [{ a: 1 }, { a: 1, b: undefined }, false],
    [{ a: undefined }, { b: undefined }, false],
    [[1, 2], [2, 1], false],
    [null, {}, false],
    ["1", 1, false],
    [{ a: null }, { a: null }, true],
  ];
  for (const [one, other, expected] of pairs) {
    assert.equal(isSame(one, other), expected, JSON.stringify([one, other]));
    assert.equal(isSame(other, one), expected, JSON.stringify([other, one]));
  }
});

test("groupByDecision() keeps the order of groups and within them", () => {
  const items = ["a", "b", "a", "c", "b"].map((tag, i) => ({
    i,
    decision: { ...new Merge([]).finish(), tags: [tag] },
  }));
  const groups = groupByDecision(items);
  assert.deepEqual(
    groups.map(({ decision, items: some }) => [decision.tags, some.map(({ i }) => i)]),
    [
      [["a"], [0, 2]],
      [["b"], [1, 4]],
      [["c"], [3]],
    ],
  );
});
