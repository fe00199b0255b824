import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { isWorthIt } from "../../../src/store/blobs-fs-codec.ts";
import { DirectorySync } from "../../../src/store/blobs-fs-dirs.ts";
import { BlobFiles } from "../../../src/store/blobs-fs-files.ts";
import {
  blockTable,
  placeBlocks,
  readHeader,
  tableBytes,
  writeHeader,
} from "../../../src/store/blobs-fs-format.ts";
import { blobError, syncFile } from "../../../src/store/blobs-fs-io.ts";
import { BlobLayout } from "../../../src/store/blobs-fs-layout.ts";
import { clamp } from "../../../src/store/blobs-fs-read.ts";
import { FreeSpace } from "../../../src/store/blobs-fs-space.ts";
import { FsStage } from "../../../src/store/blobs-fs-stage.ts";

test("a blob's header says form and size, and nothing else is one", () => {
  const bytes = Buffer.alloc(20);
  for (const [form, size] of [
    ["plain", 0],
    ["brotli", 4_096],
    ["blocks", 600_000],
    ["plain", 2 ** 40 + 1],
  ] as const) {
    writeHeader(bytes, form, size);
    assert.deepEqual(readHeader(bytes), { form, sizeBytes: size });
  }
  for (let at = 0; at < 9; at += 1) {
    writeHeader(bytes, "brotli", 5);
    bytes[at] = (bytes[at] ?? 0) ^ 0x80;
    assert.equal(readHeader(bytes), undefined, `octet ${at}`);
  }
  assert.equal(readHeader(bytes.subarray(0, 15)), undefined);
});

test("a table of blocks says where each lies, and one that does not fit its file is none", () => {
  const blocks = [
    { compressed: true, storedBytes: 1_000 },
    { compressed: false, storedBytes: 262_144 },
    { compressed: true, storedBytes: 7 },
  ];
  const table = blockTable(blocks);
  const sizeBytes = 2 * 262_144 + 9;
  assert.equal(table.length, tableBytes(sizeBytes));
  const fileBytes = 16 + 1_000 + 262_144 + 7 + 12;
  assert.deepEqual(placeBlocks(table, sizeBytes, fileBytes), [
    { compressed: true, storedBytes: 1_000, at: 16, sizeBytes: 262_144 },
    { compressed: false, storedBytes: 262_144, at: 1_016, sizeBytes: 262_144 },
    { compressed: true, storedBytes: 7, at: 263_160, sizeBytes: 9 },
  ]);
  assert.equal(placeBlocks(table, sizeBytes, fileBytes - 1), undefined);
  assert.equal(placeBlocks(table, sizeBytes - 3, fileBytes), undefined);
  for (let at = 0; at < table.length; at += 1) {
    const broken = Buffer.from(table);
    broken[at] = (broken[at] ?? 0) ^ 0x81;
    assert.equal(placeBlocks(broken, sizeBytes, fileBytes), undefined, `octet ${at}`);
  }
});

test("compression is kept from two octets saved in five", () => {
  assert.ok(isWorthIt(100, 60));
  assert.ok(!isWorthIt(100, 61));
  assert.ok(isWorthIt(0, 0));
});

test("clamp() gives a range within the blob whatever is asked", () => {
  assert.deepEqual(clamp(undefined, 10), { start: 0, end: 10 });
  assert.deepEqual(clamp({ start: 2, end: 99 }, 10), { start: 2, end: 10 });
  assert.deepEqual(clamp({ start: -5, end: 3 }, 10), { start: 0, end: 3 });
  assert.deepEqual(clamp({ start: 8, end: 3 }, 10), { start: 8, end: 8 });
  assert.deepEqual(clamp({ start: 20, end: 30 }, 10), { start: 10, end: 10 });
});

test("disk, quota and file size limits are disk_full, the rest is store_unavailable", () => {
  const from = (code: string) => blobError(Object.assign(new Error("x"), { code }), "write").code;
  for (const code of ["ENOSPC", "EDQUOT", "EFBIG"]) assert.equal(from(code), "disk_full");
  for (const code of ["EIO", "EROFS", "EACCES", "EMFILE"]) assert.equal(from(code), "store_unavailable");
});

test("free space goes down with what was taken since the file system was asked", async () => {
  const all = await new FreeSpace(tmpdir(), () => 0).refresh();
  const space = new FreeSpace(tmpdir(), () => all - 1_000_000_000);
  await space.refresh();
  space.take(600_000_000);
  assert.throws(() => space.take(600_000_000), { code: "disk_full", retry: "later" });
  await space.refresh();
  space.take(600_000_000);
});

