import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { deadlineAfter, sleep } from "../../../src/platform/deadline.ts";
import { type Db, openDatabase } from "../../../src/store/db.ts";
import type { DatabaseTarget } from "../../../src/store/db-url.ts";
import { type EmbeddedOptions, EmbeddedPostgres } from "../../../src/store/embedded.ts";
import { canRead, findPackage, prepareBinaries } from "../../../src/store/embedded-binaries.ts";
import { readPostmaster } from "../../../src/store/embedded-cluster.ts";
import { chooseIdentity } from "../../../src/store/embedded-identity.ts";
import { isAlive, runTool } from "../../../src/store/embedded-process.ts";
import { serverArguments } from "../../../src/store/embedded-settings.ts";
import { silentLog } from "../../lib/database.ts";
import { skipUnless } from "../../lib/not-here.ts";
import { makeZombie } from "../../lib/zombie.ts";
import { type Folder, makeFolder } from "./folder.ts";

const LIMIT_MS = 60_000;
const isRoot = process.geteuid?.() === 0;
const NOBODY = { uid: 65_534, gid: 65_534 };
/** The tests' own code must be within its reach. */
const nobodyCanRun = isRoot && canRead(import.meta.dirname, NOBODY);
const hasSetpriv = existsSync("/usr/bin/setpriv");

async function start(folder: Folder, options: Partial<EmbeddedOptions> = {}) {
  const server = new EmbeddedPostgres({
    dataDir: folder.path,
    runtimeDir: `${folder.path}/run`,
    log: silentLog,
    ...options,
  });
  const deadline = deadlineAfter(LIMIT_MS);
  try {
    return { server, target: await server.start(deadline) };
  } finally {
    deadline.dispose();
  }
}

async function stop(server: EmbeddedPostgres): Promise<void> {
  const deadline = deadlineAfter(LIMIT_MS);
  await server.stop(deadline);
  deadline.dispose();
}

async function withDb<T>(target: DatabaseTarget, work: (db: Db) => Promise<T>): Promise<T> {
  const db = await openDatabase({ target, log: silentLog, pool: 2 });
  const deadline = deadlineAfter(LIMIT_MS);
  try {
    return await work(db);
  } finally {
    await db.close(deadline);
    deadline.dispose();
  }
}

async function until(condition: () => boolean | Promise<boolean>, limitMs = LIMIT_MS): Promise<void> {
  for (const end = performance.now() + limitMs; performance.now() < end; ) {
    if (await condition()) return;
    await sleep(10);
  }
  assert.fail(`it did not happen within ${limitMs} ms`);
}

const clusterOf = (folder: Folder) => join(folder.path, "postgres");

test("it is made once, found again, and set to lose nothing", async () => {
  const folder = makeFolder();
  const first = await start(folder);
  assert.equal(first.server.health().status, "ok");
  await withDb(first.target, async db => {
    await db.run`create table kept (n int)`;
    await db.run`insert into kept values (42)`;
    const settings = await db.query<{ name: string; setting: string }>`
      select name, setting from pg_settings where name in ('fsync', 'synchronous_commit', 'full_page_writes', 'listen_addresses', 'data_checksums')`;
    assert.deepEqual(Object.fromEntries(settings.map(s => [s.name, s.setting])), {
      data_checksums: "on",
      fsync: "on",
      full_page_writes: "on",
      listen_addresses: "",
      synchronous_commit: "on",
    });
    const [locale] =
      await db.query`select datlocprovider, datlocale, pg_encoding_to_char(encoding) as encoding from pg_database where datname = current_database()`;
    assert.deepEqual({ ...locale }, { datlocprovider: "b", datlocale: "C.UTF-8", encoding: "UTF8" });
  });
  assert.equal(statSync(clusterOf(folder)).mode & 0o777, 0o700);
  await stop(first.server);
  assert.equal(readPostmaster(clusterOf(folder)), undefined);
  const second = await start(folder);
  await withDb(second.target, async db => assert.deepEqual(await db.query`select n from kept`, [{ n: 42 }]));
  await stop(second.server);
  await stop(second.server);
  folder.remove();
});

