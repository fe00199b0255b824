import { test } from "node:test";
import type { FuzzTarget } from "../../fuzz/lib/target.ts";
import { REGRESSIONS } from "../../fuzz/regressions.ts";
import { TARGETS, targetModule } from "../../fuzz/targets.ts";

// The runner resolves modules of the build; from the source they end in .ts.
function load(name: (typeof TARGETS)[number]): Promise<FuzzTarget> {
  const url = targetModule(name);
  return import(import.meta.url.endsWith(".ts") ? url.replace(/\.js$/u, ".ts") : url) as Promise<FuzzTarget>;
}

for (const { target, what, input } of REGRESSIONS) {
  test(`${target}: once ${what}`, async () => {
    await (await load(target)).run(input);
  });
}

test("every fuzz target holds for its seeds", async () => {
  for (const name of TARGETS) {
    const target = await load(name);
    for (const seed of target.seeds) await target.run(seed);
  }
});