/** A file system whose free room and clock the test sets; each answer waits for `answer()`. */
function fakeDisk(freeBytes: number) {
  const waiting: Array<() => void> = [];
  const disk = {
    freeBytes,
    now: 0,
    fails: false,
    asked: 0,
    answer: () => {
      for (const one of waiting.splice(0)) one();
    },
    probe: {
      now: () => disk.now,
      freeBytes: (_path: string) => {
        disk.asked += 1;
        return new Promise<number>((resolve, reject) => {
          waiting.push(() => (disk.fails ? reject(new Error("stale handle")) : resolve(disk.freeBytes)));
        });
      },
    },
  };
  return disk;
}

test("after idle hours the first message waits for the disk's answer, and all that come share one question", async () => {
  const disk = fakeDisk(1_000);
  const space = new FreeSpace("/", () => 500, disk.probe);
  const first = space.refresh();
  disk.answer();
  await first;
  disk.now = 5 * 3_600_000;
  disk.freeBytes = 10;
  const judged = [space.take(1), space.take(1), space.take(1)];
  assert.equal(disk.asked, 2);
  disk.answer();
  for (const one of judged) await assert.rejects(async () => one, { code: "disk_full" });
});

test("within the age limit a message is judged at once, and the disk is asked beside it", async () => {
  const disk = fakeDisk(1_000);
  const space = new FreeSpace("/", () => 500, disk.probe);
  const first = space.refresh();
  disk.answer();
  await first;
  disk.now = 2_000;
  assert.equal(space.take(100), undefined);
  assert.equal(space.take(100), undefined);
  assert.equal(disk.asked, 2);
  disk.answer();
});

test("a disk that cannot be asked refuses nobody and is not asked by every message", async () => {
  const disk = fakeDisk(1_000);
  const space = new FreeSpace("/", () => 500, disk.probe);
  disk.fails = true;
  const first = space.take(100);
  disk.answer();
  await first;
  assert.equal(space.take(100), undefined);
  assert.equal(disk.asked, 1);
});

test("another minimum of free disk counts from the next message on", async () => {
  const disk = fakeDisk(1_000);
  let minimum = 500;
  const space = new FreeSpace("/", () => minimum, disk.probe);
  const first = space.refresh();
  disk.answer();
  await first;
  assert.equal(space.take(100), undefined);
  minimum = 5_000;
  assert.throws(() => space.take(100), { code: "disk_full" });
});

test("a stage whose room was refused cannot be finished with bytes missing", async () => {
  const disk = fakeDisk(10);
  const space = new FreeSpace("/", () => 500, disk.probe);
  const layout = new BlobLayout("/nowhere");
  const stage = new FsStage({
    files: new BlobFiles(layout, new DirectorySync()),
    space,
    compress: false,
  });
  const refused = stage.write(Buffer.from("x"));
  disk.answer();
  await assert.rejects(async () => refused, { code: "disk_full" });
  await assert.rejects(() => stage.finish(), { code: "disk_full" });
  await stage.abort();
});

test("a directory whose fsync failed once takes nothing more, and the others do", async () => {
  const folder = mkdtempSync(join(tmpdir(), "mairust-dirs-"));
  const other = mkdtempSync(join(tmpdir(), "mairust-dirs-"));
  let fails = true;
  const dirs = new DirectorySync(fd =>
    fails ? Promise.reject(Object.assign(new Error("i/o error"), { code: "EIO" })) : syncFile(fd),
  );
  const first = dirs.sync(folder);
  const shared = dirs.sync(folder);
  await assert.rejects(first, { code: "EIO" });
  await assert.rejects(shared, { code: "store_unavailable" });
  fails = false;
  await assert.rejects(dirs.sync(folder), { code: "store_unavailable", message: /i\/o error/ });
  await dirs.sync(other);
  await dirs.close();
  rmSync(folder, { recursive: true });
  rmSync(other, { recursive: true });
});

test("temporary names differ between instances of one host and process number", () => {
  const names = [new BlobLayout("/b"), new BlobLayout("/b")].map(layout => layout.temporary());
  assert.notEqual(names[0], names[1]);
});

test("directory fsyncs that come while one runs share the next", async () => {
  const folder = mkdtempSync(join(tmpdir(), "mairust-dirs-"));
  let calls = 0;
  const dirs = new DirectorySync(fd => {
    calls += 1;
    return syncFile(fd);
  });
  await dirs.sync(folder);
  await Promise.all(Array.from({ length: 50 }, () => dirs.sync(folder)));
  assert.equal(calls, 3, "one alone, one for the first of many, one for all others");
  await dirs.sync(folder);
  await assert.rejects(() => dirs.sync(join(folder, "none")), { code: "ENOENT" });
  await dirs.close();
  rmSync(folder, { recursive: true });
});
