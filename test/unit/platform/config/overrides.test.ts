import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { folderWith, loadText, problemsOf } from "./temporary-files.ts";

test("environment values are TOML by the key's type, and a bare word is text", async t => {
  const env = {
    MAIRUST_DATA_DIR: "/srv/m",
    MAIRUST_LIMITS__MESSAGE_BYTES: "1_000_000",
    MAIRUST_LOG__HASH_ADDRESSES: "true",
    MAIRUST_IMAP__LISTEN: '["inet:127.0.0.1:0"]',
    MAIRUST_IMAP__MASTER_USER: '"do ve"',
    MAIRUST_LOG__LEVEL: "debug",
    MAIRUST_DOMAINS: '{ "a.example" = { accounts = "auto" } }',
  };
  const { config } = await loadText(t, "", { env });
  assert.equal(config.data_dir, "/srv/m");
  assert.equal(config.limits.message_bytes, 1_000_000);
  assert.equal(config.log.hash_addresses, true);
  assert.deepEqual(config.imap.listen, ["inet:127.0.0.1:0"]);
  assert.equal(config.imap.master_user, "do ve");
  assert.equal(config.log.level, "debug");
  assert.equal(config.domains["a.example"]?.accounts, "auto");
});

test("…__FILE reads the value from a file, without its last line end", async t => {
  const folder = folderWith(t, { url: "postgres://u:p@h/d\n", port: "7\n", large: "x".repeat(65_537) });
  const { config, origins } = await loadText(t, "", {
    env: {
      MAIRUST_DATABASE__URL__FILE: join(folder, "url"),
      MAIRUST_DATABASE__POOL__FILE: join(folder, "port"),
    },
  });
  assert.equal(config.database.url, "postgres://u:p@h/d");
  assert.equal(config.database.pool, 7);
  const origin = origins.get("database.url");
  assert.equal(origin?.kind === "environment" && origin.secretFile, join(folder, "url"));
  const problems = await problemsOf(
    loadText(t, "", {
      env: {
        MAIRUST_BLOBS__PATH__FILE: join(folder, "large"),
        MAIRUST_DATABASE__URL__FILE: join(folder, "none"),
      },
    }),
  );
  assert.match(problems[0] ?? "", /blobs\.path: found a file of 65537 bytes; allowed: 65536$/);
  assert.match(problems[1] ?? "", /database\.url: cannot read ".*none": ENOENT/);
});

test("a key that ends in _file is not taken for …__FILE", async t => {
  const { config } = await loadText(t, "", {
    env: { MAIRUST_KEY_FILE: "/k", MAIRUST_IMAP__MASTER_PASSWORD_FILE: "/p" },
  });
  assert.deepEqual([config.key_file, config.imap.master_password_file], ["/k", "/p"]);
});

test("MAIRUST_PLUGINS_ENABLED takes true, false or ids", async t => {
  const enabled = async (value: string) =>
    (await loadText(t, "", { env: { MAIRUST_PLUGINS_ENABLED: value } })).config.plugins.enabled;
  assert.equal(await enabled("false"), false);
  assert.equal(await enabled("true"), true);
  assert.deepEqual(await enabled("com.a, com.b"), ["com.a", "com.b"]);
  assert.deepEqual(await problemsOf(loadText(t, "", { env: { MAIRUST_PLUGINS_ENABLED: "yes" } })), [
    'environment MAIRUST_PLUGINS_ENABLED plugins.enabled[0]: found "yes"; allowed: a plugin id such as com.example.spam-filter',
  ]);
});

test("a variable cannot name what needs quotes", async t => {
  const problems = await problemsOf(loadText(t, "", { env: { MAIRUST_DOMAINS__EXAMPLE__STAGE: "store" } }));
  assert.deepEqual(problems, [
    "environment MAIRUST_DOMAINS__EXAMPLE__STAGE domains.example: names are set in a file or with -o; a variable can only set the whole",
  ]);
});

test("options take quoted keys, and the last one wins", async t => {
  const { config } = await loadText(t, "", {
    overrides: [
      'domains."a.example".accounts=auto',
      "domains.'a.example'.quota_mb = 5",
      "log.level=debug",
      "log.level=warn",
      'plugin."com.example.x".settings={ threshold = 0.8 }',
    ],
  });
  assert.equal(config.domains["a.example"]?.accounts, "auto");
  assert.equal(config.domains["a.example"]?.quota_mb, 5);
  assert.equal(config.log.level, "warn");
  assert.deepEqual({ ...config.plugin["com.example.x"]?.settings }, { threshold: 0.8 });
});

test("a value cannot bring keys of its own", async t => {
  const problems = await problemsOf(
    loadText(t, "", { overrides: ['log.hash_addresses=true\nlog.level = "debug"'] }),
  );
  assert.equal(problems.length, 1);
  assert.match(problems[0] ?? "", /log\.hash_addresses: found "true\\nlog/);
});

test("a wrong secret is not repeated in the error", async t => {
  const problems = await problemsOf(loadText(t, "", { env: { MAIRUST_DATABASE__URL: "u:hunter2@h" } }));
  assert.deepEqual(problems, [
    "environment MAIRUST_DATABASE__URL database.url: found a text; allowed: a postgres:// URL",
  ]);
  const env = { MAIRUST_QUEUE__NATS_URL: "nats://u:hunter2@h" };
  assert.deepEqual(await problemsOf(loadText(t, "", { env })), [
    "environment MAIRUST_QUEUE__NATS_URL queue.nats_url: found a text: the NATS job queue is not built in this version",
  ]);
});
