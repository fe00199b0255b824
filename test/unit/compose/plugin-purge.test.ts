/** What a purge takes of the files of plugins. */
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
  await purgePlugin("com.example.a", join(dir, "packages"), dir);
  assert.deepEqual(readdirSync(join(dir, "plugins")).sort(), others);
  rmSync(dir, { recursive: true, force: true });
});

test("a purge takes the folder that stays: the next plugin of this id may be somebody else's", async () => {
  const dir = mkdtempSync(join(tmpdir(), "mr-purge-"));
  for (const id of ["com.example.a", "com.example.ab"]) {
    mkdirSync(join(dir, "plugin-data", id, "deep"), { recursive: true });
    writeFileSync(join(dir, "plugin-data", id, "deep", "state"), "what it learnt of mail");
  }
  await purgePlugin("com.example.a", join(dir, "packages"), dir);
  assert.deepEqual(readdirSync(join(dir, "plugin-data")), ["com.example.ab"]);
  rmSync(dir, { recursive: true, force: true });
});
