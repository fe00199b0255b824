import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import fs, {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { brotliCompressSync, constants } from "node:zlib";
import type { BlobDigest } from "../../../src/core/ids.ts";
import type { Log } from "../../../src/core/ports/log.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { type FsBlobStore, openFsBlobs } from "../../../src/store/blobs-fs.ts";
import { writeHeader } from "../../../src/store/blobs-fs-format.ts";
import { runTool } from "../../../src/store/embedded-process.ts";
import { type BlobHarness, blobStoreSuite, put, read, textOf } from "./suite.ts";

const quiet: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => quiet };

const pathOf = (root: string, digest: BlobDigest) => join(root, digest.slice(0, 2), digest.slice(2));

async function makeHarness(
  compression: "brotli" | "none",
): Promise<BlobHarness & { root: string; store: FsBlobStore }> {
  const root = mkdtempSync(join(tmpdir(), "mairust-blobs-"));
  const store = await openFsBlobs({ path: root, compression, minFreeBytes: () => 0, log: quiet });
  return {
    root,
    store,
    damage: async (digest, how) => {
      const path = pathOf(root, digest);
      const bytes = readFileSync(path);
      if (how === "cut") truncateSync(path, bytes.length - 1);
      else {
        const middle = bytes.length >> 1;
        bytes[middle] = (bytes[middle] ?? 0) ^ 0xff;
        writeFileSync(path, bytes);
      }
    },
    objects: async () => listFiles(root),
    close: async () => {
      await store.close();
      rmSync(root, { recursive: true });
    },
  };
}

function listFiles(root: string): string[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name));
}

blobStoreSuite("fs with brotli", () => makeHarness("brotli"));
blobStoreSuite("fs without compression", () => makeHarness("none"));

test("blobs and their folders belong to their owner alone", async () => {
  const { root, store, close } = await makeHarness("brotli");
  const { digest } = await put(store, textOf(10_000));
  assert.equal(statSync(pathOf(root, digest)).mode & 0o777, 0o600);
  assert.equal(statSync(join(root, digest.slice(0, 2))).mode & 0o777, 0o700);
  assert.equal(statSync(join(root, "tmp")).mode & 0o777, 0o700);
  await close();
});

test("a store that was opened with another codec reads what is there", async () => {
  const { root, store, close } = await makeHarness("brotli");
  const bytes = textOf(50_000);
  const { digest, codec } = await put(store, bytes);
  assert.equal(codec, "brotli");
  const other = await openFsBlobs({ path: root, compression: "none", minFreeBytes: () => 0, log: quiet });
  assert.deepEqual(await read(other, digest), bytes);
  assert.equal((await put(other, textOf(50_001))).codec, "none");
  await other.close();
  await close();
});

test("a large message is compressed where it is text, and each reader gives its file back whenever it leaves", async () => {
  const { store, close } = await makeHarness("brotli");
  const bytes = Buffer.concat([textOf(600_000), randomBytes(600_000), textOf(700_000)]);
  const record = await put(store, bytes);
  assert.equal(record.codec, "brotli");
  assert.ok(record.storedBytes > 600_000 && record.storedBytes < 1_300_000, `${record.storedBytes}`);
  const openFiles = () => readdirSync("/proc/self/fd").length;
  const before = openFiles();
  const all = await Promise.all(
    Array.from({ length: 20 }, async (_, i) => {
      const parts: Uint8Array[] = [];
      for await (const part of store.get(record.digest)) {
        parts.push(part);
        if (parts.length === i) break;
      }
      return Buffer.concat(parts);
    }),
  );
  for (const got of all) assert.ok(bytes.subarray(0, got.length).equals(got));
  assert.ok(all.some(got => got.length === bytes.length));
  assert.equal(openFiles(), before);
  await close();
});

test("bytes that do not shrink are stored as they are", async () => {
  const { store, close } = await makeHarness("brotli");
  for (const size of [10_000, 500_000]) assert.equal((await put(store, randomBytes(size))).codec, "none");
  await close();
});

