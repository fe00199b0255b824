/** Settings of plugins and the master key in a real PostgreSQL: what is sealed stays readable, whatever interrupts a rotation. */
import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { MairustError, PluginSecurityError, StaleVersion } from "../../../src/core/errors.ts";
import { NO_SETTINGS_VERSION, type SettingChange } from "../../../src/core/ports/plugin-settings.ts";
import { sleep } from "../../../src/platform/deadline.ts";
import { MasterKey } from "../../../src/platform/master-key.ts";
import { seal } from "../../../src/platform/sealed.ts";
import { holdKeys } from "../../../src/store/key-lock.ts";
import { StoredPluginSecrets } from "../../../src/store/plugin-secrets.ts";
import { createPluginSettings, ownerOfSetting } from "../../../src/store/plugin-settings.ts";
import {
  type RotationStep,
  rotateMasterKey,
  SECRETS_PURPOSE,
  SETTINGS_PURPOSE,
  settleMasterKey,
  tryRotation,
} from "../../../src/store/reseal.ts";
import { silentLog, startTestDatabase, type TestDatabase } from "../../lib/database.ts";

const ID = "com.example.p";
const CANARY = "canary-setting-öß";
const LIFETIME_S = 864_000;
let database: TestDatabase;
let folder: string;
let path: string;

before(async () => {
  database = await startTestDatabase();
});
after(() => database.stop());
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "mr-keys-"));
  path = join(folder, "key");
  await database.db.run`delete from plugin_settings`;
  await database.db.run`delete from plugin_secrets`;
});

/** What one process holds: read from the files, as a start does. */
function node(onStep?: (step: RotationStep) => void) {
  const master = new MasterKey(path);
  const { db } = database;
  const now = () => new Date();
  const parts = { db, master, log: silentLog, now, traceLifetimeS: LIFETIME_S };
  return {
    master,
    secrets: new StoredPluginSecrets({ db, keys: master.ring(SECRETS_PURPOSE), log: silentLog, now }),
    settings: createPluginSettings(db, master.ring(SETTINGS_PURPOSE)),
    parts: onStep === undefined ? parts : { ...parts, onStep },
  };
}

const changes = (given: Record<string, SettingChange["value"]>, ...secret: string[]) =>
  new Map(
    Object.entries(given).map(([key, value]) => [key, { value, secret: secret.includes(key) }] as const),
  );

const dump = async () => {
  const rows = await database.db.query<{ row: string }>`
    select to_jsonb(s)::text as row from plugin_settings s union all
    select to_jsonb(s)::text from plugin_setting_secrets s union all select to_jsonb(s)::text from plugin_secrets s`;
  return rows.map(({ row }) => row).join("\n");
};

test("settings keep their types, secrets are sealed, and nobody overwrites what he has not seen", async () => {
  const { settings } = node();
  const first = await settings.put(
    ID,
    changes({ threshold: 0.5, on: true, name: "x", api_key: CANARY }, "api_key"),
    NO_SETTINGS_VERSION,
  );
  assert.deepEqual(first.values, { threshold: 0.5, on: true, name: "x", api_key: CANARY });
  assert.deepEqual([...first.secrets], ["api_key"]);
  assert.deepEqual((await settings.all()).get(ID), first);
  const text = await dump();
  for (const form of [CANARY, Buffer.from(CANARY).toString("hex"), Buffer.from(CANARY).toString("base64")])
    assert.ok(!text.includes(form), form);
  await assert.rejects(settings.put(ID, changes({ on: false }), NO_SETTINGS_VERSION), StaleVersion);
  await assert.rejects(settings.put(ID, changes({ on: false }), first.version + 1), StaleVersion);
  const second = await settings.put(ID, changes({ on: false, name: undefined }), first.version);
  assert.deepEqual(second.values, { threshold: 0.5, on: false, api_key: CANARY });
  assert.equal(second.version, first.version + 1);
  assert.deepEqual(settings.changed(first, changes({ on: false, name: undefined })), second);
});

test("a sealed setting cannot be moved to another plugin or key", async () => {
  const { settings } = node();
  await settings.put(ID, changes({ a: CANARY, b: "other" }, "a", "b"), NO_SETTINGS_VERSION);
  await database.db.run`
    update plugin_setting_secrets set sealed = (select sealed from plugin_setting_secrets where key = 'a') where key = 'b'`;
  const read = (await settings.all()).get(ID);
  assert.deepEqual(read?.values, { a: CANARY });
  assert.deepEqual([...(read?.unreadable ?? [])], [["b", "it was changed"]]);
});

