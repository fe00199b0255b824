/** Wherever a reader stops, the blob it read from is closed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { blobDigest } from "../../../../src/core/ids.ts";
import { startRead } from "../../../../src/protocols/imap/blob-reader.ts";

const PIECE = 50_000;
const DIGEST = blobDigest("cd".repeat(32));

/** A blob of `pieces` pieces that says how often it was opened and closed. */
function blobOf(pieces: number) {
  const seen = { opened: 0, closed: 0 };
  const get = async function* () {
    seen.opened += 1;
    try {
      for (let i = 0; i < pieces; i += 1) yield Buffer.alloc(PIECE, i);
    } finally {
      seen.closed += 1;
    }
  };
  return { seen, blobs: { open: async () => get() } };
}

test("a reader that stops at any piece closes the blob, and so does one that never begins", async () => {
  const pieces = 5;
  for (let stopAt = 1; stopAt <= pieces + 1; stopAt += 1) {
    const { seen, blobs } = blobOf(pieces);
    const read = await startRead(blobs, DIGEST, { start: 0, end: pieces * PIECE });
    let taken = 0;
    for await (const _ of read.chunks()) {
      taken += 1;
      if (taken === stopAt) break;
    }
    assert.deepEqual(seen, { opened: 1, closed: 1 }, `stopped at piece ${stopAt}`);
  }
  const { seen, blobs } = blobOf(pieces);
  await (await startRead(blobs, DIGEST, { start: 0, end: pieces * PIECE })).drop();
  assert.deepEqual(seen, { opened: 1, closed: 1 });
});

test("a small blob comes whole, and nothing is left to be closed", async () => {
  const bytes = Buffer.alloc(PIECE, 7);
  const blobs = { open: async () => bytes };
  const read = await startRead(blobs, DIGEST, { start: 0, end: PIECE });
  assert.deepEqual(read.whole, [bytes]);
  await read.drop();
  for (const wanted of [PIECE - 1, PIECE + 1])
    await assert.rejects(startRead(blobs, DIGEST, { start: 0, end: wanted }), { code: "blob_damaged" });
});

test("too few octets, and too many, are damage, and the blob is closed", async () => {
  for (const wanted of [4 * PIECE - 1, 4 * PIECE + 1]) {
    const { seen, blobs } = blobOf(4);
    await assert.rejects(
      async () => {
        for await (const _ of (await startRead(blobs, DIGEST, { start: 0, end: wanted })).chunks());
      },
      { code: "blob_damaged" },
    );
    assert.deepEqual(seen, { opened: 1, closed: 1 });
  }
});
