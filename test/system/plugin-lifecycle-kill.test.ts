/**
 * The service is killed in the middle of a change of a plugin's life: after the next start it is as it was before, or as it was to be,
 * nothing is left over, and the same command brings it to its end.
 */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { LifecycleStep } from "../../src/compose/lifecycle-change.ts";
import { deadlineAfter, sleep } from "../../src/platform/deadline.ts";
import type { PluginDetailBody } from "../../src/wire/api/plugin-lifecycle.ts";
import { LifePlugins } from "../lib/life-plugins.ts";
import { KILL_MAIN, killFile } from "../lib/lifecycle-kill.ts";
import { type Sidecar, startSidecar } from "../lib/sidecar.ts";

const ID = "com.example.life";
const WAIT_MS = 60_000;
const root = mkdtempSync(join(tmpdir(), "mr-kill-"));
const plugins = new LifePlugins(root);
let sidecar: Sidecar;

before(async () => {
  const toml = `[plugins]\nallow_unsigned = ["${ID}"]\nallow_unsandboxed = ["${ID}"]\n`;
  sidecar = await startSidecar({ dir: join(root, "s"), toml, logLevel: "warn", main: KILL_MAIN });
});
after(async () => {
  await sidecar?.stop();
  rmSync(root, { recursive: true, force: true });
});

async function plugin(...args: string[]): Promise<void> {
  const { code, stderr } = await sidecar.mairust(["plugin", ...args]);
  assert.equal(code, 0, `${args.join(" ")}: ${stderr}`);
}

async function killedAt(step: LifecycleStep, ...args: string[]): Promise<void> {
  writeFileSync(killFile(sidecar.configFile), step);
  const { code } = await sidecar.mairust(["plugin", ...args]);
  assert.notEqual(code, 0, args.join(" "));
  assert.equal(await sidecar.ended(), "SIGKILL");
  assert.ok(!existsSync(killFile(sidecar.configFile)));
  await sidecar.restart();
}

async function show(): Promise<Partial<PluginDetailBody>> {
  const { code, stdout } = await sidecar.mairust(["plugin", "show", ID, "-f", "json"]);
  return code === 0 ? (JSON.parse(stdout.toString()) as PluginDetailBody) : {};
}

/** Versions on disk, and nothing but them. */
function onDisk(): readonly string[] {
  const dir = join(sidecar.dir, "data", "plugins");
  const names = existsSync(dir) ? readdirSync(dir) : [];
  return names.flatMap(id => (id === ID ? readdirSync(join(dir, id)) : [id])).sort();
}

/** In the end, as {@link ends}: a process comes up, and goes, in its own time. */
function runs(): Promise<boolean> {
  return inTime(async () => {
    const { stdout } = await sidecar.mairust(["plugin", "health", ID, "-f", "json"]);
    return JSON.parse(stdout.toString() || "{}").status === "ok";
  });
}

/** No process of it runs any more. */
const ends = (): Promise<boolean> => inTime(async () => plugins.pids(ID).length === 0);

async function inTime(isSo: () => Promise<boolean>): Promise<boolean> {
  const deadline = deadlineAfter(WAIT_MS);
  try {
    for (;;) {
      if (await isSo()) return true;
      if (deadline.remainingMs() === 0) return false;
      await sleep(100);
    }
  } finally {
    deadline.dispose();
  }
}

test("killed while it is installed: not there, or there and not running", async () => {
  const file = await plugins.pack({ id: ID });
  await killedAt("unpacked", "install", file);
  assert.deepEqual([await show(), onDisk()], [{}, []]);
  await killedAt("recorded", "install", file);
  assert.deepEqual([(await show()).state, onDisk(), await ends()], ["installed", ["1.0.0"], true]);
});

test("killed while it is enabled: as before, or it runs in shadow", async () => {
  await plugin("approve", ID);
  await killedAt("audited", "enable", ID);
  assert.deepEqual([(await show()).state, await ends()], ["installed", true]);
  await killedAt("recorded", "enable", ID);
  const { state, hooks } = await show();
  assert.deepEqual([state, hooks?.map(({ mode }) => mode), await runs()], ["enabled", ["shadow"], true]);
});

test("killed while it is upgraded: the old version runs, or the new one", async () => {
  const file = await plugins.pack({ id: ID, version: "1.1.0" });
  await killedAt("prepared", "upgrade", file);
  assert.deepEqual([(await show()).version, onDisk(), await runs()], ["1.0.0", ["1.0.0"], true]);
  await killedAt("recorded", "upgrade", file);
  const { version, state, previous } = await show();
  assert.deepEqual([version, state, previous], ["1.1.0", "enabled", ["1.0.0"]]);
  assert.deepEqual([onDisk(), await runs()], [["1.0.0", "1.1.0"], true]);
});

test("killed while it is uninstalled: it runs, or nothing of it is left", async () => {
  await killedAt("audited", "uninstall", ID, "--yes");
  assert.deepEqual([(await show()).state, await runs()], ["enabled", true]);
  await killedAt("recorded", "uninstall", ID, "--yes");
  assert.deepEqual([(await show()).state, onDisk(), await ends()], ["uninstalled", [], true]);
});
