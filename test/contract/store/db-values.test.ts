/** What goes into statements and comes out of them: values, arrays, text that PostgreSQL refuses, fragments, counts of rows. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type Db, isUniqueViolation, json, pgText, sql, sqlstateOf } from "../../../src/store/db.ts";
import { startTestDatabase, type TestDatabase } from "../../lib/database.ts";

let database: TestDatabase;
let db: Db;
before(async () => {
  database = await startTestDatabase();
  db = database.db;
});
after(() => database.stop());

test("values go in and come out as they are", async () => {
  const at = new Date("2026-11-21T01:02:03.456Z");
  const bytes = Buffer.from([0, 1, 255, 92, 34]);
  const [row] = await db.query`
    select ${5}::bigint as i, ${12n}::bigint as b, ${at}::timestamptz as at, ${bytes}::bytea as bytes, ${true}::boolean as yes,
           ${null}::text as nothing, ${'a"b\\c,{d}'}::text as text, ${{ a: [1, "x"] }}::jsonb as object, ${json([1, true, "x"])}::jsonb as list,
           ${json("text")}::jsonb as string`;
  assert.deepEqual(
    { ...row },
    {
      i: 5,
      b: 12,
      at,
      bytes,
      yes: true,
      nothing: null,
      text: 'a"b\\c,{d}',
      object: { a: [1, "x"] },
      list: [1, true, "x"],
      string: "text",
    },
  );
});

test("arrays of every kind go in and come out, bytes too", async () => {
  const at = new Date("2026-11-21T01:02:03.456Z");
  const lists = {
    texts: ["plain", 'q"uote', "back\\slash", "com,ma", "{brace}", "NULL", "", " ", null, "日本"],
    numbers: [1, -2, 9_007_199_254_740_991, null],
    bytes: [Buffer.from([0, 255]), Buffer.alloc(0), Buffer.from('"\\,')],
    dates: [at, null],
    booleans: [true, false],
  };
  const [row] = await db.query`
    select ${lists.texts}::text[] as texts, ${lists.numbers}::bigint[] as numbers, ${lists.bytes}::bytea[] as bytes,
           ${lists.dates}::timestamptz[] as dates, ${lists.booleans}::boolean[] as booleans, ${[]}::int[] as empty,
           ${[json({ a: 1 }), json([2])]}::jsonb[] as documents, array['00000000-0000-0000-0000-000000000001']::uuid[] as ids`;
  assert.deepEqual(
    { ...row },
    {
      ...lists,
      empty: [],
      documents: [{ a: 1 }, [2]],
      ids: ["00000000-0000-0000-0000-000000000001"],
    },
  );
  const unnested = await db.query<{ b: Buffer }>`select b from unnest(${lists.bytes}::bytea[]) b`;
  assert.deepEqual(
    unnested.map(r => r.b),
    lists.bytes,
  );
});

test("a bigint that is not exact as a number is refused, not rounded", async () => {
  const [row] = await db.query<{ n: number }>`select 9007199254740991::bigint as n`;
  assert.equal(row?.n, Number.MAX_SAFE_INTEGER);
  await assert.rejects(() => db.query`select 9007199254740993::bigint as n`, { code: "internal" });
  assert.equal((await db.query`select 1`).length, 1);
});

test("text that PostgreSQL refuses is made storable by pgText, and always in JSON", async () => {
  const bad = "a\0b\ud800c\udc00\u{1f600}";
  await assert.rejects(
    () => db.query`select ${bad}::text`,
    error => sqlstateOf(error) === "22021",
  );
  const [row] =
    await db.query`select ${pgText(bad)}::text as t, ${{ "k\0": bad, path: "c:\\u0000" }}::jsonb as j`;
  const good = "a\ufffdb\ufffdc\ufffd\u{1f600}";
  assert.deepEqual({ ...row }, { t: good, j: { "k\ufffd": good, path: "c:\\u0000" } });
});

test("fragments compose into one statement with their parameters in order", async () => {
  const only = (min: number | undefined) => (min === undefined ? sql`` : sql`where n >= ${min}`);
  const [all] = await db.query<{
    c: number;
  }>`select count(*) as c from generate_series(1, ${10}) n ${only(undefined)}`;
  const [some] = await db.query<{
    c: number;
  }>`select count(*) as c from generate_series(1, ${10}) n ${only(8)}`;
  assert.deepEqual([all?.c, some?.c], [10, 3]);
});

test("run() tells how many rows were touched", async () => {
  await db.run`create table touched (n int unique)`;
  assert.equal(await db.run`insert into touched select generate_series(1, 7)`, 7);
  assert.equal(await db.run`delete from touched where n > ${5}`, 2);
  await assert.rejects(
    () => db.run`insert into touched values (1)`,
    error =>
      isUniqueViolation(error) &&
      isUniqueViolation(error, "touched_n_key") &&
      !isUniqueViolation(error, "other"),
  );
});
