/** What a purge takes of the logs of plugins. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { purgePlugin } from "../../../src/compose/plugin-purge.ts";

test("a purge takes all logs of a plugin, and none of one whose id goes on where its own ends", async () => {
  const dir = mkdtempSync(join(tmpdir(), "mr-purge-"));
  const others = ["com.example.a.log.log", "com.example.a.log.log.1.gz", "com.example.ab.log"];
  mkdirSync(join(dir, "plugins"));
  for (const name of ["com.example.a.log", "com.example.a.log.1.gz", "com.example.a.log.2", ...others])
    writeFileSync(join(dir, "plugins", name), "");
  await purgePlugin("com.example.a", dir);
  assert.deepEqual(readdirSync(join(dir, "plugins")).sort(), others);
  rmSync(dir, { recursive: true, force: true });
});
