/** The spool of the egress ledger: nobody is told "recorded" before the disk has it, and a disk that fails keeps payloads in. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { LedgerEntry } from "../../../src/core/ports/ledger.ts";
import { openLedgerFiles } from "../../../src/hooks/ledger-files.ts";
import { decodeLines, encodeLine } from "../../../src/hooks/ledger-lines.ts";
import { LedgerLoader } from "../../../src/hooks/ledger-loader.ts";
import { LedgerSpool, SEGMENT_AGE_MS, SEGMENT_BYTES } from "../../../src/hooks/ledger-spool.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { silentLog } from "../../lib/database.ts";
import { entryOf, MemoryFiles } from "./ledger.ts";

async function rig(options: { readonly maxBytes?: number } = {}) {
  const files = new MemoryFiles();
  const clock = { now: 1_000_000 };
  const spool = new LedgerSpool({ files, now: () => clock.now, ...options });
  await spool.open();
  const kept: LedgerEntry[] = [];
  const database = { away: false };
  const loader = new LedgerLoader({
    spool,
    files,
    log: silentLog,
    now: () => clock.now,
    async keep(entries) {
      if (database.away) throw new Error("away");
      kept.push(...entries);
    },
  });
  const record = async (entry: LedgerEntry, ms = 60_000) => {
    const deadline = deadlineAfter(ms);
    await spool.record(entry, deadline).finally(() => deadline.dispose());
  };
  return { files, clock, spool, loader, kept, database, record };
}

/** What a start after a crash would find. */
const onDisk = (files: MemoryFiles) => [...files.disk.values()].flatMap(bytes => decodeLines(bytes).entries);

const code = (wanted: string) => (error: unknown) =>
  error instanceof Error && "code" in error && error.code === wanted;

test("record() resolves when the entry is on the disk and not before; what waited meanwhile is one write", async () => {
  const { files, record } = await rig();
  let release = () => {};
  const held = new Promise<void>(done => {
    release = done;
  });
  files.beforeWrite = () => held;
  const resolved: number[] = [];
  const calls = [1, 2, 3, 4].map(async n => {
    await (n === 1 ? undefined : new Promise(setImmediate));
    await record(entryOf(n));
    // Whoever is told so can rely on it.
    assert.ok(onDisk(files).some(({ callId }) => callId === entryOf(n).callId));
    resolved.push(n);
  });
  for (let i = 0; i < 10; i++) await new Promise(setImmediate);
  assert.deepEqual([resolved, onDisk(files)], [[], []]);
  release();
  await Promise.all(calls);
  assert.deepEqual(
    onDisk(files),
    [1, 2, 3, 4].map(n => entryOf(n)),
  );
  assert.equal(files.writes.length, 2);
});

test("real segments are written with O_DSYNC, so that a write that returned is durable", async t => {
  const dir = await mkdtemp(join(tmpdir(), "mairust-ledger-"));
  t.after(() => rm(dir, { recursive: true }));
  const spool = new LedgerSpool({ files: await openLedgerFiles(dir), now: Date.now });
  await spool.open();
  const deadline = deadlineAfter(60_000);
  await spool.record(entryOf(1), deadline);
  deadline.dispose();
  const [name = ""] = await readdir(dir);
  assert.deepEqual(decodeLines(readFileSync(join(dir, name))).entries, [entryOf(1)]);
  if (process.platform === "linux") {
    const flags = readdirSync("/proc/self/fdinfo").flatMap(fd => openFlags(fd, join(dir, name)));
    // O_DSYNC, asm-generic/fcntl.h.
    assert.deepEqual(
      flags.map(flag => flag & 0o10000),
      [0o10000],
    );
  }
  await spool.close();
});

function openFlags(fd: string, path: string): readonly number[] {
  try {
    const info = readFileSync(`/proc/self/fdinfo/${fd}`, "utf8");
    return readlinkSync(`/proc/self/fd/${fd}`) === path
      ? [Number.parseInt(/flags:\s*(\d+)/u.exec(info)?.[1] ?? "0", 8)]
      : [];
  } catch {
    return [];
  }
}

