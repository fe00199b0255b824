/** What a sandbox says before any process runs in it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Sandbox } from "../../../../src/runtimes/sandbox/sandbox.ts";

const RIGHTS = {
  bare: false,
  cpuMs: 400,
  memoryMb: 96,
  network: { mode: "none", allow: [] },
  persistentDir: undefined,
  requireLimits: [],
} as const;

test("without a folder for temporary files plugins are refused, which is no reason to end; the next one tries again", async t => {
  const before = process.env.TMPDIR;
  t.after(() => {
    if (before === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before;
  });
  process.env.TMPDIR = "/nonexistent/mairust";
  const sandbox = new Sandbox({ uidRange: [61_990, 61_999], tiers: [] });
  const holding = await sandbox.holding();
  assert.match("problem" in holding ? holding.problem : "", /ENOENT/u);
  const spec = { pluginId: "com.example.a", folder: "/", command: ["true"] };
  await assert.rejects(sandbox.admit(spec, RIGHTS), { code: "plugin_security" });
  if (before === undefined) delete process.env.TMPDIR;
  else process.env.TMPDIR = before;
  const again = await sandbox.holding();
  sandbox.close();
  assert.doesNotMatch("problem" in again ? again.problem : "", /ENOENT/u);
});
