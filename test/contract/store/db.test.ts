import assert from "node:assert/strict";
import net from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import postgres from "postgres";
import { MairustError } from "../../../src/core/errors.ts";
import { deadlineAfter, sleep, within } from "../../../src/platform/deadline.ts";
import { type DatabaseOptions, type Db, isUniqueViolation, openDatabase } from "../../../src/store/db.ts";
import type { DatabaseTarget } from "../../../src/store/db-url.ts";
import { readDurability } from "../../../src/store/durability.ts";
import { EmbeddedPostgres } from "../../../src/store/embedded.ts";
import { silentLog } from "../../lib/database.ts";
import { type Folder, makeFolder } from "./folder.ts";

let folder: Folder;
let server: EmbeddedPostgres;
let target: DatabaseTarget;
let db: Db;

const open = (options: Partial<DatabaseOptions> = {}) => openDatabase({ target, log: silentLog, ...options });

async function close(...dbs: Db[]): Promise<void> {
  const deadline = deadlineAfter(60_000);
  for (const one of dbs) await one.close(deadline);
  deadline.dispose();
}

before(async () => {
  folder = makeFolder();
  server = new EmbeddedPostgres({ dataDir: folder.path, runtimeDir: folder.path, log: silentLog });
  const deadline = deadlineAfter(60_000);
  target = await server.start(deadline);
  deadline.dispose();
  db = await open();
});

after(async () => {
  await close(db);
  const deadline = deadlineAfter(10_000);
  await server.stop(deadline);
  deadline.dispose();
  folder.remove();
});

const driver = (max: number) =>
  postgres({
    path: join(target.hosts[0] ?? "", `.s.PGSQL.${target.ports[0]}`),
    user: target.user,
    database: target.database,
    max,
  });

test("what is committed is on the disk, whatever the role's and the database's defaults say", async () => {
  const [name] = await db.query<{
    role: string;
    db: string;
  }>`select current_user as role, current_database() as db`;
  const script = (text: string) => db.begin(tx => tx.script(text));
  await script(`alter role "${name?.role}" set synchronous_commit = off`);
  await script(`alter database "${name?.db}" set synchronous_commit = off`);
  const other = await open();
  assert.deepEqual(await other.query`select current_setting('synchronous_commit') as value`, [
    { value: "on" },
  ]);
  await close(other);
  await script(`alter role "${name?.role}" reset synchronous_commit`);
  await script(`alter database "${name?.db}" reset synchronous_commit`);
});

test("after a statement failed in the middle of its rows the next result has no holes (postgres.js 1120)", async () => {
  const one = await open({ pool: 1 });
  for (let i = 0; i < 3; i += 1) {
    await assert.rejects(() => one.query`select 1/(3-i) as x from generate_series(1,5) i`, {
      code: "internal",
    });
    const rows = await one.query<{ x: number }>`select 7 as x from generate_series(1,3)`;
    assert.deepEqual(
      rows.map(r => r.x),
      [7, 7, 7],
    );
    assert.equal(rows.length, 3);
  }
  await close(one);
  const bare = driver(1);
  await assert.rejects(async () => await bare`select 1/(3-i) from generate_series(1,5) i`);
  assert.equal(
    (await bare`select 7 as x from generate_series(1,3)`).length,
    5,
    "the driver has the bug no more: drop the guard",
  );
  await bare.end({ timeout: 0 });
});

test("a thousand transactions and statements at once on few connections all stay whole (postgres.js 1189)", async () => {
  const two = await open({ pool: 2 });
  await db.run`create table pairs (id int, half text)`;
  const work = Array.from({ length: 1_000 }, (_, i) =>
    i % 2 === 0
      ? two.query`select ${i}::int as i`
      : two.begin(async tx => {
          await tx.run`insert into pairs values (${i}, 'a')`;
          await tx.run`insert into pairs values (${i}, 'b')`;
          if (i % 10 === 1) throw new Error("undo");
        }),
  );
  const results = await Promise.allSettled(work);
  assert.equal(results.filter(r => r.status === "rejected").length, 100);
  const [row] = await db.query`
    select count(*) as rows, (select count(*) from pg_stat_activity where state like 'idle in transaction%') as stuck from pairs`;
  assert.deepEqual({ ...row }, { rows: 800, stuck: 0 });
  assert.deepEqual(two.counts, { open: 2, busy: 0, waiting: 0 });
  await close(two);
});

test("the driver's own begin() breaks beside many statements, which is why it is not used (postgres.js 1189)", async () => {
  const bare = driver(2);
  await Promise.all([1, 2].map(() => bare`select pg_sleep(0.1)`));
  const statements = Array.from({ length: 200 }, () => bare`select pg_sleep(0.001)`.catch(() => undefined));
  const outcome = await Promise.race([
    bare
      .begin(async tx => await tx`select 1`)
      .then(
        () => "right",
        (error: Error & { code?: string }) => error.code ?? "error",
      ),
    sleep(3_000).then(() => "hangs"),
  ]);
  await bare.end({ timeout: 0 });
  await Promise.all(statements);
  assert.notEqual(outcome, "right", "the driver has the bug no more");
});

