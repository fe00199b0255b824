import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { IndexList } from "../../../../src/protocols/imap/index-list.ts";

test("IndexList keeps more than it had room for at first, and gives it in order", () => {
  const list = new IndexList();
  for (let index = 1000; index > 0; index -= 1) list.add(index);
  assert.deepEqual(
    [...list.sorted()],
    Array.from({ length: 1000 }, (_, i) => i + 1),
  );
  assert.equal(new IndexList().sorted().length, 0);
});

test("IndexList puts any runs together as a sort does", () => {
  fc.assert(
    fc.property(fc.array(fc.array(fc.nat({ max: 50 })), { maxLength: 6 }), runs => {
      const list = new IndexList();
      const all = runs.flatMap(run => run.sort((a, b) => a - b));
      for (const index of all) list.add(index);
      assert.deepEqual(
        [...list.sorted()],
        all.sort((a, b) => a - b),
      );
    }),
  );
});
