/** The life of a plugin by command: the real service, PostgreSQL and command line, packages made as authors make them. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { packFolder } from "../../../src/plugins/package/write.ts";
import type { PluginDetailBody } from "../../../src/wire/api/plugin-lifecycle.ts";
import { command } from "../api/command.ts";
import { type RunningService, startService } from "../api/service.ts";

const ID = "com.example.tagger";
const NEEDS = "com.example.needs";
const STRANGER = "com.example.stranger";
const FOLDER = "com.example.folder";
const NARROW = "com.example.narrow";
const root = mkdtempSync(join(tmpdir(), "mr-life-"));
const folders = join(root, "folders");
let running: RunningService;

interface Made {
  readonly id?: string;
  readonly version?: string;
  /** More of the manifest, in front of its tables. */
  readonly top?: string;
  readonly permissions?: string;
  /** More of `[hooks]`. */
  readonly hooks?: string;
  readonly code?: string;
}

/** Answers the hello and tags with its version; leaves its process id where the test finds it. */
const programOf = (id: string, version: string) => `
import { mkdirSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
mkdirSync(${JSON.stringify(join(root, "pids", id))}, { recursive: true });
writeFileSync(${JSON.stringify(join(root, "pids", id))} + "/" + process.pid, "");
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (request.mairust) console.log(JSON.stringify({ mairust: 1, plugin: "${id}", version: "${version}", api: ["1"] }));
  else if (request.health) console.log(JSON.stringify({ status: "ok" }));
  else console.log(JSON.stringify({ call_id: request.call_id, tags: { add: ["v${version}"] } }));
}
`;

function writePlugin(folder: string, made: Made): void {
  const {
    id = ID,
    version = "1.0.0",
    top = "",
    permissions = "read_headers = true\nwrite_tags = true",
    hooks = "",
    code,
  } = made;
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    join(folder, "plugin.toml"),
    `id = "${id}"\nname = "Tagger"\nversion = "${version}"\n${top}\n[entry]\ntype = "hook"\nprotocol = "script"\ncommand = ["node", "server/main.mjs"]\n` +
      `[hooks]\non = ["pre_delivery"]\n${hooks}\n[permissions]\n${permissions}\n`,
  );
  mkdirSync(join(folder, "server"), { recursive: true });
  writeFileSync(join(folder, "server", "main.mjs"), code ?? programOf(id, version));
}

let packages = 0;
async function pack(made: Made = {}): Promise<string> {
  const folder = join(root, `source${packages++}`);
  writePlugin(folder, made);
  const { bytes } = await packFolder(folder);
  const file = join(root, `p${packages}.mairust-plugin`);
  writeFileSync(file, bytes);
  return file;
}

const overrides = () => [
  "plugins.enabled=true",
  `plugins.folders=${JSON.stringify([folders])}`,
  `plugins.allow_unsigned=${JSON.stringify([ID, NEEDS, FOLDER, NARROW])}`,
  `plugins.allow_unsandboxed=${JSON.stringify([ID, NEEDS, FOLDER, NARROW])}`,
  `plugin."${FOLDER}".watch=true`,
];

const UNTIL_MS = 60_000;

async function until(holds: () => Promise<boolean> | boolean): Promise<void> {
  const end = performance.now() + UNTIL_MS;
  while (!(await holds())) {
    assert.ok(performance.now() < end, "did not come true in time");
    await new Promise(resolve => setTimeout(resolve, 50));
  }
}

before(async () => {
  writePlugin(join(folders, FOLDER), { id: FOLDER });
  running = await startService(overrides());
});
after(async () => {
  await running?.stop();
  rmSync(root, { recursive: true, force: true });
});

const run = (...args: string[]) => command(running.site.configFile, ["plugin", ...args]);

async function good(...args: string[]) {
  const result = await run(...args);
  assert.equal(result.code, 0, `${args.join(" ")}: ${result.err}`);
  return result;
}

