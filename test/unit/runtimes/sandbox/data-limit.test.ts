/** RLIMIT_DATA of plugins: Node must start under the default limit, whichever version it is, and nobody else gets more. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { DEFAULT_MEMORY_MB } from "../../../../src/core/plugin-terms.ts";
import { dataLimitBytes } from "../../../../src/runtimes/sandbox/data-limit.ts";
import { notHere } from "../../../lib/not-here.ts";

const MIB = 1_048_576;

test("the Node that runs this starts under the limit of a plugin that sets none", t => {
  const limit = dataLimitBytes({ folder: "/", command: ["node", "main.mjs"] }, DEFAULT_MEMORY_MB);
  const words = [`--data=${limit}`, process.execPath, "-e", "process.exit(7)"];
  const { status, error } = spawnSync("prlimit", words, { stdio: "ignore" });
  if (error !== undefined) return t.skip(notHere(`prlimit: ${error.message}`));
  assert.equal(status, 7);
});

test("only what is Node, and of a version that needs it, gets room for machine code", t => {
  const folder = mkdtempSync(join(tmpdir(), "mr-data-limit-"));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, "main.mjs"), "#!/usr/bin/env node\n");
  writeFileSync(join(folder, "main.py"), "#!/usr/bin/env python3\n# node\n");
  const mib = (command: readonly string[], major = 24) =>
    dataLimitBytes({ folder, command }, 100, major) / MIB;
  for (const command of [["node", "x"], ["/opt/bin/node"], ["nodejs"], ["./main.mjs"]]) {
    assert.ok(mib(command) > 600, command.join(" "));
    assert.equal(mib(command, 20), 100);
  }
  for (const command of [["python3", "main.py"], ["./main.py"], ["./gone"], ["sh", "node"], []])
    assert.equal(mib(command), 100, command.join(" "));
});
