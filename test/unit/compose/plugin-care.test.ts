/** The crash rule when what it does fails. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { type CareParts, pluginCare } from "../../../src/compose/plugin-care.ts";
import { silentLog } from "../../lib/database.ts";

test("a plugin that could not be ended is ended after its next crash, and not twice at once", async () => {
  const ends: Array<() => void> = [];
  const turns = () => new Promise<never>((_, reject) => ends.push(() => reject(new Error("no database"))));
  // The rule asks nothing else of its parts before it has its turn.
  const care = pluginCare({ turns, log: silentLog } as unknown as CareParts);
  for (let i = 0; i < 5; i++) care.crashed("com.example.bad", "exit code 1");
  assert.equal(ends.length, 1);
  ends[0]?.();
  await setImmediate();
  care.crashed("com.example.bad", "exit code 1");
  assert.equal(ends.length, 2);
  care.crashed("com.example.other", "exit code 1");
  assert.equal(ends.length, 2);
});