test("a disk that is full or fails: the call hears it, and what was recorded before stays", async () => {
  for (const [errno, wanted] of [
    ["ENOSPC", "disk_full"],
    ["EIO", "internal"],
  ] as const) {
    const { files, spool, loader, kept, record } = await rig();
    await record(entryOf(1));
    files.failure = Object.assign(new Error(errno), { code: errno });
    await assert.rejects(record(entryOf(2, { hook: "a longer line" })), code(wanted));
    assert.match(String(spool.failure), new RegExp(errno));
    files.failure = undefined;
    await record(entryOf(3));
    assert.equal(spool.failure, undefined);
    assert.ok([...files.disk.values()].every(bytes => decodeLines(bytes).damaged === 0));
    await loader.load();
    assert.deepEqual(kept, [entryOf(1), entryOf(3)]);
    await assert.rejects(record(entryOf(4, { hook: "x".repeat(300_000) })), code("internal"));
  }
});

test("a disk that is full at the start stops only the calls, until there is room", async () => {
  const files = new MemoryFiles();
  const create = files.create.bind(files);
  files.create = () => Promise.reject(Object.assign(new Error("ENOSPC"), { code: "ENOSPC" }));
  const spool = new LedgerSpool({ files, now: () => 1 });
  await spool.open();
  const deadline = deadlineAfter(60_000);
  await assert.rejects(spool.record(entryOf(1), deadline), code("disk_full"));
  assert.match(String(spool.failure), /ENOSPC/u);
  files.create = create;
  await spool.record(entryOf(2), deadline);
  deadline.dispose();
  assert.deepEqual([onDisk(files), spool.failure], [[entryOf(2)], undefined]);
});

test("while the database is away the spool grows to its bound; then nothing is recorded until it is back", async () => {
  const line = encodeLine(entryOf(1)).length;
  const { spool, loader, kept, database, record } = await rig({ maxBytes: 3 * line });
  database.away = true;
  for (const n of [1, 2, 3]) await record(entryOf(n));
  await loader.tryLoad();
  await assert.rejects(record(entryOf(4)), code("disk_full"));
  assert.equal(spool.pendingBytes, 3 * line);
  database.away = false;
  await loader.tryLoad();
  assert.equal(spool.pendingBytes, 0);
  await record(entryOf(4));
  await loader.load();
  assert.deepEqual(
    kept,
    [1, 2, 3, 4].map(n => entryOf(n)),
  );
});

test("a call that is given up hears its deadline, and one that waits longer is still recorded", async () => {
  const { files, record, spool } = await rig();
  let release = () => {};
  files.beforeWrite = () =>
    new Promise<void>(done => {
      release = done;
    });
  const patient = record(entryOf(1));
  await assert.rejects(record(entryOf(2), 1), code("deadline"));
  release();
  files.beforeWrite = async () => undefined;
  await patient;
  await spool.close();
  await assert.rejects(record(entryOf(3)), code("internal"));
});

test("full segments are followed by others, loaded once and taken away; an old one ends by itself", async () => {
  const { files, clock, spool, loader, kept, record } = await rig();
  const fields = ["x".repeat(100_000)];
  const count = Math.ceil((2.5 * SEGMENT_BYTES) / 100_000);
  for (let n = 0; n < count; n++) await record(entryOf(n, { fields }));
  assert.ok(files.disk.size >= 3);
  await loader.load();
  await loader.load();
  assert.equal(kept.length, count);
  assert.equal(new Set(kept.map(({ callId }) => callId)).size, count);
  const [current] = [...files.disk.keys()].slice(-1);
  clock.now += SEGMENT_AGE_MS;
  await loader.tryLoad();
  assert.ok(!files.disk.has(String(current)) && files.disk.size >= 1);
  await record(entryOf(count));
  await spool.close();
  await loader.load();
  assert.deepEqual([kept.length, files.disk.size, files.aside], [count + 1, 0, []]);
});

