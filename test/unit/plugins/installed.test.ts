/** Installed packages on one node: what counts is what the database holds, and what lies here is compared with it. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { PluginError } from "../../../src/core/errors.ts";
import { NO_SETTINGS } from "../../../src/core/ports/plugin-settings.ts";
import { enablePlugin } from "../../../src/plugins/enable.ts";
import { InstalledPlugins } from "../../../src/plugins/installed.ts";
import { generateKey, readPublicKey } from "../../../src/plugins/package/keys.ts";
import { LifePlugins } from "../../lib/life-plugins.ts";
import { pluginsSection } from "../../lib/plugins-section.ts";

const ID = "com.example.life";
const root = mkdtempSync(join(tmpdir(), "mr-installed-"));
const plugins = new LifePlugins(root);
after(() => rmSync(root, { recursive: true, force: true }));

const record = { id: ID, developerKey: undefined };
const bytesOf = async (more: string) => readFileSync(await plugins.pack({ id: ID, more }));
const nodeWith = (dir: string, stored: () => Uint8Array) =>
  new InstalledPlugins({
    dir: () => dir,
    registry: { package: async () => stored() },
    trust: async () => ({ keys: [], revocations: [] }),
  });

test("another package in the place of one that this node unpacked is unpacked; what somebody changed is modified", async () => {
  let stored = await bytesOf("// one");
  const node = nodeWith(join(root, "a"), () => stored);
  const main = join(node.folderOf(ID, "1.0.0"), "server", "main.mjs");
  await node.find(record, "1.0.0");
  stored = await bytesOf("// two");
  node.forget(ID);
  assert.equal((await node.find(record, "1.0.0")).installed?.verification.state, "unsigned");
  assert.match(readFileSync(main, "utf8"), /\/\/ two$/);
  writeFileSync(main, "// three");
  assert.equal((await node.verify(record, "1.0.0")).installed?.verification.state, "modified");
});

test("a place that cannot be written is the plugin's trouble, not the service's", async () => {
  const dir = join(root, "b");
  const stored = await bytesOf("");
  writeFileSync(dir, "no folder");
  const node = nodeWith(dir, () => stored);
  await assert.rejects(node.find(record, "1.0.0"), PluginError);
  assert.deepEqual(await node.clean([]), []);
});

test("a version that was revoked as vulnerable goes on; with files that somebody changed it does not", async () => {
  const key = generateKey();
  const stored = readFileSync(await plugins.pack({ id: ID, developer: key.privatePem }));
  const reason = { reason: "CVE", by: "local", at: new Date(0) };
  const node = new InstalledPlugins({
    dir: () => join(root, "c"),
    registry: { package: async () => stored },
    trust: async () => ({
      keys: [{ ...readPublicKey(key.publicPem), role: "private", label: "ours" }],
      revocations: [{ kind: "plugin", value: ID, severity: "vulnerable", ...reason }],
    }),
  });
  const refusals = async () => {
    const found = await node.verify(record, "1.0.0");
    const context = { plugins: pluginsSection({ allow_unsigned: [ID] }), entry: undefined, hooks: [] };
    const more = { hostVersion: "0.3.0", record: undefined, settings: NO_SETTINGS };
    return enablePlugin(found, { ...context, ...more })
      .refusals.map(({ text }) => text)
      .join();
  };
  assert.equal(await refusals(), "");
  writeFileSync(join(node.folderOf(ID, "1.0.0"), "server", "main.mjs"), "// other");
  assert.match(await refusals(), /^it is modified: /);
});