test("a blob that is stored again gets a new modification time", async () => {
  for (const size of [5_000, 300_000]) {
    const { root, store, close } = await makeHarness("brotli");
    const { digest } = await put(store, textOf(size));
    const old = new Date(Date.now() - 5 * 86_400_000);
    utimesSync(pathOf(root, digest), old, old);
    await put(store, textOf(size));
    assert.ok(Date.now() - statSync(pathOf(root, digest)).mtimeMs < 60_000);
    await close();
  }
});

test("storing again heals what a disk did to the file, whatever its size, and open readers keep theirs", async () => {
  for (const bytes of [textOf(5_000), textOf(900_000), randomBytes(900_000)]) {
    const { root, store, damage, close } = await makeHarness("brotli");
    const { digest } = await put(store, bytes);
    const reader = store.get(digest)[Symbol.asyncIterator]();
    const parts = [(await reader.next()).value];
    await put(store, bytes);
    for (let part = await reader.next(); part.done !== true; part = await reader.next())
      parts.push(part.value);
    assert.deepEqual(Buffer.concat(parts), bytes);
    for (const how of ["cut", "flip"] as const) {
      await damage(digest, how);
      await put(store, bytes);
      await store.verify(digest);
    }
    assert.equal(listFiles(root).length, 1);
    await close();
  }
});

test("at every start the blob folder and what holds it are made durable", async t => {
  const top = mkdtempSync(join(tmpdir(), "mairust-blobs-"));
  const root = join(top, "made", "blobs");
  const synced: string[] = [];
  const { fsync } = fs;
  t.mock.method(fs, "fsync", (fd: number, done: fs.NoParamCallback) => {
    synced.push(fs.readlinkSync(`/proc/self/fd/${fd}`));
    fsync(fd, done);
  });
  syncBuiltinESMExports();
  for (const folders of [
    [root, join(top, "made"), top],
    [root, join(top, "made")],
  ]) {
    await (await openFsBlobs({ path: root, compression: "none", minFreeBytes: () => 0, log: quiet })).close();
    assert.deepEqual(synced.splice(0), folders);
  }
  t.mock.restoreAll();
  syncBuiltinESMExports();
  rmSync(top, { recursive: true });
});

test("below the minimum of free disk nothing is taken", async () => {
  const { root, close } = await makeHarness("brotli");
  const store = await openFsBlobs({
    path: root,
    compression: "brotli",
    minFreeBytes: () => Number.MAX_SAFE_INTEGER,
    log: quiet,
  });
  const stage = store.stage();
  await assert.rejects(async () => stage.write(Buffer.from("x")), { code: "disk_full", retry: "later" });
  await stage.abort();
  await store.close();
  await close();
});

test("what runs out while writing is disk_full, and leaves nothing behind", async () => {
  const root = mkdtempSync(join(tmpdir(), "mairust-blobs-"));
  const program = `
    import { randomBytes } from "node:crypto";
    import { openFsBlobs } from ${JSON.stringify(join(import.meta.dirname, "../../../src/store", sourceName("blobs-fs")))};
    const log = { debug() {}, info() {}, warn() {}, error() {}, child: () => log };
    const store = await openFsBlobs({ path: ${JSON.stringify(root)}, compression: "none", minFreeBytes: () => 0, log });
    for (const size of [100000, 3000000]) {
      const stage = store.stage();
      try {
        for (let at = 0; at < size; at += 50000) await stage.write(randomBytes(50000));
        await (await stage.finish()).persist();
        console.log("stored");
      } catch (error) { console.log(error.code); await stage.abort(); }
    }
    await store.close();`;
  const script = join(root, "..", `${root.split("/").at(-1)}.mjs`);
  writeFileSync(script, program);
  const deadline = deadlineAfter(20_000);
  const node = [process.execPath, ...process.execArgv.filter(arg => !arg.startsWith("--test"))]
    .map(a => `'${a}'`)
    .join(" ");
  // The largest file may have 64 KiB: EFBIG takes the way of ENOSPC and EDQUOT.
  const { output } = await runTool(["bash", "-c", `ulimit -f 64; exec ${node} ${script}`], deadline);
  deadline.dispose();
  assert.match(output, /disk_full\ndisk_full\n/);
  assert.deepEqual(listFiles(root), []);
  rmSync(root, { recursive: true });
  rmSync(script);
});