async function show(id = ID): Promise<PluginDetailBody> {
  const { out } = await good("show", id, "-f", "json");
  return JSON.parse(out);
}

const pids = (id: string) =>
  readdirSync(join(root, "pids", id))
    .map(Number)
    .filter(pid => existsSync(`/proc/${pid}`))
    .sort();
/** They are all there still; a spare may have come since. */
const stay = (before: readonly number[], id: string) =>
  before.length > 0 && before.every(pid => pids(id).includes(pid));
const dir = (...path: string[]) => join(running.site.dir, "data", "plugins", ...path);

async function audited(): Promise<readonly string[]> {
  const { body } = await running.ask("GET", "/api/v1/admin/audit?limit=200");
  return (body.items as readonly { action: string; object: string }[]).map(
    one => `${one.action} ${one.object}`,
  );
}

test("install, approve, enable: nothing runs before somebody agreed, and then in shadow", async () => {
  const file = await pack();
  const dry = await good("install", file, "--dry-run");
  assert.match(dry.err, /would be: installed com\.example\.tagger 1\.0\.0/);
  assert.equal((await run("show", ID)).code, 66);
  assert.ok(!existsSync(dir(ID)));

  await good("install", file);
  assert.ok(existsSync(dir(ID, "1.0.0", "plugin.toml")));
  assert.deepEqual([(await show()).state, (await show()).signature], ["installed", "unsigned"]);
  assert.equal((await run("install", file)).code, 73);
  const early = await run("enable", ID);
  assert.match(early.err, /nobody approved what it asks for/);
  assert.notEqual(early.code, 0);
  assert.ok(!existsSync(join(root, "pids", ID)));

  assert.match((await run("approve", ID, "--grant", "send_mail=true")).err, /does not ask for that/);
  await good("approve", ID, "--grant", "read_headers=true", "--grant", "write_tags=true");
  assert.equal((await show()).state, "installed");
  await good("enable", ID);
  const detail = await show();
  assert.deepEqual(
    [detail.state, detail.granted_by, detail.grants, detail.hooks],
    [
      "enabled",
      "approval",
      { read_headers: true, write_tags: true },
      [{ name: ID, point: "pre_delivery", mode: "shadow" }],
    ],
  );
  assert.ok(pids(ID).length > 0);
  const health = await good("health", ID, "-f", "json");
  assert.equal(JSON.parse(health.out).status, "ok");
  assert.match((await good("list", "-f", "table")).out, /com\.example\.tagger +1\.0\.0 +enabled +unsigned/);
  const log = await audited();
  for (const one of ["install", "approve", "enable"])
    assert.ok(log.includes(`plugin.${one} ${ID}`), log.join());
});

test("what may not be installed is refused and leaves nothing", async () => {
  const unsigned = await run("install", await pack({ id: STRANGER }));
  assert.equal(unsigned.code, 77);
  assert.match(unsigned.err, /no signature that this service trusts.*plugins\.allow_unsigned/);
  const file = join(root, "bad.mairust-plugin");
  writeFileSync(file, "no package");
  assert.notEqual((await run("install", file)).code, 0);
  const alone = await run("install", await pack({ id: NEEDS, top: 'depends = ["com.example.none"]' }));
  assert.match(alone.err, /depends on "com\.example\.none", which is not installed/);
  const later = await run("install", await pack({ id: NEEDS, top: '[compat]\nmairust_min = "9.0.0"' }));
  assert.match(later.err, /compat\.mairust_min/);
  assert.ok(!existsSync(dir(STRANGER)) && !existsSync(dir(NEEDS)));
});

