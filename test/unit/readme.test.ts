/** What README.md tells an operator to put beside a live mail system fits together, and fits what the program takes for given. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { loadConfig } from "../../src/platform/config/load.ts";
import { packageRoot } from "../../src/platform/package-root.ts";
import { blocks, commandLines, readmeSection } from "../lib/readme.ts";

const SECTION = readmeSection("Beside a live Postfix and Dovecot");

async function config() {
  const dir = mkdtempSync(join(tmpdir(), "mr-readme-"));
  try {
    const configFile = join(dir, "mairust.toml");
    writeFileSync(configFile, blocks(SECTION, "toml")[0] ?? "");
    return (await loadConfig({ configFile, env: {} })).config;
  } finally {
    rmSync(dir, { recursive: true });
  }
}

/** Of `Key=value` lines. */
const unit = new Map(
  (blocks(SECTION, "ini")[0] ?? "").split("\n").flatMap(line => {
    const at = line.indexOf("=");
    return at < 0 ? [] : [[line.slice(0, at), line.slice(at + 1)] as const];
  }),
);

test("the configuration to copy begins where nothing changes, and says where mail goes on to", async () => {
  const domain = (await config()).domains["example.com"];
  assert.equal(domain?.stage, "observe");
  assert.equal(domain?.relay?.lmtp, "unix:/run/dovecot/lmtp");
});

test("the unit to copy runs the program in the checkout, as the user that was made, and lets it drain", async () => {
  const { runtime_dir: runtimeDir, drain_timeout_s: drainS } = await config();
  const lines = commandLines(SECTION);
  const folder = unit.get("WorkingDirectory") ?? "";
  assert.match(SECTION, new RegExp(`checkout in \`${folder}\` and run \`npm ci\``, "u"));
  const [node, main = "", command] = unit.get("ExecStart")?.split(" ") ?? [];
  assert.deepEqual([node, command], ["/usr/bin/node", "serve"]);
  assert.equal(join(packageRoot(), main), join(packageRoot(), "build/src/start.cjs"));
  const user = unit.get("User") ?? "";
  assert.ok(lines.some(line => line.startsWith("useradd ") && line.endsWith(` ${user}`)));
  assert.ok(lines.includes(`usermod -a -G postfix ${user}`));
  assert.equal(`/run/${unit.get("RuntimeDirectory")}`, runtimeDir);
  assert.ok(Number(unit.get("TimeoutStopSec")) > drainS);
});

test("the folders to make are those of the defaults", async () => {
  const { data_dir: dataDir, log_dir: logDir, key_file: keyFile, lmtp, milter } = await config();
  const lines = commandLines(SECTION);
  const made = lines
    .filter(line => line.startsWith("install -d "))
    .flatMap(line => line.split(" ").filter(word => word.startsWith("/")));
  const socket = (listen: readonly string[]) =>
    listen.filter(one => one.startsWith("unix:")).map(one => dirname(one.slice("unix:".length)));
  assert.deepEqual(
    new Set(made),
    new Set([dirname(keyFile), logDir, ...socket(lmtp.listen), ...socket(milter.listen)]),
  );
  assert.ok(lines.some(line => line.startsWith("useradd ") && line.includes(`--home-dir ${dataDir} `)));
});