test("waiting for a connection ends with store_unavailable, and too many may not wait", async () => {
  const one = await open({ pool: 1, acquireTimeoutMs: 100, maxWaiting: 2 });
  const held = one.query`select pg_sleep(0.5)`;
  const waiting = [1, 2].map(() => one.query`select 1`);
  await assert.rejects(() => one.query`select 1`, {
    code: "store_unavailable",
    message: /2 operations wait/,
  });
  for (const result of await Promise.allSettled(waiting)) {
    assert.equal(result.status, "rejected");
    assert.match(String(result.reason), /no connection came free in time/);
  }
  await held;
  assert.deepEqual(one.counts, { open: 1, busy: 0, waiting: 0 });
  await one.query`select 1`;
  await close(one);
});

test("a transaction whose connection is lost does not go on without it", async () => {
  await db.run`create table alone (n int)`;
  let late: Promise<unknown> | undefined;
  await assert.rejects(
    () =>
      db.begin(async tx => {
        await tx.run`insert into alone values (1)`;
        const [me] = await tx.query<{ pid: number }>`select pg_backend_pid() as pid`;
        await db.query`select pg_terminate_backend(${me?.pid ?? 0})`;
        await sleep(100);
        late = tx.run`insert into alone values (2)`;
        await late;
      }),
    { code: "store_unavailable", retry: "later" },
  );
  await until(() => late !== undefined);
  await assert.rejects(async () => late, MairustError);
  const [row] = await db.query<{ c: number }>`select count(*) as c from alone`;
  assert.equal(row?.c, 0);
});

test("a transaction that is waiting for something else hears at once that its connection is lost", async () => {
  const never = new Promise<void>(() => undefined);
  const lost = db.begin(async tx => {
    const [me] = await tx.query<{ pid: number }>`select pg_backend_pid() as pid`;
    await db.query`select pg_terminate_backend(${me?.pid ?? 0})`;
    await never;
  });
  const deadline = deadlineAfter(30_000);
  await assert.rejects(() => within(lost, deadline), { code: "store_unavailable" });
  deadline.dispose();
});

test("a statement that failed dooms the transaction even when its error is swallowed", async () => {
  await db.run`create table doomed (n int unique)`;
  await assert.rejects(
    () =>
      db.begin(async tx => {
        await tx.run`insert into doomed values (1)`;
        await tx.run`insert into doomed values (1)`.catch(() => undefined);
      }),
    error => isUniqueViolation(error),
  );
  assert.deepEqual(await db.query`select * from doomed`, []);
});

test("statements that were not awaited are part of the transaction, later ones are refused", async () => {
  await db.run`create table loose (n int)`;
  const kept = await db.begin(async tx => {
    void tx.run`insert into loose values (1)`;
    void tx.run`insert into loose values (2)`;
    return tx;
  });
  const rows = await db.query`select count(*) as rows, count(distinct xmin::text) as transactions from loose`;
  assert.deepEqual(rows, [{ rows: 2, transactions: 1 }]);
  await assert.rejects(async () => kept.run`insert into loose values (3)`, { code: "invalid_state" });
});

test("a commit whose answer is lost says that its outcome is unknown", async () => {
  await db.run`create table deferred (n int)`;
  await db.begin(tx =>
    tx.script(`
      create function end_me() returns trigger language plpgsql as $$ begin perform pg_terminate_backend(pg_backend_pid()); return null; end $$;
      create constraint trigger at_commit after insert on deferred deferrable initially deferred for each row execute function end_me()`),
  );
  await assert.rejects(
    () => db.begin(tx => tx.run`insert into deferred values (1)`),
    error =>
      error instanceof MairustError &&
      error.code === "store_unavailable" &&
      error.context.outcome === "unknown",
  );
});

test("a statement that runs too long is a deadline error, and the connection lives", async () => {
  const short = await open({ pool: 1, statementTimeoutMs: 100 });
  await assert.rejects(() => short.query`select pg_sleep(5)`, { code: "deadline", retry: "later" });
  await short.begin(tx => tx.query`select pg_sleep(0.3)`, { statementTimeoutMs: 60_000 });
  await assert.rejects(() => short.query`select pg_sleep(5)`, { code: "deadline" });
  await close(short);
});

test("a server that does not answer any more is given up a while after the statement's time", async () => {
  const one = await open({ pool: 1, statementTimeoutMs: 100 });
  const [me] = await one.query<{ pid: number }>`select pg_backend_pid() as pid`;
  process.kill(me?.pid ?? 0, "SIGSTOP");
  try {
    await assert.rejects(() => one.query`select 1`, { code: "store_unavailable" });
    assert.equal((await one.query`select 1`).length, 1);
  } finally {
    process.kill(me?.pid ?? 0, "SIGCONT");
  }
  await close(one);
});