test("an upgrade that asks for no more takes over at once; others keep their processes; rollback goes back", async () => {
  await good("install", FOLDER);
  await good("approve", FOLDER);
  await good("enable", FOLDER);
  const others = pids(FOLDER);
  await good("upgrade", await pack({ version: "1.1.0" }));
  const now = await show();
  assert.deepEqual([now.version, now.state, now.previous], ["1.1.0", "enabled", ["1.0.0"]]);
  await good("rollback", ID);
  assert.deepEqual([(await show()).version, existsSync(dir(ID, "1.1.0"))], ["1.0.0", false]);
  assert.match((await run("rollback", ID)).err, /there is no version before/);
  assert.match(
    (await run("upgrade", await pack({ version: "1.0.9" }))).err,
    /older than 1\.1\.0.*--downgrade/,
  );
  await good("upgrade", await pack({ version: "1.0.9" }), "--downgrade");
  const hook = await running.ask("PATCH", `/api/v1/admin/hooks/${ID}`, {
    body: { priority: 7 },
    headers: { "if-match": '"1"' },
  });
  assert.equal(hook.status, 200);
  assert.ok(stay(others, FOLDER));
});

test("an upgrade that asks for more waits, and the old version goes on with its grants until somebody agrees", async () => {
  const before = pids(ID);
  const more = 'read_headers = true\nwrite_tags = true\nread_body = "preview"';
  const { err } = await good("upgrade", await pack({ version: "2.0.0", permissions: more }));
  assert.match(err, /version 2\.0\.0 waits: it asks for more than was approved \(permission read_body\)/);
  const waiting = await show();
  assert.deepEqual(
    [waiting.version, waiting.state, waiting.pending, waiting.waits_for, waiting.grants],
    ["1.0.9", "enabled", "2.0.0", ["permission read_body"], { read_headers: true, write_tags: true }],
  );
  assert.ok(stay(before, ID));
  await good("approve", ID);
  const now = await show();
  assert.deepEqual([now.version, now.pending, now.grants.read_body], ["2.0.0", null, "preview"]);
});

test("a version whose manifest sees more mail than was approved waits, also before anybody enabled it", async () => {
  const hooks = 'filter_recipient_matches = "sales@.*"';
  await good("install", await pack({ id: NARROW, hooks }));
  await good("approve", NARROW);
  const { err } = await good("upgrade", await pack({ id: NARROW, version: "1.1.0" }));
  const asked = "scope pre_delivery.filter_recipient_matches";
  assert.ok(err.includes(`version 1.1.0 waits: it asks for more than was approved (${asked})`), err);
  assert.match((await good("review", NARROW)).out, /filter_recipient_matches: sales@\.\* → all mail/u);
  await good("uninstall", NARROW, "--purge", "--yes");
});

test("a version that does not come up leaves the old one running", async () => {
  const before = pids(ID);
  const broken = await pack({ version: "2.1.0", code: "process.exit(3)" });
  const { code, err } = await run("upgrade", broken);
  assert.notEqual(code, 0);
  assert.match(err, /exit code 3|ended/);
  const detail = await show();
  assert.deepEqual([detail.version, detail.state, detail.pending], ["2.0.0", "enabled", null]);
  assert.deepEqual([stay(before, ID), existsSync(dir(ID, "2.1.0"))], [true, false]);
});

test("what others need is not disabled without --cascade", async () => {
  await good("install", await pack({ id: NEEDS, top: `depends = ["${ID}>=2.0.0"]` }));
  await good("approve", NEEDS);
  await good("enable", NEEDS);
  const refused = await run("disable", ID);
  assert.match(refused.err, /com\.example\.needs cannot do without it; --cascade/);
  assert.equal((await show()).state, "enabled");
  await good("disable", ID, "--cascade");
  assert.deepEqual([(await show()).state, (await show(NEEDS)).state, pids(ID)], ["disabled", "disabled", []]);
  assert.match((await run("enable", NEEDS)).err, /depends on "com\.example\.tagger", which is not enabled/);
  await good("enable", ID);
});

