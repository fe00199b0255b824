import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { DirectorySync } from "../../../src/store/blobs-fs-dirs.ts";
import { isWorthIt, readHeader, writeHeader } from "../../../src/store/blobs-fs-format.ts";
import { blobError, syncFile } from "../../../src/store/blobs-fs-io.ts";
import { clamp } from "../../../src/store/blobs-fs-read.ts";
import { FreeSpace } from "../../../src/store/blobs-fs-space.ts";

test("a blob's header says codec and size, and nothing else is one", () => {
  const bytes = Buffer.alloc(20);
  for (const [codec, size] of [
    ["none", 0],
    ["brotli", 4_096],
    ["none", 2 ** 40 + 1],
  ] as const) {
    writeHeader(bytes, codec, size);
    assert.deepEqual(readHeader(bytes), { codec, sizeBytes: size });
  }
  for (let at = 0; at < 9; at += 1) {
    writeHeader(bytes, "brotli", 5);
    bytes[at] = (bytes[at] ?? 0) ^ 0x80;
    assert.equal(readHeader(bytes), undefined, `octet ${at}`);
  }
  assert.equal(readHeader(bytes.subarray(0, 15)), undefined);
});

test("compression is kept from one octet saved in twenty", () => {
  assert.ok(isWorthIt(100, 95));
  assert.ok(!isWorthIt(100, 96));
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
  const all = await new FreeSpace(tmpdir(), 0).refresh();
  const space = new FreeSpace(tmpdir(), all - 1_000_000_000);
  await space.refresh();
  space.take(600_000_000);
  assert.throws(() => space.take(600_000_000), { code: "disk_full", retry: "later" });
  await space.refresh();
  space.take(600_000_000);
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
