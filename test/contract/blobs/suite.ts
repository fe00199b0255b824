/**
 * What every blob driver must do. A driver's test file calls {@link blobStoreSuite} with a way to make an empty store; the suite knows
 * nothing of files or buckets beyond `damage`.
 */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { MairustError } from "../../../src/core/errors.ts";
import { type BlobDigest, blobDigest } from "../../../src/core/ids.ts";
import type { BlobRecord, BlobStore, ByteRange, StagedBlob } from "../../../src/core/ports/blobs.ts";

export interface BlobHarness {
  readonly store: BlobStore;
  /** Spoil what is stored: cut its last octet off, or change one octet in its middle. */
  damage(digest: BlobDigest, how: "cut" | "flip"): Promise<void>;
  /** Names of everything stored and of leftovers, to see that nothing stays behind. */
  objects(): Promise<readonly string[]>;
  close(): Promise<void>;
}

const SIZES = [0, 1, 4_079, 4_080, 4_096, 32_767, 131_072, 131_073, 1_000_003, 5_000_001];

/** Run all cases against the stores that `makeHarness` makes, each case with one of its own. */
export function blobStoreSuite(name: string, makeHarness: () => Promise<BlobHarness>): void {
  const withStore = (title: string, body: (harness: BlobHarness) => Promise<void>) =>
    test(`${name}: ${title}`, async () => {
      const harness = await makeHarness();
      try {
        await body(harness);
      } finally {
        await harness.close();
      }
    });

  for (const kind of ["text", "noise"] as const) {
    withStore(`${kind} of every size comes back as it was stored`, async ({ store }) => {
      for (const size of SIZES) {
        const bytes = kind === "text" ? textOf(size) : randomBytes(size);
        const record = await put(store, bytes);
        assert.equal(record.sizeBytes, size);
        assert.equal(record.digest, sha256(bytes));
        assert.deepEqual(await read(store, record.digest), bytes);
        const { putAt, ...recorded } = record;
        assert.ok(putAt !== undefined);
        assert.deepEqual(await store.head(record.digest), recorded);
        await store.verify(record.digest);
      }
    });

    withStore(`a range of ${kind} is exactly those octets, cut at the end of the blob`, async ({ store }) => {
      for (const size of [5_000, 200_000, 1_500_000]) {
        const bytes = kind === "text" ? textOf(size) : randomBytes(size);
        const { digest } = await put(store, bytes);
        for (const [start, end] of rangesOf(size)) {
          const expected = bytes.subarray(Math.min(start, size), Math.min(end, size));
          assert.deepEqual(
            await read(store, digest, { start, end }),
            expected,
            `${start}..${end} of ${size}`,
          );
        }
      }
    });
  }

  withStore("the digest does not depend on how the bytes arrive", async ({ store }) => {
    const bytes = textOf(300_000);
    for (const step of [1_000, 4_096, 65_536, 65_537, 300_000]) {
      assert.equal((await put(store, bytes, step)).digest, sha256(bytes));
      assert.deepEqual(await read(store, sha256(bytes)), bytes);
    }
  });

  withStore("a writer may use its buffer again after each write", async ({ store }) => {
    const stage = store.stage();
    const hash = createHash("sha256");
    const buffer = Buffer.alloc(50_000);
    for (let i = 0; i < 20; i += 1) {
      buffer.fill(i);
      hash.update(buffer);
      await stage.write(buffer);
    }
    const staged = await stage.finish();
    const record = await staged.persist();
    assert.equal(record.digest, hash.digest("hex"));
    await store.verify(record.digest);
  });

  withStore("writes that nobody waited for stay in order", async ({ store }) => {
    const bytes = textOf(700_000);
    const stage = store.stage();
    const waits: unknown[] = [];
    for (let at = 0; at < bytes.length; at += 10_007)
      waits.push(stage.write(bytes.subarray(at, at + 10_007)));
    await Promise.all(waits);
    const { digest } = await (await stage.finish()).persist();
    assert.equal(digest, sha256(bytes));
    assert.deepEqual(await read(store, digest), bytes);
  });

  withStore(
    "a staged blob can be read before and after it is durable, and is not stored before",
    async ({ store }) => {
      for (const size of [3_000, 400_000]) {
        const bytes = textOf(size);
        const staged = await stageOf(store, bytes);
        assert.deepEqual(await collect(staged.read()), bytes);
        assert.deepEqual(await collect(staged.read({ start: 10, end: 2_000 })), bytes.subarray(10, 2_000));
        assert.equal(await store.head(staged.digest), undefined);
        await staged.persist();
        assert.deepEqual(await collect(staged.read()), bytes);
        await staged.discard();
        assert.deepEqual(await read(store, staged.digest), bytes);
      }
    },
  );

  withStore("persisting twice, or the same bytes again, stores once", async harness => {
    for (const size of [6_000, 300_000]) {
      const bytes = textOf(size);
      const staged = await stageOf(harness.store, bytes);
      const [first, second] = await Promise.all([staged.persist(), staged.persist()]);
      assert.deepEqual(first, second);
      await staged.discard();
      const again = await put(harness.store, bytes);
      assert.deepEqual({ ...again, putAt: first.putAt }, first);
    }
    assert.equal((await harness.objects()).length, 2);
  });

  withStore("what is discarded or aborted leaves nothing, in any state", async harness => {
    for (const size of [0, 5_000, 400_000]) {
      const bytes = randomBytes(size);
      await harness.store.stage().abort();
      const written = harness.store.stage();
      await written.write(bytes);
      await written.abort();
      await written.abort();
      await assert.rejects(async () => written.write(bytes), { code: "invalid_state" });
      const staged = await stageOf(harness.store, bytes);
      await staged.discard();
      await staged.discard();
      await assert.rejects(() => staged.persist(), { code: "invalid_state" });
      const finished = harness.store.stage();
      await finished.write(bytes);
      const finishing = finished.finish();
      await Promise.all([finishing, finished.abort()]);
      await finished.abort();
    }
    assert.deepEqual(await harness.objects(), []);
  });

  withStore(
    "a blob that is not there is blob_missing to readers, undefined to head, nothing to delete",
    async ({ store }) => {
      const digest = blobDigest("ab".repeat(32));
      await assert.rejects(() => read(store, digest), { code: "blob_missing" });
      await assert.rejects(() => read(store, digest, { start: 0, end: 1 }), { code: "blob_missing" });
      await assert.rejects(() => store.verify(digest), { code: "blob_missing" });
      assert.equal(await store.head(digest), undefined);
      await store.delete(digest);
    },
  );

  withStore("a deleted blob is gone and can be stored again", async ({ store }) => {
    const bytes = textOf(9_000);
    const { digest } = await put(store, bytes);
    await store.delete(digest);
    await store.delete(digest);
    assert.equal(await store.head(digest), undefined);
    await put(store, bytes);
    assert.deepEqual(await read(store, digest), bytes);
  });

  withStore("a name that is no digest is refused, whatever path it spells", async ({ store }) => {
    for (const name of [
      "",
      "../../etc/passwd",
      `${"a".repeat(63)}/`,
      "A".repeat(64),
      `${"a".repeat(64)}\n`,
    ]) {
      await assert.rejects(
        () => read(store, blobDigest(name)),
        { code: "invalid_argument" },
        JSON.stringify(name),
      );
      await assert.rejects(
        async () => store.delete(blobDigest(name)),
        { code: "invalid_argument" },
        JSON.stringify(name),
      );
    }
  });

  for (const how of ["cut", "flip"] as const) {
    withStore(
      `a blob that was ${how} is blob_damaged, and right again after it was stored again`,
      async harness => {
        for (const bytes of [
          textOf(3_000),
          textOf(20_000),
          randomBytes(20_000),
          randomBytes(100_000),
          textOf(120_000),
        ]) {
          const { digest } = await put(harness.store, bytes);
          await harness.damage(digest, how);
          await assert.rejects(() => read(harness.store, digest), { code: "blob_damaged" });
          await assert.rejects(() => harness.store.verify(digest), { code: "blob_damaged" });
          await put(harness.store, bytes);
          assert.deepEqual(await read(harness.store, digest), bytes);
        }
      },
    );

    withStore(
      `a large blob that was ${how} is noticed before its last octets are given out`,
      async harness => {
        for (const bytes of [textOf(3_000_000), randomBytes(1_000_000)]) {
          const { digest } = await put(harness.store, bytes);
          await harness.damage(digest, how);
          let given = 0;
          await assert.rejects(
            async () => {
              for await (const chunk of harness.store.get(digest)) given += chunk.length;
            },
            { code: "blob_damaged" },
          );
          assert.ok(given < bytes.length);
        }
      },
    );
  }

  withStore("many writers at once, some with the same bytes, all get what they wrote", async ({ store }) => {
    const messages = Array.from({ length: 60 }, (_, i) => textOf(2_000 + (i % 20) * 9_001, i % 20));
    const records = await Promise.all(messages.map(bytes => put(store, bytes)));
    for (const [i, record] of records.entries())
      assert.deepEqual(await read(store, record.digest), messages[i]);
    assert.equal(new Set(records.map(r => r.digest)).size, 20);
  });

  withStore("a reader that stops early does not disturb the others", async ({ store }) => {
    for (const bytes of [textOf(2_000_000), randomBytes(2_000_000)]) {
      const { digest } = await put(store, bytes);
      for (let i = 0; i < 20; i += 1) {
        for await (const chunk of store.get(digest)) {
          assert.ok(chunk.length > 0);
          break;
        }
      }
      assert.deepEqual(await read(store, digest), bytes);
    }
  });

  withStore("room on the disk is told in octets", async ({ store }) => {
    assert.ok((await store.freeBytes()) > 0);
  });
}