test("files that were modified end the plugin and are told; the same package mends them", async () => {
  const file = join(dir(ID, "2.0.0", "server"), "main.mjs");
  writeFileSync(file, "// somebody else's");
  await running.ask("POST", "/api/v1/admin/plugins/verify");
  assert.equal((await show()).state, "refused");
  assert.match(String((await show()).reason), /it is modified: .*main\.mjs/);
  assert.deepEqual(pids(ID), []);
  const more = 'read_headers = true\nwrite_tags = true\nread_body = "preview"';
  await good("install", await pack({ version: "2.0.0", permissions: more }));
  assert.deepEqual([(await show()).state, pids(ID).length > 0], ["enabled", true]);
});

test("a restart finds everything again: what was unpacked and not recorded goes, what is recorded is unpacked", async () => {
  const { service, site } = running;
  const deadline = deadlineAfter(30_000);
  await service.stop(deadline);
  deadline.dispose();
  rmSync(dir(ID), { recursive: true });
  for (const left of [dir(ID, ".unpack-9.9.9-x"), dir("com.example.left", "1.0.0"), dir(".gone-x")])
    mkdirSync(left, { recursive: true });
  const { compose } = await import("../../../src/compose.ts");
  const { loadConfig } = await import("../../../src/platform/config/load.ts");
  const reread = () =>
    loadConfig({ configFile: site.configFile, overrides: ["log.level=error", ...overrides()], env: {} });
  const again = await compose(await reread(), { reread });
  await again.start();
  running = { ...running, service: again, stop: () => stopAgain(again) };
  assert.deepEqual(readdirSync(dir()).sort(), [ID, NEEDS].sort());
  assert.deepEqual([readdirSync(dir(ID)), (await show()).state], [["2.0.0"], "enabled"]);
});

async function stopAgain(service: RunningService["service"]): Promise<void> {
  const deadline = deadlineAfter(30_000);
  await service.stop(deadline);
  deadline.dispose();
  await running.site.remove();
}

test("a watched folder is reloaded when its files change; a broken edit leaves what runs, and says why", async () => {
  const main = join(folders, FOLDER, "server", "main.mjs");
  const before = pids(FOLDER);
  writeFileSync(main, `${programOf(FOLDER, "1.0.0")}// edited`);
  await until(() => pids(FOLDER).length > 0 && !before.some(pid => pids(FOLDER).includes(pid)));
  const edited = pids(FOLDER);
  writeFileSync(main, "process.exit(7)");
  await until(async () =>
    (await run("health", FOLDER, "-f", "json")).out.includes("its files were changed and are not used"),
  );
  assert.ok(stay(edited, FOLDER));
  assert.equal((await show(FOLDER)).state, "enabled");
  writeFileSync(main, programOf(FOLDER, "1.0.0"));
  await until(() => pids(FOLDER).length > 0 && !edited.some(pid => pids(FOLDER).includes(pid)));
});

test("three crashes within an hour end a plugin until somebody enables it again", async () => {
  await until(async () => {
    for (const pid of pids(FOLDER)) process.kill(pid, "SIGKILL");
    return (await show(FOLDER)).state === "failed";
  });
  assert.match(String((await show(FOLDER)).reason), /^3 crashes within an hour, the last: /);
  assert.deepEqual([pids(FOLDER), (await audited()).includes(`plugin.fail ${FOLDER}`)], [[], true]);
  await good("enable", FOLDER);
  assert.deepEqual([(await show(FOLDER)).state, pids(FOLDER).length > 0], ["enabled", true]);
});

test("uninstall takes the files and keeps the hooks; --purge takes all of it", async () => {
  assert.equal((await run("uninstall", ID)).code, 64);
  await good("uninstall", ID, "--yes");
  assert.deepEqual([(await show()).state, existsSync(dir(ID)), pids(ID)], ["uninstalled", false, []]);
  const hooks = async () =>
    (await running.ask("GET", "/api/v1/admin/hooks")).body.items as { plugin: string }[];
  assert.equal((await hooks()).filter(({ plugin }) => plugin === ID).length, 1);
  await good("uninstall", ID, "--purge", "--yes");
  assert.equal((await hooks()).filter(({ plugin }) => plugin === ID).length, 0);
  assert.equal((await run("show", ID)).code, 66);
});