test("an old segment is never closed under a write", async () => {
  const { files, clock, spool, loader, kept, record } = await rig();
  const open = new Set<string>();
  const tooEarly: string[] = [];
  const create = files.create.bind(files);
  files.create = async (name, sizeBytes) => {
    const file = await create(name, sizeBytes);
    return {
      async write(bytes, position) {
        open.add(name);
        await new Promise(setImmediate);
        await file.write(bytes, position);
        open.delete(name);
      },
      async close() {
        if (open.has(name)) tooEarly.push(name);
      },
    };
  };
  // A call comes at each moment that there is while the next segment is made and begun.
  const moments = Array.from({ length: 30 }, (_, n) => n);
  for (const moment of moments) {
    clock.now += SEGMENT_AGE_MS;
    const rotated = spool.rotateOld();
    for (let i = 0; i < moment; i++) await undefined;
    await Promise.all([record(entryOf(moment)), rotated]);
  }
  await loader.load();
  assert.deepEqual([tooEarly, kept], [[], moments.map(n => entryOf(n))]);
});

test("what another process left is loaded at once, and taken away when nobody writes to it any more", async () => {
  const { files, clock, loader, kept } = await rig();
  const lines = Buffer.concat([encodeLine(entryOf(1)), encodeLine(entryOf(2)).subarray(0, 40)]);
  const left = Buffer.alloc(SEGMENT_BYTES);
  left.set(lines);
  files.disk.set("00000000900000-aa", left);
  await loader.load();
  assert.deepEqual(kept, [entryOf(1)]);
  assert.ok(files.disk.has("00000000900000-aa"));
  clock.now += 7 * SEGMENT_AGE_MS;
  await loader.load();
  assert.deepEqual([kept.length, files.disk.has("00000000900000-aa")], [1, false]);
});

test("a damaged line is left out, and its segment is kept for people", async () => {
  const { files, clock, loader, kept } = await rig();
  const left = Buffer.concat([encodeLine(entryOf(1)), encodeLine(entryOf(2))]);
  left[30] = 0x7e;
  files.disk.set("00000000900000-aa", left);
  clock.now += 7 * SEGMENT_AGE_MS;
  await loader.load();
  assert.deepEqual([kept, files.aside], [[entryOf(2)], ["00000000900000-aa"]]);
});

test("while the database is away, a spool of few entries takes no more disk than those", async () => {
  const { files, clock, spool, loader, kept, database, record } = await rig();
  database.away = true;
  for (let n = 1; n <= 20; n++) {
    await record(entryOf(n));
    clock.now += SEGMENT_AGE_MS;
    await loader.tryLoad();
  }
  const sizes = [...files.disk.values()].map(bytes => bytes.length);
  const large = sizes.filter(size => size > 1000);
  assert.deepEqual([sizes.length, large], [21, [SEGMENT_BYTES]]);
  assert.ok(spool.pendingBytes < 20_000);
  database.away = false;
  await loader.load();
  assert.deepEqual([kept.length, files.disk.size], [20, 1]);
});

test("a real segment is as long as its entries once nothing more is written to it", async t => {
  const dir = await mkdtemp(join(tmpdir(), "mairust-ledger-"));
  t.after(() => rm(dir, { recursive: true }));
  const files = await openLedgerFiles(dir);
  const file = await files.create("one", SEGMENT_BYTES);
  const line = encodeLine(entryOf(1));
  await file.write(line, 0);
  await file.close(line.length);
  assert.deepEqual(await files.list(), [{ name: "one", sizeBytes: line.length }]);
  assert.deepEqual(decodeLines(await files.read("one", 0, SEGMENT_BYTES)).entries, [entryOf(1)]);
});
