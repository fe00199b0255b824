/**
 * Who reads a blob has each chunk alone, with the memory behind it: what happens to one, be it overwritten or given back to the system,
 * harms no later one and no other reader. And whoever stops in between leaves no file open.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { brotliCompressSync, constants } from "node:zlib";
import { type BlobDigest, blobDigest } from "../../../src/core/ids.ts";
import type { ByteRange } from "../../../src/core/ports/blobs.ts";
import { freeBytes } from "../../../src/platform/free-bytes.ts";
import { DirectorySync } from "../../../src/store/blobs-fs-dirs.ts";
import { BlobFiles } from "../../../src/store/blobs-fs-files.ts";
import { BLOCK_BYTES, blockTable, type Form, writeHeader } from "../../../src/store/blobs-fs-format.ts";
import { BlobLayout } from "../../../src/store/blobs-fs-layout.ts";
import { SeededRandom } from "../../lib/random.ts";

const folder = mkdtempSync(join(tmpdir(), "mairust-chunks-"));
const layout = new BlobLayout(folder);
const dirs = new DirectorySync();
const files = new BlobFiles(layout, dirs);
const random = new SeededRandom(20_260);
after(async () => {
  await dirs.close();
  rmSync(folder, { recursive: true });
});

interface Blob {
  readonly what: string;
  readonly digest: BlobDigest;
  readonly bytes: Buffer;
}

const pack = (bytes: Buffer) =>
  brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } });

function made(form: Form, bytes: Buffer): Blob {
  const digest = blobDigest(createHash("sha256").update(bytes).digest("hex"));
  const header = Buffer.alloc(16);
  writeHeader(header, form, bytes.length);
  const stored: Buffer[] = [];
  if (form === "plain") stored.push(bytes);
  else if (form === "brotli") stored.push(pack(bytes));
  else {
    const table: Array<{ compressed: boolean; storedBytes: number }> = [];
    for (let at = 0; at < bytes.length; at += BLOCK_BYTES) {
      const block = bytes.subarray(at, at + BLOCK_BYTES);
      const packed = pack(block);
      const compressed = packed.length < block.length;
      stored.push(compressed ? packed : block);
      table.push({ compressed, storedBytes: stored.at(-1)?.length ?? 0 });
    }
    stored.push(blockTable(table));
  }
  const { path } = layout.place(digest);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, Buffer.concat([header, ...stored]));
  return { what: `${form} of ${bytes.length}`, digest, bytes };
}

const noise = (size: number) => Buffer.from(Array.from({ length: size }, () => random.whole(0, 255)));
const text = (size: number) =>
  Buffer.from(
    Array.from({ length: size / 8 + 1 }, () => String(random.whole(1_000_000, 9_999_999))).join(" "),
  ).subarray(0, size);

const blobs: Blob[] = [];
before(() => {
  for (const size of [1, 3000, 5000, 32_752, 32_753, 131_072, 131_073, 700_001])
    blobs.push(made("plain", noise(size)));
  for (const size of [1, 9000, 32_768, 60_000, 131_072, 200_000, 524_288])
    blobs.push(made("brotli", text(size)));
  const mixed = Buffer.concat([text(300_000), noise(700_000), text(BLOCK_BYTES * 6), noise(5)]);
  blobs.push(made("blocks", text(150_000)), made("blocks", mixed));
});

/** Octets of chunks of which none stays as it came. */
async function spoiled(chunks: Uint8Array | AsyncIterable<Uint8Array>): Promise<Buffer> {
  const copies: Buffer[] = [];
  const spoil = (chunk: Uint8Array) => {
    copies.push(Buffer.from(chunk));
    chunk.fill(0xee);
    freeBytes(chunk);
  };
  if (chunks instanceof Uint8Array) spoil(chunks);
  else for await (const chunk of chunks) spoil(chunk);
  return Buffer.concat(copies);
}

function rangesOf({ bytes: { length } }: Blob): ByteRange[] {
  const edges = [0, 1, 4096, 32_751, 32_752, 32_753, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, length];
  const within = edges.filter(edge => edge <= length);
  const drawn = Array.from({ length: 8 }, () => random.whole(0, length));
  const at = [...within, ...drawn];
  const pairs = Array.from({ length: 16 }, () => [random.pick(at), random.pick(at)].sort((a, b) => a - b));
  return [
    { start: 0, end: length },
    { start: 0, end: length + 10 },
    ...pairs.map(([start = 0, end = 0]) => ({ start, end })),
  ];
}

test("any range of any form is exact, though its reader spoils each chunk and others read as well", async () => {
  for (const blob of blobs) {
    const { digest, bytes, what } = blob;
    const { path } = layout.place(digest);
    await Promise.all(
      rangesOf(blob).map(async range => {
        const expected = bytes.subarray(range.start, range.end);
        const ways = [
          files.open(digest, range),
          files.read(digest, range),
          files.readStaged(path, digest, range),
          files.readStaged(join(folder, "none"), digest, range),
        ];
        for (const way of ways) {
          const got = await spoiled(await way);
          assert.ok(got.equals(expected), `${what}: ${range.start}..${range.end}`);
        }
      }),
    );
    for (const whole of [files.read(digest), files.readStaged(path, digest)])
      assert.ok((await spoiled(whole)).equals(bytes), `${what}: whole`);
  }
  assert.equal(openFiles(), 0);
});

test("who stops reading, or never begins, leaves no file open", async () => {
  for (const { digest, bytes } of blobs) {
    for (const stopAt of [1, 2, 3]) {
      let taken = 0;
      for await (const _ of files.readStaged(layout.place(digest).path, digest)) {
        taken += 1;
        if (taken === stopAt) break;
      }
    }
    const opened = await files.open(digest, { start: 0, end: bytes.length });
    if (!(opened instanceof Uint8Array)) await opened.return(undefined);
    await files.read(digest).return(undefined);
  }
  assert.equal(openFiles(), 0);
});

test("a block that is damaged is told when its turn comes, and the file is closed", async () => {
  const blob = made("blocks", text(BLOCK_BYTES * 6 + 5));
  const { path } = layout.place(blob.digest);
  const image = readFileSync(path);
  const middle = Math.floor(image.length / 2);
  image.fill(0, middle, middle + 4000);
  writeFileSync(path, image);
  let got = 0;
  await assert.rejects(
    async () => {
      for await (const chunk of files.read(blob.digest, { start: 0, end: blob.bytes.length })) {
        assert.ok(Buffer.from(chunk).equals(blob.bytes.subarray(got, got + chunk.length)));
        got += chunk.length;
        freeBytes(chunk);
      }
    },
    { code: "blob_damaged" },
  );
  assert.ok(got > 0 && got < blob.bytes.length, `${got} octets came before`);
  assert.equal(openFiles(), 0);
});

/** Descriptors of this process that lie in the blob folder. */
function openFiles(): number {
  const paths = readdirSync("/proc/self/fd").map(fd => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return "";
    }
  });
  return paths.filter(path => path.startsWith(folder)).length;
}
