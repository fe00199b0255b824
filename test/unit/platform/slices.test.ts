/** Long work gives others their turn. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { inSlices, Slice } from "../../../src/platform/slices.ts";

test("work in steps, and work in pieces, stops for others", async () => {
  let others = 0;
  const other = setInterval(() => {
    others += 1;
  }, 1);
  await inSlices(
    (function* () {
      while (others < 2) yield;
    })(),
  );
  const slice = new Slice();
  assert.equal(slice.over(), undefined, "it has only begun");
  while (others < 4) await slice.over();
  clearInterval(other);
});