test("a server that goes away in the middle is store_unavailable, and works again by itself when it is back", async () => {
  const one = await open({ pool: 2 });
  // Its rejection is expected from the start: the connection may end while this test still waits for another answer.
  const ended = assert.rejects(one.query`select pg_sleep(10)`, { code: "store_unavailable", retry: "later" });
  await until(
    async () =>
      (await db.query`select from pg_stat_activity where query = 'select pg_sleep(10)' and state = 'active'`)
        .length === 1,
  );
  await db.query`select pg_terminate_backend(pid) from pg_stat_activity where query = 'select pg_sleep(10)' and state = 'active'`;
  await ended;
  assert.equal((await one.query`select 1`).length, 1);
  await close(one);
});

test("no server, no database, a wrong user: store_unavailable that can be tried later", async () => {
  for (const wrong of [
    { hosts: ["/nonexistent"] },
    { database: "nobody" },
    { user: "nobody" },
    { hosts: ["127.0.0.1"], ports: [1] },
  ]) {
    const opening = openDatabase({ target: { ...target, ...wrong }, log: silentLog });
    await assert.rejects(() => opening, { code: "store_unavailable", retry: "later" });
  }
});

test("a connection cut at any point of its start is an error, never the end of the process", async () => {
  const socket = join(target.hosts[0] ?? "", `.s.PGSQL.${target.ports[0]}`);
  for (let cutAfter = 0; cutAfter <= 4; cutAfter += 1) {
    let connections = 0;
    const proxy = net.createServer(client => {
      connections += 1;
      let answers = 0;
      const upstream = net.connect(socket);
      client.on("error", () => undefined);
      client.on("data", chunk => upstream.write(chunk));
      client.on("close", () => upstream.destroy());
      upstream.on("error", () => undefined);
      upstream.on("data", chunk => {
        answers += 1;
        if (answers > cutAfter) client.destroy();
        else client.write(chunk);
      });
    });
    await new Promise<void>(resolve => proxy.listen(0, "127.0.0.1", resolve));
    const address = proxy.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const result = await openDatabase({
      target: { ...target, hosts: ["127.0.0.1"], ports: [port] },
      log: silentLog,
    }).then(
      opened => close(opened).then(() => "opened"),
      (error: MairustError) => error.code,
    );
    assert.ok(result === "opened" || result === "store_unavailable", `cut after ${cutAfter}: ${result}`);
    assert.ok(connections <= 2, `cut after ${cutAfter}: ${connections} connections`);
    await new Promise(resolve => proxy.close(resolve));
  }
});

test("LISTEN hears, comes back after its connection was lost, and says that there was a gap", async () => {
  const heard: string[] = [];
  let gaps = 0;
  const other = await db.listen("news", payload => {
    heard.push(`1:${payload}`);
    throw new Error("a bad subscriber");
  });
  const stop = await db.listen(
    "news",
    payload => heard.push(payload),
    () => {
      gaps += 1;
    },
  );
  await db.notify("news", "one");
  await until(() => heard.length === 2);
  await db.query`select pg_terminate_backend(pid) from pg_stat_activity where query like 'listen%'`;
  await until(() => gaps === 1);
  await db.notify("news", "two");
  await until(() => heard.length === 4);
  await other();
  await db.notify("news", "three");
  await until(() => heard.length === 5);
  await stop();
  assert.deepEqual(heard, ["1:one", "one", "1:two", "two", "three"]);
  await assert.rejects(() => db.listen('a"b', () => undefined), { code: "invalid_argument" });
});

test("close() waits for what is under way and refuses the rest", async () => {
  const one = await open({ pool: 1 });
  const running = one.query`select pg_sleep(0.2)`;
  const waiting = one.query`select 1`;
  const closing = close(one);
  await assert.rejects(() => waiting, { code: "store_unavailable" });
  assert.equal((await running).length, 1);
  await closing;
  await assert.rejects(() => one.query`select 1`, { code: "store_unavailable" });
});

test("idle connections are closed, down to one", async () => {
  const one = await open({ pool: 5, idleMs: 50 });
  let inside = 0;
  let leave = () => {};
  const all = new Promise<void>(resolve => {
    leave = resolve;
  });
  // None is idle while the others come.
  const stay = () =>
    one.begin(async () => {
      if (++inside === 5) leave();
      await all;
    });
  const five = Promise.all([1, 2, 3, 4, 5].map(stay));
  await all;
  assert.equal(one.counts.open, 5);
  await five;
  await until(() => one.counts.open === 1);
  await close(one);
});

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = performance.now() + 60_000; performance.now() < end; ) {
    if (await condition()) return;
    await sleep(10);
  }
  assert.fail("it did not happen within 60 s");
}

test("readDurability() says what the server promises to keep, and what time it has", async () => {
  const { nowMs, ...rest } = await readDurability(db);
  assert.deepEqual(rest, { fsync: "on", fullPageWrites: "on", synchronousCommit: "on" });
  assert.ok(Math.abs(nowMs - Date.now()) < 60_000, String(nowMs));
});
