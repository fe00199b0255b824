/**
 * The author's guide, word for word: each of its commands, in its order, in an empty folder; its example of a fixture; and its last
 * section beside a service.
 */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { promisify } from "node:util";
import { deadlineAfter, within } from "../../../src/platform/deadline.ts";
import { packageRoot } from "../../../src/platform/package-root.ts";
import { blocks, commandLines } from "../../lib/readme.ts";
import { startSidecar } from "../../lib/sidecar.ts";
import { temporaryFolder } from "./author.ts";

const [guide = "", install = ""] = readFileSync(join(packageRoot(), "plugins/AUTHORS.md"), "utf8").split(
  "## Into a service",
);
const run = promisify(execFile);

/** `mairust` is a command here. */
function environment(dir: string): NodeJS.ProcessEnv {
  const bin = join(dir, "bin");
  mkdirSync(bin);
  const start = join(packageRoot(), "build/src/start.cjs");
  writeFileSync(join(bin, "mairust"), `#!/bin/sh\nexec "${process.execPath}" "${start}" "$@"\n`);
  chmodSync(join(bin, "mairust"), 0o755);
  return { PATH: `${bin}:${process.env.PATH ?? ""}`, HOME: dir };
}

test("what the author's guide says works", async t => {
  const dir = temporaryFolder();
  const env = environment(dir);
  const shell = async (line: string, cwd: string) => {
    const { stdout } = await run("sh", ["-ec", line], { cwd, env, timeout: 60_000 });
    return stdout;
  };
  let cwd = dir;
  const said = new Map<string, string>();
  for (const line of commandLines(guide)) {
    if (line.startsWith("cd ")) cwd = join(cwd, line.slice(3));
    else if (line === "mairust plugin dev") await develop(cwd, env);
    else said.set(line, await shell(line, cwd));
  }
  const of = (start: string) => [...said].find(([line]) => line.startsWith(start))?.[1] ?? "";
  assert.match(of("mairust plugin init"), /^made plugin com\.example\.my-filter/u);
  assert.match(of("mairust plugin test"), /4 passed in/u);
  assert.match(of("mairust plugin trigger --sample invoice"), /^tags {9}invoice$/mu);
  assert.match(of("mairust plugin lint"), /no errors, 0 warnings/u);
  assert.match(of("mairust plugin record"), /^made fixture recorded$/mu);
  assert.match(of("mairust plugin verify"), /^developer\t[0-9a-f]{64}\ted25519\tgood$/mu);

  const sidecar = await startSidecar({ dir: join(dir, "service") });
  t.after(() => sidecar.stop());
  env.MAIRUST_CONFIG = sidecar.configFile;
  const lines = commandLines(install);
  const shown: string[] = [];
  for (const line of [...lines, ...inlineCommands(install)]) shown.push(await shell(line, cwd));
  assert.match(shown.join(""), /^Risk: 2\/6 [\s\S]*The author says: /mu);
  assert.match(shown.join(""), /^com\.example\.my-filter\tok\t/mu);
  assert.match(shown.at(-1) ?? "", /^com\.example\.my-filter\tpre_delivery\t.*\tenforce\t/mu);

  // The example of a fixture is one.
  const [fixture = ""] = blocks(guide, "toml");
  writeFileSync(join(dir, "my-filter/fixtures/example.toml"), fixture);
  assert.match(await shell("mairust plugin test my-filter --fixture example", dir), /1 passed/u);
});

/** Those that stand in the text. */
function inlineCommands(text: string): readonly string[] {
  return [...text.matchAll(/`(mairust hook [^`]+)`/gu)].map(([, line = ""]) => line);
}

/** Until its first result, then Ctrl-C. */
async function develop(cwd: string, env: NodeJS.ProcessEnv): Promise<void> {
  const child = spawn("mairust", ["plugin", "dev"], { cwd, env, stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const passed = (async () => {
    for await (const line of createInterface({ input: child.stdout }))
      if (line.includes("4 passed in")) return true;
    return false;
  })();
  try {
    assert.ok(await within(passed, deadlineAfter(120_000)));
  } finally {
    child.kill("SIGINT");
  }
  assert.deepEqual(await exited, [0, null]);
}
