import { test } from "node:test";
import fc from "fast-check";
import { Random } from "../../../fuzz/lib/random.ts";
import { generate, run, seeds } from "../../../fuzz/milter.ts";

test("any chunking of a connection gives the same answers, messages and counts", async () => {
  for (const seed of seeds) await run(seed);
  await fc.assert(
    fc.asyncProperty(fc.integer(), number => run(generate(new Random(number)))),
    { numRuns: 300 },
  );
});