async function stageOf(store: BlobStore, bytes: Buffer, step = 8_000): Promise<StagedBlob> {
  const stage = store.stage();
  for (let at = 0; at < bytes.length; at += step) await stage.write(bytes.subarray(at, at + step));
  return stage.finish();
}

/** Store `bytes` from beginning to end. */
export async function put(store: BlobStore, bytes: Buffer, step?: number): Promise<BlobRecord> {
  const staged = await stageOf(store, bytes, step);
  try {
    return await staged.persist();
  } finally {
    await staged.discard();
  }
}

export function read(store: BlobStore, digest: BlobDigest, range?: ByteRange): Promise<Buffer> {
  return collect(store.get(digest, range));
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}

function sha256(bytes: Buffer): BlobDigest {
  return blobDigest(createHash("sha256").update(bytes).digest("hex"));
}

/** Text that compresses, of exactly `size` octets; another `seed` gives other text. */
export function textOf(size: number, seed = 0): Buffer {
  const lines: string[] = [];
  for (let length = 0, i = 0; length < size; i += 1) {
    const line = `line ${i} of ${seed}: ${((i + 1) * 2_654_435_761 + seed) % 4_294_967_296} the quick brown fox\r\n`;
    lines.push(line);
    length += line.length;
  }
  return Buffer.from(lines.join("").slice(0, size));
}

function rangesOf(size: number): ReadonlyArray<readonly [number, number]> {
  const middle = Math.floor(size / 2);
  return [
    [0, 0],
    [0, 1],
    [0, 33_000],
    [0, size],
    [0, size + 10],
    [32_751, 32_753],
    [middle, middle + 70_000],
    [middle, middle],
    [size - 1, size],
    [size, size + 5],
    [size + 5, size + 9],
  ];
}

/** True for an error of that code. */
export function hasCode(error: unknown, code: string): boolean {
  return error instanceof MairustError && error.code === code;
}