test("another key file is told apart from a changed record", async () => {
  await node().settings.put(ID, changes({ a: CANARY }, "a"), NO_SETTINGS_VERSION);
  rmSync(path);
  const read = (await node().settings.all()).get(ID);
  assert.deepEqual(read?.values, {});
  assert.match(read?.unreadable.get("a") ?? "", /another key file encrypted it \(key [0-9a-f]{16}, not/u);
});

test("a rotation makes another key, seals everything again, and the old key opens nothing any more", async () => {
  const { master, secrets, settings, parts } = node();
  await secrets.ensure(ID);
  const [signing] = secrets.current(ID).signing;
  await settings.put(ID, changes({ a: CANARY }, "a"), NO_SETTINGS_VERSION);
  const before = { file: readFileSync(path, "utf8"), id: master.ids(SETTINGS_PURPOSE).current };
  assert.deepEqual(await rotateMasterKey(parts), { secrets: 1, settings: 1, dkimKeys: 0 });

  const fresh = readFileSync(path, "utf8");
  assert.notEqual(fresh, before.file);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.deepEqual([existsSync(`${path}.next`), existsSync(`${path}.previous`)], [false, true]);
  assert.ok(!readFileSync(`${path}.previous`, "utf8").includes(before.file.trim()));
  assert.ok(!(await dump()).includes(before.id));
  // The same process, and one that starts now.
  for (const one of [{ secrets, settings }, node()]) {
    assert.deepEqual((await one.settings.all()).get(ID)?.values, { a: CANARY });
    await one.secrets.ensure(ID);
    assert.deepEqual(one.secrets.current(ID).signing[0], signing);
  }
  writeFileSync(path, before.file);
  assert.equal((await node().settings.all()).get(ID)?.unreadable.size, 1);
});

test("fields of mail that the old key signed are known for their lifetime, and no longer", async () => {
  const { master, parts } = node();
  const old = master.traceKeys(new Date())[0]?.toString("hex");
  await rotateMasterKey(parts);
  await rotateMasterKey(parts);
  const later = (s: number) => new Date(Date.now() + s * 1000);
  for (const one of [master, node().master]) {
    const keys = one.traceKeys(later(LIFETIME_S - 60)).map(key => key.toString("hex"));
    assert.equal(keys.length, 3);
    assert.notEqual(keys[0], old);
    assert.ok(keys.includes(old ?? ""));
    assert.equal(one.traceKeys(later(LIFETIME_S + 60)).length, 1);
  }
});

class Killed extends Error {}
const STEPS: readonly RotationStep[] = ["file_made", "resealed", "committed", "previous_written", "renamed"];
for (const killedAt of STEPS) {
  test(`a rotation that is killed at "${killedAt}" loses nothing: the next start settles it`, async () => {
    const begun = node(step => {
      if (step === killedAt) throw new Killed();
    });
    await begun.secrets.ensure(ID);
    const [signing] = begun.secrets.current(ID).signing;
    await begun.settings.put(ID, changes({ a: CANARY }, "a"), NO_SETTINGS_VERSION);
    const old = readFileSync(path, "utf8");
    const trace = begun.master.traceKeys(new Date())[0]?.toString("hex");
    await assert.rejects(rotateMasterKey(begun.parts), Killed);

    // Another process, which knows the files and the database alone.
    const next = node();
    await settleMasterKey(next.parts);
    assert.equal(existsSync(`${path}.next`), false);
    assert.equal(next.master.hasNext, false);
    const isRotated = STEPS.indexOf(killedAt) >= STEPS.indexOf("committed");
    assert.equal(readFileSync(path, "utf8") !== old, isRotated);
    for (const one of [next, node()]) {
      assert.deepEqual((await one.settings.all()).get(ID)?.values, { a: CANARY });
      await one.secrets.ensure(ID);
      assert.deepEqual(one.secrets.current(ID).signing[0], signing);
      const keys = one.master.traceKeys(new Date()).map(key => key.toString("hex"));
      assert.ok(keys.includes(trace ?? ""), "the field of a message that is under way is not known any more");
    }
    // And it can be done again.
    await rotateMasterKey(next.parts);
    assert.deepEqual((await node().settings.all()).get(ID)?.values, { a: CANARY });
  });
}

test("what is written while a rotation waits for its commit is sealed with the key that stays", async () => {
  const slow = node();
  await slow.settings.put(ID, changes({ a: CANARY }, "a"), NO_SETTINGS_VERSION);
  const writes: Promise<unknown>[] = [];
  const parts = {
    ...slow.parts,
    onStep(step: RotationStep) {
      if (step === "resealed")
        writes.push(
          slow.settings.put("com.example.q", changes({ b: CANARY }, "b"), NO_SETTINGS_VERSION),
          slow.secrets.ensure("com.example.q"),
        );
    },
  };
  await rotateMasterKey(parts);
  await Promise.all(writes);
  const next = node();
  assert.deepEqual((await next.settings.all()).get("com.example.q")?.values, { b: CANARY });
  await next.secrets.ensure("com.example.q");
});

test("a rotation waits for records that are just being written with the key of before", async () => {
  const { master, parts } = node();
  const rotations: Promise<unknown>[] = [];
  await database.db.begin(async tx => {
    await holdKeys(tx);
    const key = master.ring(SETTINGS_PURPOSE).current();
    const sealed = seal(key, Buffer.from(JSON.stringify(CANARY)), ownerOfSetting(ID, "a"));
    rotations.push(rotateMasterKey(parts));
    await eventually(async () => {
      const [row] = await tx.query<{ waits: boolean }>`
        select exists (select from pg_locks where locktype = 'advisory' and not granted) as waits`;
      return row?.waits === true;
    });
    await tx.run`insert into plugin_settings (plugin_id, version) values (${ID}, 2)`;
    await tx.run`insert into plugin_setting_secrets (plugin_id, key, key_id, sealed) values (${ID}, 'a', ${key.id}, ${sealed})`;
  });
  await Promise.all(rotations);
  assert.deepEqual((await node().settings.all()).get(ID)?.values, { a: CANARY });
});

async function eventually(holds: () => Promise<boolean>): Promise<void> {
  for (const end = performance.now() + 60_000; performance.now() < end; ) {
    if (await holds()) return;
    await sleep(10);
  }
  assert.fail("nobody waits");
}

test("a rotation that is given up lets nobody seal with the key that goes", async () => {
  const { settings, master, parts } = node();
  await settings.put(ID, changes({ a: CANARY }, "a"), NO_SETTINGS_VERSION);
  await database.db.run`update plugin_setting_secrets set sealed = sealed || '\\x00'::bytea`;
  const ring = master.ring(SETTINGS_PURPOSE);
  const before = ring.current().id;
  const used: string[] = [];
  // When the transaction is rolled back the lock is free.
  const begin: typeof database.db.begin = (work, ...rest) =>
    database.db.begin(
      async tx => {
        try {
          return await work(tx);
        } finally {
          used.push(ring.current().id);
        }
      },
      ...rest,
    );
  const db = { ...parts.db, begin, query: database.db.query, run: database.db.run };
  await assert.rejects(rotateMasterKey({ ...parts, db }), PluginSecurityError);
  assert.deepEqual(used, [before]);
});

test("a record that cannot be read keeps the old key: nothing is changed", async () => {
  const { settings, parts } = node();
  await settings.put(ID, changes({ a: CANARY, b: CANARY }, "a", "b"), NO_SETTINGS_VERSION);
  const sealed = await dump();
  assert.deepEqual(await tryRotation(parts), { secrets: 0, settings: 2, dkimKeys: 0 });
  assert.deepEqual([await dump(), existsSync(`${path}.next`)], [sealed, false]);
  await database.db.run`update plugin_setting_secrets set sealed = sealed || '\\x00'::bytea where key = 'b'`;
  const old = readFileSync(path, "utf8");
  await assert.rejects(rotateMasterKey(parts), (error: unknown) => {
    assert.ok(error instanceof PluginSecurityError);
    assert.match(error.publicText, /setting "b" of plugin "com\.example\.p" cannot be read: it was changed/u);
    return true;
  });
  await assert.rejects(tryRotation(parts), PluginSecurityError);
  assert.equal(readFileSync(path, "utf8"), old);
  assert.equal(existsSync(`${path}.next`), false);
  assert.deepEqual((await node().settings.all()).get(ID)?.values, { a: CANARY });
});

test("key files that others may read, or that are none of ours, stop the start by name", async () => {
  await rotateMasterKey(node().parts);
  chmodSync(`${path}.previous`, 0o644);
  assert.throws(() => new MasterKey(path), { code: "config_invalid", message: /key\.previous.*everybody/u });
  chmodSync(`${path}.previous`, 0o600);
  writeFileSync(`${path}.previous`, "other\n");
  assert.throws(() => new MasterKey(path), MairustError);
});
