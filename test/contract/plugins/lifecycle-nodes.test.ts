/** The life of plugins on two nodes over one database: who signed what, what was revoked, who hears of it, and what files set. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { generateKey } from "../../../src/plugins/package/keys.ts";
import type { PluginDetailBody } from "../../../src/wire/api/plugin-lifecycle.ts";
import { LifePlugins } from "../../lib/life-plugins.ts";
import { command } from "../api/command.ts";
import { type RunningService, startService } from "../api/service.ts";

const ID = "com.example.life";
const QUIET = "com.example.quiet";
const FOLDER = "com.example.folder";
const root = mkdtempSync(join(tmpdir(), "mr-nodes-"));
const plugins = new LifePlugins(root);
const [alice, mallory] = [generateKey(), generateKey()];
let one: RunningService;
let other: RunningService;

const IDS = JSON.stringify([ID, QUIET, FOLDER]);
const COMMON = [
  "hooks=[]",
  "plugins.enabled=true",
  `plugins.allow_unsigned=${IDS}`,
  `plugins.allow_unsandboxed=${IDS}`,
  'plugins.auto_approve="headers"',
];
const onSameDatabase = () => {
  const lines = readFileSync(join(one.site.dir, "data", "postgres", "postmaster.pid"), "utf8").split("\n");
  return [
    `database.url="postgres://mairust@/mairust?host=${lines[4]}&port=${lines[3]}"`,
    `key_file=${JSON.stringify(join(one.site.dir, "master.key"))}`,
  ];
};

before(async () => {
  plugins.write(join(root, "folders", FOLDER), { id: FOLDER });
  one = await startService([
    ...COMMON,
    `plugins.folders=${JSON.stringify([join(root, "folders")])}`,
    `plugin."${FOLDER}".grants={ read_headers = true }`,
  ]);
  other = await startService([...COMMON, ...onSameDatabase(), "plugins.folders=[]"]);
});
after(async () => {
  await other?.stop();
  await one?.stop();
  rmSync(root, { recursive: true, force: true });
});

const run = (node: RunningService, ...args: string[]) => command(node.site.configFile, ["plugin", ...args]);

async function good(...args: string[]): Promise<string> {
  const result = await run(one, ...args);
  assert.equal(result.code, 0, `${args.join(" ")}: ${result.err}`);
  return result.err;
}

async function refused(pattern: RegExp, ...args: string[]): Promise<void> {
  const result = await run(one, ...args);
  assert.notEqual(result.code, 0, args.join(" "));
  assert.match(result.err, pattern);
}

async function show(node: RunningService, id = ID): Promise<Partial<PluginDetailBody>> {
  const { status, body } = await node.ask("GET", `/api/v1/admin/plugins/${id}`);
  return status === 200 ? (body as Partial<PluginDetailBody>) : {};
}

/** Ends with the test's own time-out. */
async function until(holds: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await holds())) await new Promise(resolve => setTimeout(resolve, 50));
}

async function audited(action: string, object = ID): Promise<number> {
  const { body } = await one.ask("GET", "/api/v1/admin/audit?limit=200");
  const items = body.items as readonly { readonly action: string; readonly object: string }[];
  return items.filter(item => item.action === action && item.object === object).length;
}

test("the key of the first package is pinned: a version by another developer, or by nobody, waits", async () => {
  const developer = alice.privatePem;
  await good("install", await plugins.pack({ id: ID, developer }));
  await good("approve", ID);
  await good("enable", ID);
  await good("upgrade", await plugins.pack({ id: ID, version: "1.1.0", developer }));
  assert.deepEqual([(await show(one)).version, (await show(one)).pending], ["1.1.0", null]);
  const stranger = { id: ID, version: "1.2.0", developer: mallory.privatePem };
  assert.match(await good("upgrade", await plugins.pack(stranger)), /waits: .*signer/);
  assert.deepEqual([(await show(one)).version, (await show(one)).pending], ["1.1.0", "1.2.0"]);
  assert.match(await good("upgrade", await plugins.pack({ id: ID, version: "1.3.0" })), /waits: .*signer/);
  assert.deepEqual([(await show(one)).version, (await show(one)).pending], ["1.1.0", "1.3.0"]);
});

test("another package of a version that is there is refused: other nodes have the files of the first", async () => {
  const again = await plugins.pack({ id: ID, version: "1.3.0", more: "// other bytes\n" });
  await refused(/version 1\.3\.0 is installed, and this is another package of it/, "upgrade", again);
  const old = await plugins.pack({ id: ID, version: "1.0.0", more: "// other bytes\n" });
  await refused(/another package of it/, "upgrade", old, "--downgrade");
});

test("a version that waits and is revoked or modified meanwhile is not approved", async () => {
  await good("revoke", `${ID}@1.3.0`, "--reason", "it sends mail home", "--yes");
  await refused(/1\.3\.0 is revoked: .*sends mail home/, "approve", ID);
  await good("unrevoke", `${ID}@1.3.0`, "--yes");
  const file = join(one.site.dir, "data", "plugins", ID, "1.3.0", "server", "main.mjs");
  const was = readFileSync(file);
  writeFileSync(file, "// somebody else's");
  await refused(/1\.3\.0 is modified/, "approve", ID);
  writeFileSync(file, was);
  assert.equal((await show(one)).version, "1.1.0");
});

