import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmodSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { packageRoot } from "../../src/platform/package-root.ts";

test("npm run demo -- --once: every message arrives tagged, filed and byte for byte, over a kill -9, and nothing is left behind", async t => {
  // Its own, open to the mail servers' users: other tests may run on this host.
  const folder = mkdtempSync(join(tmpdir(), "d"));
  chmodSync(folder, 0o755);
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const scratchFolders = () => readdirSync(folder).filter(name => /^mr[A-Za-z0-9]{6}$/u.test(name));
  const { stdout } = await promisify(execFile)("npm", ["run", "demo", "--", "--once"], {
    cwd: packageRoot(),
    timeout: 300_000,
    env: { ...process.env, TMPDIR: folder },
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
  assert.match(
    stdout,
    /the plugins run in the sandbox of tier [123]; enforced: .*network|in no sandbox \(.+\): they run/u,
  );
  assert.match(stdout, /SIGKILL/u);
  assert.match(stdout, /none lost, none twice/u);
  assert.deepEqual(scratchFolders(), []);
});
