import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { promisify } from "node:util";
import { packageRoot } from "../../src/platform/package-root.ts";

const scratchFolders = () => readdirSync(tmpdir()).filter(name => /^mr[A-Za-z0-9]{6}$/u.test(name));

test("npm run demo -- --once: every message arrives tagged, filed and byte for byte, over a kill -9, and nothing is left behind", async () => {
  const before = new Set(scratchFolders());
  const { stdout } = await promisify(execFile)("npm", ["run", "demo", "--", "--once"], {
    cwd: packageRoot(),
    timeout: 300_000,
  });
  for (const what of [
    "a plain message",
    "Japanese",
    "attachment",
    "two aliases",
    "ten recipients",
    "while the sidecar is dead",
  ]) {
    assert.match(stdout, new RegExp(`✓ [^\\n]*${what}`, "u"));
  }
  assert.match(stdout, /SIGKILL/u);
  assert.match(stdout, /none lost, none twice/u);
  assert.deepEqual(
    scratchFolders().filter(name => !before.has(name)),
    [],
  );
});