test("a second service on the same folder is refused while the first one lives", async () => {
  const folder = makeFolder();
  const { server } = await start(folder);
  const holder = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "ignore" });
  await until(() => existsSync(`/proc/${holder.pid}/stat`));
  const startTime = readFileSync(`/proc/${holder.pid}/stat`, "utf8").split(" ")[21];
  await assert.rejects(() => start(folder), { code: "invalid_state" }, "this process counts too");
  await stop(server);
  writeFileSync(join(folder.path, "postgres.owner.holder"), `${holder.pid} ${startTime}\n`);
  // Twice: a refused start must not give the owner's claim away.
  for (let i = 0; i < 2; i++) {
    await assert.rejects(() => start(folder), {
      code: "invalid_state",
      message: /uses its embedded database/,
    });
  }
  holder.kill("SIGKILL");
  await until(() => !isAlive(holder.pid ?? 0));
  const again = await start(folder);
  await stop(again.server);
  folder.remove();
});

/** Another process that starts the embedded database and then waits to be killed. */
async function startParent(folder: Folder, as: { uid?: number; gid?: number } = {}): Promise<ChildProcess> {
  const extension = import.meta.filename.endsWith(".ts") ? "ts" : "js";
  const src = join(import.meta.dirname, "../../../src");
  const script = join(folder.path, "parent.mjs");
  writeFileSync(
    script,
    `import { EmbeddedPostgres } from ${JSON.stringify(`${src}/store/embedded.${extension}`)};
     import { deadlineAfter } from ${JSON.stringify(`${src}/platform/deadline.${extension}`)};
     const log = { debug() {}, info() {}, warn() {}, error: console.error, child: () => log };
     const server = new EmbeddedPostgres({ dataDir: ${JSON.stringify(join(folder.path, "data"))}, runtimeDir: "/tmp", log });
     await server.start(deadlineAfter(${LIMIT_MS}));
     console.log("ready " + server.health().pid);
     setInterval(() => {}, 1000);`,
  );
  const args = [...process.execArgv.filter(arg => !arg.startsWith("--test")), script];
  const child = spawn(process.execPath, args, { ...as, stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.on("data", chunk => {
    output += chunk;
  });
  await until(() => output.includes("ready") || child.exitCode !== null, LIMIT_MS);
  assert.match(output, /ready/, `the parent ended with ${child.exitCode}`);
  return child;
}

test("kill -9 of the service ends the database too, and the next start works at once", {
  skip: skipUnless(hasSetpriv, "no setpriv here"),
}, async () => {
  const folder = makeFolder();
  const data: Folder = { ...folder, path: join(folder.path, "data") };
  const parent = await startParent(folder);
  const { pid = 0 } = readPostmaster(clusterOf(data)) ?? {};
  assert.ok(isAlive(pid));
  parent.kill("SIGKILL");
  const { server, target } = await start(data);
  assert.ok(!isAlive(pid));
  assert.equal(server.health().adopted, false);
  await withDb(target, db => db.query`select 1`);
  await stop(server);
  folder.remove();
});

test("an orphan is adopted with its connections alive, watched, and stopped by us", async () => {
  const folder = makeFolder();
  const first = await start(folder);
  await stop(first.server);
  const orphan = await startOrphan(folder);
  const { server } = await start(folder);
  assert.deepEqual(
    { ...server.health(), detail: "" },
    { status: "ok", detail: "", pid: orphan.pid, adopted: true, crashes: 0 },
  );
  await stop(server);
  assert.ok(!isAlive(orphan.pid ?? 0));

  const second = await startOrphan(folder);
  const adopter = await start(folder);
  process.kill(second.pid ?? 0, "SIGQUIT");
  await until(() => adopter.server.health().crashes === 1 && adopter.server.health().status === "ok");
  assert.equal(adopter.server.health().adopted, false);
  await stop(adopter.server);
  folder.remove();
});

/** A server on the folder that nobody looks after. */
async function startOrphan(folder: Folder): Promise<ChildProcess> {
  const deadline = deadlineAfter(LIMIT_MS);
  const place = { dataDir: folder.path, clusterDir: clusterOf(folder), user: "mairust", log: silentLog };
  const identity = await chooseIdentity(place, deadline);
  const { postgres } = await prepareBinaries(folder.path, identity.as);
  const [file = "", ...args] = [
    ...identity.prefix,
    postgres,
    ...serverArguments(clusterOf(folder), clusterOf(folder)),
  ];
  const child = spawn(file, args, { ...identity.as, stdio: "ignore", detached: true, cwd: "/" });
  await until(() => readPostmaster(clusterOf(folder))?.status === "ready");
  deadline.dispose();
  return child;
}

test("a server that dies is started again, says so meanwhile, and has kept what was committed", async () => {
  const folder = makeFolder();
  const { server, target } = await start(folder);
  await withDb(target, async db => {
    await db.run`create table kept (n int)`;
    for (const signal of ["SIGQUIT", "SIGKILL"] as const) {
      await db.run`insert into kept values (1)`;
      const { pid = 0, crashes } = server.health();
      process.kill(pid, signal);
      await until(() => server.health().status === "degraded");
      assert.match(server.health().detail, /crashed/);
      await until(() => server.health().status === "ok");
      assert.equal(server.health().crashes, crashes + 1);
    }
    await until(() =>
      db.query`select n from kept`.then(
        rows => rows.length === 2,
        () => false,
      ),
    );
  });
  await stop(server);
  folder.remove();
});

for (const name of ["postmaster.pid", ".s.PGSQL.5432.lock"]) {
  test(`a ${name} that names somebody else, a zombie or nobody does not stop the start`, async () => {
    const folder = makeFolder();
    const first = await start(folder);
    const file = join(clusterOf(folder), name);
    const lines = readFileSync(file, "utf8").split("\n").slice(1);
    assert.equal(lines[0], clusterOf(folder));
    await stop(first.server);
    const stranger = spawn("sleep", ["60"], { stdio: "ignore" });
    const zombie = await makeZombie();
    for (const pid of [stranger.pid ?? 0, zombie.pid, 2_147_483_646]) {
      writeFileSync(file, [String(pid), ...lines].join("\n"));
      const { server } = await start(folder);
      await stop(server);
    }
    stranger.kill();
    zombie.parent.kill();
    folder.remove();
  });
}

test("an initdb that was cut short leaves nothing in the way", async () => {
  const folder = makeFolder();
  mkdirSync(join(folder.path, "postgres.partial"));
  writeFileSync(join(folder.path, "postgres.partial", "PG_VERSION"), "18\n");
  const { server } = await start(folder);
  await stop(server);
  assert.ok(!existsSync(join(folder.path, "postgres.partial")));
  folder.remove();
});

const isClean = (said: string) =>
  /received fast shutdown request/.test(said) && !/immediate shutdown/.test(said);

test("a short deadline leaves time for a clean shutdown", async () => {
  const folder = makeFolder();
  const log = join(folder.path, "postgres.log");
  let said = "";
  // Half of it is not enough for a disk that is busy just then: once is enough to show that there is a half.
  for (let tries = 0; tries < 5 && !isClean(said); tries++) {
    const { server } = await start(folder);
    const { size } = statSync(log);
    const deadline = deadlineAfter(1_900);
    await server.stop(deadline);
    deadline.dispose();
    said = readFileSync(log).subarray(size).toString();
  }
  assert.ok(isClean(said), said);
  folder.remove();
});

test("a folder of another major version is refused with the way out", async () => {
  const folder = makeFolder();
  mkdirSync(clusterOf(folder), { mode: 0o700 });
  writeFileSync(join(clusterOf(folder), "PG_VERSION"), "17\n");
  await assert.rejects(() => start(folder), {
    code: "config_invalid",
    message: /is of PostgreSQL 17, the programs are 18/,
  });
  folder.remove();
});

test("a server that cannot start says why in its own words, and leaves the folder free", async () => {
  const folder = makeFolder();
  await stop((await start(folder)).server);
  const conf = join(clusterOf(folder), "postgresql.conf");
  const good = readFileSync(conf, "utf8");
  writeFileSync(conf, `${good}\nno_such_setting = 1\n`);
  await assert.rejects(() => start(folder), { message: /no_such_setting/ });
  writeFileSync(conf, good);
  await stop((await start(folder)).server);
  folder.remove();
});

test("a data folder with a long path puts its socket into runtime_dir", async () => {
  const folder = makeFolder();
  const data: Folder = { ...folder, path: join(folder.path, "d".repeat(90)) };
  const { server, target } = await start(data, { runtimeDir: join(folder.path, "run") });
  assert.deepEqual(target.hosts, [join(folder.path, "run", "postgres")]);
  assert.equal(statSync(target.hosts[0] ?? "").mode & 0o777, 0o700);
  await withDb(target, db => db.query`select 1`);
  await stop(server);
  await assert.rejects(() => start(data, { runtimeDir: join(folder.path, "r".repeat(90)) }), {
    code: "config_invalid",
    message: /runtime_dir/,
  });
  folder.remove();
});

test("as root it runs as the service user where there is one", { skip: !isRoot }, async () => {
  const folder = makeFolder();
  chmodSync(folder.path, 0o711);
  const { server, target } = await start(folder, { user: "nobody" });
  const { uid } = statSync(clusterOf(folder));
  assert.notEqual(uid, 0);
  assert.equal(statSync(`/proc/${server.health().pid}`).uid, uid);
  await withDb(target, db => db.query`select 1`);
  await stop(server);
  const owned = await start(folder, { user: "no-such-user" });
  assert.equal(statSync(`/proc/${owned.server.health().pid}`).uid, uid);
  await stop(owned.server);
  folder.remove();
});

test("programs without links, of another user or out of reach are copied once; those of ours are linked", async () => {
  const folder = makeFolder();
  const installed = findPackage();
  const found = { root: join(folder.path, "package"), version: installed.version };
  cpSync(join(installed.root, "native"), join(found.root, "native"), {
    recursive: true,
    filter: source => !lstatSync(source).isSymbolicLink(),
  });
  const deadline = deadlineAfter(LIMIT_MS);
  const runs = async (program: string, as = {}) =>
    (await runTool([program, "--version"], deadline, as)).code === 0;
  assert.ok(!(await runs(join(found.root, "native/bin/initdb"))), "the links are needed no more");

  if (isRoot) {
    const data = join(folder.path, "data");
    mkdirSync(data);
    chmodSync(folder.path, 0o711);
    const lib = join(found.root, "native", "lib");
    chownSync(lib, 65_534, 65_534);
    const copied = await prepareBinaries(data, {}, found);
    assert.ok(copied.initdb.startsWith(data) && (await runs(copied.initdb)));
    chownSync(lib, 0, 0);
    chmodSync(found.root, 0o700);
    const again = await prepareBinaries(data, { uid: 65_534, gid: 65_534 }, found);
    assert.deepEqual(again, copied);
    assert.ok(await runs(again.initdb, { uid: 65_534, gid: 65_534 }));
  }
  const linked = await prepareBinaries(folder.path, {}, found);
  assert.ok(linked.initdb.startsWith(found.root) && (await runs(linked.initdb)));
  assert.equal(linked.major, "18");
  deadline.dispose();
  folder.remove();
});

test("as an ordinary user it runs as that user", {
  skip: !nobodyCanRun || !hasSetpriv,
}, async () => {
  const folder = makeFolder();
  chownSync(folder.path, NOBODY.uid, NOBODY.gid);
  const parent = await startParent(folder, NOBODY);
  const cluster = join(folder.path, "data", "postgres");
  const { pid = 0 } = readPostmaster(cluster) ?? {};
  assert.equal(statSync(`/proc/${pid}`).uid, NOBODY.uid);
  parent.kill("SIGKILL");
  await until(() => !isAlive(pid));
  folder.remove();
});
