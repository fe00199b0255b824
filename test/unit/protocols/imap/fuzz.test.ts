import { test } from "node:test";
import fc from "fast-check";
import { run, seeds } from "../../../fuzz/imap-parser.ts";

test("the fuzz target holds for its seeds and for what is near them", () => {
  for (const seed of seeds) run(seed);
  const mutated = fc
    .tuple(
      fc.constantFrom(...seeds),
      fc.array(fc.tuple(fc.nat(200), fc.integer({ min: -1, max: 255 })), { maxLength: 6 }),
    )
    .map(([seed, edits]) => {
      const octets = [...seed];
      for (const [at, octet] of edits) {
        if (octet < 0) octets.splice(at % octets.length, 1);
        else octets.splice(at % octets.length, 0, octet);
      }
      return Uint8Array.from(octets);
    });
  fc.assert(
    fc.property(mutated, input => run(input)),
    { numRuns: 500 },
  );
});