test("what one node does the other hears of; a version of other bytes takes the place of the one that was there", async () => {
  await until(async () => (await show(other)).version === "1.1.0");
  assert.equal((await show(other)).state, "enabled");
  await good("disable", ID);
  await until(async () => (await show(other)).state === "disabled");
  await until(() => plugins.pids(ID).length === 0);
  await good("uninstall", ID, "--purge", "--yes");
  await good("install", await plugins.pack({ id: ID, version: "1.1.0", more: "// the second\n" }));
  await good("approve", ID);
  await good("enable", ID);
  await until(async () => (await show(other)).state === "enabled");
  const main = join(other.site.dir, "data", "plugins", ID, "1.1.0", "server", "main.mjs");
  assert.match(readFileSync(main, "utf8"), /the second/);
  assert.equal((await show(other)).signature, "unsigned");
});

test("revoked as vulnerable it goes on, told and audited, and nobody begins with it; as malicious it ends on all nodes", async () => {
  const what = `${ID}@1.1.0`;
  await good("revoke", what, "--severity", "vulnerable", "--reason", "CVE-2026-1", "--yes");
  for (const node of [one, other]) await until(async () => (await show(node)).signature === "revoked");
  for (const node of [one, other]) assert.equal((await show(node)).state, "enabled");
  assert.ok((await audited("plugin.warn")) > 0);
  await good("disable", ID);
  await refused(/1\.1\.0 is revoked: .*vulnerable: CVE-2026-1/, "enable", ID);
  await good("unrevoke", what, "--yes");
  await good("enable", ID);
  await good("revoke", what, "--severity", "vulnerable", "--reason", "CVE-2026-1", "--yes");
  await until(async () => (await show(one)).signature === "revoked");
  assert.equal(await audited("plugin.stop"), 0);
  await good("revoke", what, "--severity", "malicious", "--reason", "worse", "--yes");
  for (const node of [one, other]) await until(async () => (await show(node)).state === "refused");
  await until(() => plugins.pids(ID).length === 0);
  assert.ok((await audited("plugin.stop")) > 0);
  await good("unrevoke", what, "--yes");
  for (const node of [one, other]) await until(async () => (await show(node)).state === "enabled");
});

test("auto_approve agrees to headers alone, never to another signer, and enables nothing", async () => {
  const permissions = "read_headers = true";
  const developer = alice.privatePem;
  await good("install", await plugins.pack({ id: QUIET, permissions, developer }));
  const { state, granted_by, grants } = await show(one, QUIET);
  assert.deepEqual([state, granted_by, grants], ["installed", "approval", { read_headers: true }]);
  assert.deepEqual(plugins.pids(QUIET), []);
  await good("enable", QUIET);
  await good("uninstall", QUIET, "--yes");
  await good("install", await plugins.pack({ id: QUIET, permissions, developer: mallory.privatePem }));
  assert.equal((await show(one, QUIET)).granted_by, "nobody");
  await refused(/nobody approved/, "enable", QUIET);
  await good("uninstall", QUIET, "--purge", "--yes");
  await good("install", await plugins.pack({ id: QUIET }));
  assert.equal((await show(one, QUIET)).granted_by, "nobody");
});

test("what a file runs from a folder is not replaced by an install; disabled and uninstalled it is", async () => {
  assert.equal((await show(one, FOLDER)).state, "enabled");
  const file = await plugins.pack({ id: FOLDER, version: "2.0.0" });
  for (const source of [file, FOLDER])
    await refused(/it runs from .*folders.*disable com\.example\.folder/, "install", source);
  assert.equal((await show(one, FOLDER)).state, "enabled");
  await good("disable", FOLDER);
  await good("uninstall", FOLDER, "--yes");
  await good("install", file);
  // The file's grants are consent as well.
  assert.deepEqual(
    [(await show(one, FOLDER)).version, (await show(one, FOLDER)).state],
    ["2.0.0", "enabled"],
  );
  await good("disable", FOLDER);
  assert.equal((await show(one, FOLDER)).state, "disabled");
});

test("with --no-plugins installed packages are listed, and nothing of them runs or is enabled", async () => {
  const before = plugins.pids(ID);
  const safe = await startService([...COMMON, ...onSameDatabase(), "plugins.enabled=false"]);
  try {
    const { state, reason } = await show(safe);
    assert.equal(state, "disabled");
    assert.match(String(reason), /all plugins are switched off/);
    const enabled = await run(safe, "enable", ID);
    assert.match(enabled.err, /all plugins are switched off/);
    assert.ok(!existsSync(join(safe.site.dir, "data", "plugins", ID)));
    assert.deepEqual(
      before.filter(pid => !plugins.pids(ID).includes(pid)),
      [],
    );
  } finally {
    await safe.stop();
  }
  assert.equal((await show(one)).state, "enabled");
});