/** The tests run from source and compiled. */
function sourceName(name: string): string {
  return `${name}${import.meta.filename.endsWith(".ts") ? ".ts" : ".js"}`;
}

test("leftovers are removed at start by age: of this host's dead sooner, what may be in use elsewhere never", async () => {
  const root = mkdtempSync(join(tmpdir(), "mairust-blobs-"));
  mkdirSync(join(root, "tmp"));
  const host = hostname().replace(/[^A-Za-z0-9-]/g, "_");
  const hoursAgo = (hours: number) => new Date(Date.now() - hours * 3_600_000);
  const same = `${host}.${process.pid}`;
  const files: ReadonlyArray<readonly [name: string, modified: Date | undefined, stays: boolean]> = [
    // Another container of that name may have this number.
    [`${host}.2147483646.aa.1`, hoursAgo(5), true],
    [`${host}.2147483646.aa.2`, hoursAgo(7), false],
    [`${host}.1.aa.1`, hoursAgo(7), true],
    [`${host}.1.aa.2`, hoursAgo(25), false],
    [`${same}.aa.1`, hoursAgo(5), true],
    [`${same}.aa.2`, hoursAgo(7), false],
    ["otherhost.5.aa.1", hoursAgo(7), true],
    ["otherhost.5.aa.2", hoursAgo(25), false],
  ];
  for (const [name, modified] of files) {
    writeFileSync(join(root, "tmp", name), "x");
    if (modified !== undefined) utimesSync(join(root, "tmp", name), modified, modified);
  }
  const store = await openFsBlobs({ path: root, compression: "none", minFreeBytes: () => 0, log: quiet });
  assert.deepEqual(
    readdirSync(join(root, "tmp")).sort(),
    files
      .filter(f => f[2])
      .map(f => f[0])
      .sort(),
  );
  await store.close();
  rmSync(root, { recursive: true });
});

test("a file that unpacks to more than its header says is blob_damaged, not a hundred megabytes", async () => {
  const { root, store, close } = await makeHarness("brotli");
  const { digest } = await put(store, textOf(10_000));
  const bomb = brotliCompressSync(Buffer.alloc(100_000_000), {
    params: { [constants.BROTLI_PARAM_QUALITY]: 1 },
  });
  for (const claimed of [5_000, 700_000]) {
    const header = Buffer.alloc(16);
    writeHeader(header, "brotli", claimed);
    writeFileSync(pathOf(root, digest), Buffer.concat([header, bomb]));
    let given = 0;
    await assert.rejects(
      async () => {
        for await (const chunk of store.get(digest, { start: 0, end: claimed + 1 })) given += chunk.length;
      },
      { code: "blob_damaged" },
    );
    assert.ok(given <= claimed);
  }
  await close();
});

test("taking a large message keeps memory small", async () => {
  const { store, close } = await makeHarness("brotli");
  const chunk = textOf(65_536);
  const before = process.memoryUsage().external;
  let most = 0;
  const stages = Array.from({ length: 10 }, () => store.stage());
  for (let i = 0; i < 160; i += 1) {
    await Promise.all(stages.map(stage => stage.write(chunk)));
    most = Math.max(most, process.memoryUsage().external - before);
  }
  await Promise.all(stages.map(stage => stage.abort()));
  // Garbage that was not collected yet counts too; each message has 10 MB.
  assert.ok(most / stages.length < 3 * 1024 * 1024, `${Math.round(most / stages.length)} octets each`);
  await close();
});
