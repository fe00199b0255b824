/** What steps of a plugin's life leave behind, or must not: demotions of its hooks, settings of one that was purged, half of a change that was refused. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { newRecord } from "../../../src/plugins/lifecycle-plan.ts";
import { packFolder } from "../../../src/plugins/package/write.ts";
import { createHookRows } from "../../../src/store/hook-rows.ts";
import { StoredPluginRegistry } from "../../../src/store/plugin-registry.ts";
import type { PluginDetailBody } from "../../../src/wire/api/plugin-lifecycle.ts";
import { silentLog } from "../../lib/database.ts";
import { command } from "../api/command.ts";
import { type RunningService, startService } from "../api/service.ts";

const ID = "com.example.leftover";
const KEYS = { plugin: "com.example.leftover", point: "pre_delivery", enabled: false };
const OTHER = "com.example.neighbour";
const root = mkdtempSync(join(tmpdir(), "mr-left-"));
let running: RunningService;

/** Tags with what it is set to. */
const programOf = (id: string) => `
import { createInterface } from "node:readline";
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (request.mairust) console.log(JSON.stringify({ mairust: 1, plugin: "${id}", version: "1.0.0", api: ["1"] }));
  else if (request.health) console.log(JSON.stringify({ status: "ok" }));
  else console.log(JSON.stringify({ call_id: request.call_id, tags: { add: [request.settings.word] } }));
}
`;

async function pack(id: string): Promise<string> {
  const folder = join(root, id);
  mkdirSync(join(folder, "server"), { recursive: true });
  writeFileSync(
    join(folder, "plugin.toml"),
    `id = "${id}"\nname = "Left"\nversion = "1.0.0"\n[entry]\ntype = "hook"\nprotocol = "script"\n` +
      `command = ["node", "server/main.mjs"]\n[hooks]\non = ["pre_delivery"]\n` +
      `[permissions]\nread_headers = true\nwrite_tags = true\n[settings.word]\ntype = "string"\ndefault = "none"\n`,
  );
  writeFileSync(join(folder, "server", "main.mjs"), programOf(id));
  const file = join(root, `${id}.mairust-plugin`);
  writeFileSync(file, (await packFolder(folder)).bytes);
  return file;
}

before(async () => {
  const ids = JSON.stringify([ID, OTHER]);
  running = await startService([
    "hooks=[]",
    "plugins.enabled=true",
    "plugins.folders=[]",
    `plugins.allow_unsigned=${ids}`,
    `plugins.allow_unsandboxed=${ids}`,
  ]);
});
after(async () => {
  await running?.stop();
  rmSync(root, { recursive: true, force: true });
});

const run = (...args: readonly string[]) => command(running.site.configFile, args);

async function good(...args: string[]) {
  const result = await run(...args);
  assert.equal(result.code, 0, `${args.join(" ")}: ${result.err}`);
  return result;
}

async function installed(id: string): Promise<void> {
  await good("plugin", "install", await pack(id));
  await good("plugin", "approve", id);
}

async function stateOf(id: string): Promise<PluginDetailBody["state"]> {
  return JSON.parse((await good("plugin", "show", id, "-f", "json")).out).state;
}

const hook = async (name: string) =>
  (await running.ask("GET", `/api/v1/admin/hooks/${encodeURIComponent(name)}`)).body;

/** As if its figures had been over a threshold; the bypass that changes nothing makes the service read it. */
async function demote(name: string): Promise<void> {
  const db = await running.database();
  await db.run`insert into hook_overrides (hook, mode, reason) values (${name}, 'shadow', 'too slow')`;
  await good("bypass", "on", "--for", "1s");
  await good("bypass", "off");
}

test("who enables a plugin in a mode ends the demotion of its hooks; a purge leaves none behind", async () => {
  await installed(ID);
  await good("plugin", "enable", ID, "--mode", "enforce");
  await demote(ID);
  assert.equal((await hook(ID)).effective_mode, "shadow");
  await good("plugin", "disable", ID);
  await good("plugin", "enable", ID);
  assert.equal((await hook(ID)).effective_mode, "shadow", "nobody said a mode");
  await good("plugin", "enable", ID, "--mode", "enforce");
  assert.deepEqual([(await hook(ID)).effective_mode, (await hook(ID)).state], ["enforce", "active"]);

  await demote(ID);
  await good("plugin", "uninstall", ID, "--purge", "--yes");
  await installed(ID);
  await good("plugin", "enable", ID, "--mode", "enforce");
  assert.deepEqual([(await hook(ID)).effective_mode, (await hook(ID)).state], ["enforce", "active"]);
});

test("a plugin that was purged does not come back with the settings of before", async () => {
  await good("plugin", "settings", ID, "word=secret-word");
  const word = async () => JSON.parse((await good("hook", "test", ID, "-f", "json")).out).tags.add;
  assert.deepEqual(await word(), ["secret-word"]);
  await good("plugin", "uninstall", ID, "--purge", "--yes");
  await installed(ID);
  await good("plugin", "enable", ID);
  assert.deepEqual(await word(), ["none"]);
});

test("a record and its hooks are written together or not at all", async () => {
  const db = await running.database();
  const registry = new StoredPluginRegistry(db, silentLog);
  await createHookRows(db).apply([{ kind: "put", name: "taken", keys: KEYS, version: undefined }]);
  const record = { ...newRecord("com.example.half", "enabled") };
  const rows = [
    { kind: "put", name: "free", keys: KEYS, version: undefined },
    { kind: "put", name: "taken", keys: KEYS, version: undefined },
  ] as const;
  await assert.rejects(registry.put(record, undefined, undefined, rows), { code: "already_exists" });
  assert.equal(await registry.find(record.id), undefined);
  await registry.put(record, undefined);
  await assert.rejects(registry.purge(record.id, [{ kind: "remove", name: "taken", version: 7 }]));
  assert.equal((await registry.find(record.id))?.state, "enabled");
  const names = (await createHookRows(db).list()).map(({ name }) => name);
  assert.deepEqual([names.includes("free"), names.includes("taken")], [false, true]);
  await registry.purge(record.id);
  await createHookRows(db).apply([{ kind: "remove", name: "taken", version: 1 }]);
});

test("a plugin whose hook's name is taken is not enabled, and nothing of it is left to be enabled later", async () => {
  await installed(OTHER);
  await good("hook", "add", OTHER, "--plugin", ID, "--point", "pre_delivery");
  const result = await run("plugin", "enable", OTHER);
  assert.equal(result.code, 73, result.err);
  assert.match(result.err, /there is a hook "com\.example\.neighbour" already/);
  const db = await running.database();
  const [row] = await db.query<{ state: string }>`select state from plugins where id = ${OTHER}`;
  assert.deepEqual([row?.state, await stateOf(OTHER)], ["installed", "installed"]);
  assert.equal((await hook(OTHER)).plugin, ID);
});
