/** Several processes that claim one data folder, each leaving it as a killed one does. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { makeFolder } from "./folder.ts";

const PROCESSES = 4;
const FOR_MS = 2_500;

/** Claims again and again; holds a folder that can be made once; leaves its claim in the name of a dead process. */
function program(dataDir: string, module: string): string {
  return `
    import { mkdirSync, rmdirSync, writeFileSync } from "node:fs";
    import { join } from "node:path";
    import { claimCluster } from ${JSON.stringify(module)};
    const dataDir = ${JSON.stringify(dataDir)};
    const held = join(dataDir, "held");
    let claims = 0;
    console.log("ready");
    for (const until = Date.now() + ${FOR_MS}; Date.now() < until; ) {
      let claim;
      try { claim = await claimCluster(dataDir); } catch (error) {
        if (error.code !== "invalid_state") throw error;
        continue;
      }
      mkdirSync(held);
      await new Promise(resolve => setTimeout(resolve, 5));
      rmdirSync(held);
      claims += 1;
      writeFileSync(claim ?? join(dataDir, "postgres.owner"), "2147483646 1\\n");
    }
    console.log("claims " + claims);`;
}

test("two processes never hold the folder at a time, however many take over from a dead one at once", async () => {
  const folder = makeFolder();
  const extension = import.meta.filename.endsWith(".ts") ? "ts" : "js";
  const module = join(import.meta.dirname, `../../../src/store/embedded-cluster.${extension}`);
  const script = join(folder.path, "claimer.mjs");
  writeFileSync(script, program(folder.path, module));
  const args = [...process.execArgv.filter(arg => !arg.startsWith("--test")), script];
  const children = Array.from({ length: PROCESSES }, () =>
    spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] }),
  );
  const claims = await Promise.all(
    children.map(async child => {
      let output = "";
      for (const stream of [child.stdout, child.stderr]) {
        stream.on("data", chunk => {
          output += chunk;
        });
      }
      const [code] = await once(child, "close");
      assert.equal(code, 0, output);
      return Number(/claims (\d+)/.exec(output)?.[1]);
    }),
  );
  assert.ok(claims.reduce((sum, n) => sum + n, 0) > PROCESSES, `they took turns: ${claims.join(", ")}`);
  folder.remove();
});
