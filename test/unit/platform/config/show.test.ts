import assert from "node:assert/strict";
import { test } from "node:test";
import { diffConfig } from "../../../../src/platform/config/diff.ts";
import { listConfig, showConfig } from "../../../../src/platform/config/show.ts";
import { folderWith, loadText } from "./temporary-files.ts";

const HOOK = '[[hooks]]\nname = "a"\npoint = "pre_delivery"\nplugin = "com.example.x"\n';

test("-n shows what was set, with its origin, and nothing else", async t => {
  const loaded = await loadText(
    t,
    `[lmtp]\nconnections = 5\n[domains."a.example"]\n${HOOK}filter = { recipient = "x" }`,
    {
      env: { MAIRUST_LOG__LEVEL: "debug" },
      overrides: ["imap.connections=6"],
    },
  );
  const lines = showConfig(loaded, "n", true)
    .replaceAll(/# \/\S*\//g, "# ")
    .split("\n");
  assert.deepEqual(lines, [
    "lmtp.connections = 5  # mairust.toml:2:1",
    "imap.connections = 6  # -o imap.connections",
    'domains."a.example" = {}  # mairust.toml:3:10',
    'hooks = [{ name = "a", point = "pre_delivery", plugin = "com.example.x", filter = { recipient = "x" } }]  # mairust.toml:4:1',
    'log.level = "debug"  # environment MAIRUST_LOG__LEVEL',
    "",
  ]);
});

test("what -n and -a show is a configuration again", async t => {
  const toml = `[lmtp]\nconnections = 5\n[domains."a.example"]\naccounts = "auto"\n${HOOK}filter.header = { "X-A" = "b\\"\\u007f" }`;
  const first = await loadText(t, toml);
  const again = await loadText(t, showConfig(first, "n", true));
  assert.deepEqual(again.config, first.config);
});

test("-d shows defaults, -a what is in effect, keys without a value as comments", async t => {
  const loaded = await loadText(t, "[lmtp]\nconnections = 5");
  assert.match(showConfig(loaded, "d", false), /^lmtp\.connections = 500$/m);
  assert.match(showConfig(loaded, "a", false), /^lmtp\.connections = 5$/m);
  assert.match(showConfig(loaded, "a", false), /^# database\.url is not set$/m);
  assert.match(showConfig(loaded, "a", true), /^lmtp\.socket_mode = "0660" {2}# default$/m);
});

test("secrets are masked: passwords in URLs, values from secret files, settings named like one", async t => {
  const folder = folderWith(t, { user: "hunter2" });
  const loaded = await loadText(
    t,
    '[database]\nurl = "postgres://u:hunter2@h/d?password=hunter2&host=x"\n[plugin."com.example.x"]\nsettings = { api_key = "hunter2", deep = { token = "hunter2" }, limit = 3 }',
    { env: { MAIRUST_IMAP__MASTER_USER__FILE: `${folder}/user` } },
  );
  assert.equal(loaded.config.imap.master_user, "hunter2");
  const text = showConfig(loaded, "a", true);
  assert.ok(!text.includes("hunter2"), text);
  assert.match(text, /postgres:\/\/u:\*{8}@h\/d\?password=\*{8}&host=x/);
  assert.match(text, /settings = \{ api_key = "\*{8}", deep = \{ token = "\*{8}" \}, limit = 3 \}/);
});

test("listConfig() gives the same as data", async t => {
  const [shown] = listConfig(await loadText(t, "log.level = 'warn'"), "n");
  assert.deepEqual(
    [shown?.key, shown?.value, shown?.data, shown?.origin.kind],
    ["log.level", '"warn"', "warn", "file"],
  );
});

test("diffConfig() parts what applies at once from what needs a restart", async t => {
  const before = (await loadText(t, '[domains."a.example"]\nquota_mb = 1')).config;
  const after = (
    await loadText(
      t,
      `data_dir = "/srv"\n[lmtp]\nconnections = 5\nchain_timeout_ms = 1000\n[log]\nlevel = "debug"\n[domains."a.example"]\nquota_mb = 2\n[domains."b.example"]\n${HOOK}`,
    )
  ).config;
  assert.deepEqual(diffConfig(before, after), {
    live: [
      "lmtp.chain_timeout_ms",
      'domains."a.example".quota_mb',
      'domains."b.example"',
      "hooks",
      "log.level",
    ],
    restart: ["data_dir", "blobs.path", "lmtp.connections", "plugins.dir"],
  });
  assert.deepEqual(diffConfig(after, after), { live: [], restart: [] });
});
