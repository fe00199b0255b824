import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, test } from "node:test";
import type { Log } from "../../../src/core/ports/log.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { type Db, openDatabase } from "../../../src/store/db.ts";
import type { DatabaseTarget } from "../../../src/store/db-url.ts";
import { EmbeddedPostgres } from "../../../src/store/embedded.ts";
import {
  ensureSchema,
  type Migration,
  migrateUp,
  migrationStatus,
  readMigrations,
} from "../../../src/store/migrate.ts";
import { silentLog } from "../../lib/database.ts";
import { type Folder, makeFolder } from "./folder.ts";

let folder: Folder;
let server: EmbeddedPostgres;
let target: DatabaseTarget;
let admin: Db;

before(async () => {
  folder = makeFolder();
  server = new EmbeddedPostgres({ dataDir: folder.path, runtimeDir: folder.path, log: silentLog });
  const deadline = deadlineAfter(60_000);
  target = await server.start(deadline);
  deadline.dispose();
  admin = await openDatabase({ target, log: silentLog });
});

after(async () => {
  const deadline = deadlineAfter(10_000);
  await admin.close(deadline);
  await server.stop(deadline);
  deadline.dispose();
  folder.remove();
});

function migration(version: number, text: string, breaking = false): Migration {
  return {
    version,
    name: `m${version}`,
    text,
    checksum: createHash("sha256").update(text).digest("hex"),
    breaking,
  };
}

/** Run `body` with nodes on an empty database of their own. */
async function withNodes(body: (open: () => Promise<Db>) => Promise<void>): Promise<void> {
  await admin.run`drop database if exists fresh`;
  await admin.run`create database fresh`;
  const opened: Db[] = [];
  const deadline = deadlineAfter(10_000);
  try {
    await body(async () => {
      const db = await openDatabase({ target: { ...target, database: "fresh" }, log: silentLog });
      opened.push(db);
      return db;
    });
  } finally {
    for (const db of opened) await db.close(deadline);
    deadline.dispose();
  }
}

const one = migration(1, "create table a (n int); insert into a values (1);");
const two = migration(2, "create function f() returns int language plpgsql as $$ begin return 2; end; $$;");

test("migrations are applied once, in order, and recorded", async () => {
  await withNodes(async open => {
    const db = await open();
    assert.deepEqual((await migrationStatus(db, [one, two])).pending, [one, two]);
    assert.deepEqual(await migrateUp(db, [one], silentLog), [one]);
    assert.deepEqual(await migrateUp(db, [one, two], silentLog), [two]);
    assert.deepEqual(await migrateUp(db, [one, two], silentLog), []);
    const { applied, pending } = await migrationStatus(db, [one, two]);
    assert.deepEqual([applied.map(a => a.checksum), pending], [[one.checksum, two.checksum], []]);
    assert.deepEqual(await db.query`select n, f() from a`, [{ n: 1, f: 2 }]);
  });
});

test("nodes that start at the same time apply each migration once", async () => {
  await withNodes(async open => {
    const first = await open();
    const nodes = [first, ...(await Promise.all([2, 3, 4, 5].map(open)))];
    const files = [one, two, migration(3, "select pg_sleep(0.1); insert into a values (3);")];
    const done = await Promise.all(nodes.map(db => migrateUp(db, files, silentLog)));
    assert.deepEqual(
      done
        .flat()
        .map(m => m.version)
        .sort(),
      [1, 2, 3],
    );
    assert.deepEqual(await first.query`select n from a order by n`, [{ n: 1 }, { n: 3 }]);
  });
});

test("a migration that fails leaves nothing of itself, and the ones before stay", async () => {
  await withNodes(async open => {
    const db = await open();
    const bad = migration(2, "create table b (n int); insert into b values ('no number');");
    await assert.rejects(() => migrateUp(db, [one, bad], silentLog), {
      code: "internal",
      message: /0002_m2/,
    });
    assert.deepEqual(await db.query`select to_regclass('a')::text as a, to_regclass('b')::text as b`, [
      { a: "a", b: null },
    ]);
    assert.deepEqual(await migrateUp(db, [one, two], silentLog), [two]);
  });
});

test("a changed file, or a breaking migration of a newer version, is refused; a newer one that is not breaking is not", async () => {
  await withNodes(async open => {
    const db = await open();
    await migrateUp(db, [one, two], silentLog);
    const changed = migration(1, "create table a (n bigint);");
    await assert.rejects(() => ensureSchema(db, [changed, two], true, silentLog), {
      code: "invalid_state",
      retry: "never",
      message: /was changed/,
    });
    let warned = 0;
    const log: Log = {
      ...silentLog,
      warn: () => {
        warned += 1;
      },
    };
    await ensureSchema(db, [one], true, log);
    assert.equal(warned, 1);
    await migrateUp(db, [one, two, migration(3, "select 1", true)], silentLog);
    await assert.rejects(() => ensureSchema(db, [one, two], true, silentLog), {
      code: "invalid_state",
      message: /install the newer version/,
    });
  });
});

test("without auto_migrate what is pending is refused, naming the command", async () => {
  await withNodes(async open => {
    const db = await open();
    await assert.rejects(() => ensureSchema(db, [one], false, silentLog), {
      code: "invalid_state",
      message: /mairust migrate up/,
    });
    await ensureSchema(db, [one], true, silentLog);
    await ensureSchema(db, [one], false, silentLog);
  });
});

test("the migrations of this package apply to an empty database", async () => {
  await withNodes(async open => {
    const files = readMigrations();
    assert.equal((await migrateUp(await open(), files, silentLog)).length, files.length);
  });
});
