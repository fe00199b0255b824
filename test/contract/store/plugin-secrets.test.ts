/** Secrets of plugins in a real PostgreSQL: made once, encrypted, rotated with a grace, seen by other nodes. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { MairustError } from "../../../src/core/errors.ts";
import { sleep } from "../../../src/platform/deadline.ts";
import { ringOf, sealingKey } from "../../../src/platform/sealed.ts";
import type { Db } from "../../../src/store/db.ts";
import { StoredPluginSecrets } from "../../../src/store/plugin-secrets.ts";
import { silentLog, startTestDatabase, type TestDatabase } from "../../lib/database.ts";

const key = sealingKey("master", "plugin secrets");
let database: TestDatabase;
let ids = 0;
before(async () => {
  database = await startTestDatabase();
});
after(() => database.stop());

const storeOn = (db: Db, now = () => new Date(), own = key) =>
  new StoredPluginSecrets({ db, keys: ringOf(own), log: silentLog, now });
const newId = () => `com.example.p${ids++}`;
const hex = (secret: Uint8Array | undefined) => secret && Buffer.from(secret).toString("hex");
const signing = (store: StoredPluginSecrets, id: string) => store.current(id).signing.map(hex);

test("the first secret is made once, also when two nodes start at the same time", async () => {
  const id = newId();
  const [one, two] = [storeOn(database.db), storeOn(await database.open())];
  assert.throws(() => one.current(id), MairustError);
  await Promise.all([one.ensure(id), two.ensure(id), one.ensure(id), two.ensure(id)]);
  assert.equal(signing(one, id).length, 1);
  assert.equal(signing(one, id)[0]?.length, 64);
  assert.deepEqual(signing(one, id), signing(two, id));
  assert.equal(one.current(id).staged, undefined);
});

test("no secret stands in the database as it is, and a row cannot be moved to another plugin", async () => {
  const [id, other] = [newId(), newId()];
  const store = storeOn(database.db);
  await Promise.all([store.ensure(id), store.ensure(other)]);
  const [secret = ""] = signing(store, id);
  const rows = await database.db.query<{
    row: string;
  }>`select to_jsonb(s)::text as row from plugin_secrets s`;
  assert.ok(rows.length >= 2);
  for (const { row } of rows)
    assert.ok(!row.includes(secret) && !row.includes(Buffer.from(secret, "hex").toString("base64")));
  await database.db.run`
    update plugin_secrets set sealed = (select sealed from plugin_secrets where plugin_id = ${id}) where plugin_id = ${other}`;
  await assert.rejects(storeOn(database.db).ensure(other), /it was changed/);
});

test("another key file is told by name", async () => {
  const id = newId();
  await storeOn(database.db).ensure(id);
  const foreign = storeOn(database.db, () => new Date(), sealingKey("other", "plugin secrets"));
  await assert.rejects(foreign.ensure(id), /another key file encrypted it/);
});

test("a secret that nobody was shown is replaced at once", async () => {
  const id = newId();
  const store = storeOn(database.db);
  await store.ensure(id);
  const made = await store.rotate(id, { graceS: 3600, staged: true });
  assert.deepEqual([made.active, made.oldUntil], [true, undefined]);
  assert.deepEqual(signing(store, id), [hex(made.secret)]);
});

test("a rotation is staged: the old secret signs first until the new one is proved, then second, then not at all", async () => {
  const id = newId();
  let at = Date.now();
  const store = storeOn(database.db, () => new Date(at));
  await store.ensure(id);
  const old = await store.rotate(id, { graceS: 3600, staged: true });
  const made = await store.rotate(id, { graceS: 3600, staged: true });
  assert.equal(made.active, false);
  assert.ok(
    made.oldUntil !== undefined && Math.abs(made.oldUntil.getTime() - Date.now() - 3_600_000) < 60_000,
  );
  assert.deepEqual(signing(store, id), [hex(old.secret), hex(made.secret)]);
  assert.equal(hex(store.current(id).staged), hex(made.secret));
  await assert.rejects(store.rotate(id, { graceS: 3600, staged: true }), /still in its grace/);
  await store.activate(id);
  assert.deepEqual(signing(store, id), [hex(made.secret), hex(old.secret)]);
  assert.equal(store.current(id).staged, undefined);
  at += 3_700_000;
  assert.deepEqual(signing(store, id), [hex(made.secret)]);
});

test("a staged secret that nobody proved takes over when the grace of the old one ends, and can be rotated again", async () => {
  const id = newId();
  let at = Date.now();
  const store = storeOn(database.db, () => new Date(at));
  await store.ensure(id);
  await store.rotate(id, { graceS: 1, staged: true });
  const second = await store.rotate(id, { graceS: 1, staged: true });
  at = Date.now() + 2000;
  assert.deepEqual(signing(store, id), [hex(second.secret)]);
  assert.equal(store.current(id).staged, undefined);
  await sleep(1100);
  const third = await store.rotate(id, { graceS: 3600, staged: true });
  assert.deepEqual(signing(store, id), [hex(second.secret), hex(third.secret)]);
});

test("without staging the new one signs first at once; a grace of 0 ends all others", async () => {
  const id = newId();
  const store = storeOn(database.db);
  await store.ensure(id);
  const first = await store.rotate(id, { graceS: 3600, staged: false });
  const second = await store.rotate(id, { graceS: 3600, staged: false });
  assert.equal(second.active, true);
  assert.deepEqual(signing(store, id), [hex(second.secret), hex(first.secret)]);
  const third = await store.rotate(id, { graceS: 0, staged: true });
  assert.deepEqual([third.active, third.oldUntil], [true, undefined]);
  assert.deepEqual(signing(store, id), [hex(third.secret)]);
});

test("another node signs with the new secret too, soon after", async () => {
  const id = newId();
  const [here, there] = [storeOn(database.db), storeOn(await database.open())];
  await Promise.all([here.ensure(id), there.ensure(id)]);
  await there.start();
  const made = await here.rotate(id, { graceS: 0, staged: false });
  for (let i = 0; i < 1000 && signing(there, id)[0] !== hex(made.secret); i++) await sleep(10);
  assert.deepEqual(signing(there, id), [hex(made.secret)]);
  await there.stop();
});
