/** Memory is given back when it is its owner's alone; what small Buffers share stays, however large a share of it is. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { freeBytes } from "../../../src/platform/free-bytes.ts";

test("large memory is empty afterwards, with all that shares it, and may be given twice", () => {
  const bytes = Buffer.allocUnsafeSlow(20_000);
  const part = bytes.subarray(5, 10);
  freeBytes(part);
  freeBytes(bytes);
  assert.deepEqual([bytes.length, part.length], [0, 0]);
});

test("small memory stays", () => {
  const bytes = Buffer.alloc(8192, 1);
  freeBytes(bytes);
  assert.equal(bytes.length, 8192);
});

test("a pool of Buffers stays, also one of 64 KiB as newer Node.js has", () => {
  const { poolSize } = Buffer;
  Buffer.poolSize = 65_536;
  try {
    // What is left of the pool before is used up first.
    for (let i = 0; i < 100; i += 1) Buffer.allocUnsafe(1000);
    const [first, second] = [Buffer.from("a".repeat(10_000)), Buffer.from("b".repeat(10_000))];
    assert.equal(first.buffer, second.buffer, "they share");
    freeBytes(first);
    assert.equal(second.toString(), "b".repeat(10_000));
  } finally {
    Buffer.poolSize = poolSize;
  }
});
