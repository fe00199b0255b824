/** Small blobs are read at once while the disk is quick, by the pool when it is not, and not too many before others have their turn. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { brotliCompressSync } from "node:zlib";
import { type Form, writeHeader } from "../../../src/store/blobs-fs-format.ts";
import { QuickReads } from "../../../src/store/blobs-fs-quick.ts";

const folder = mkdtempSync(join(tmpdir(), "mairust-quick-"));
after(() => rmSync(folder, { recursive: true }));

const TEXT = Buffer.from("This is the text of a message.\r\n".repeat(900));

function file(name: string, form: Form, stored: Uint8Array, sizeBytes: number): string {
  const header = Buffer.alloc(16);
  writeHeader(header, form, sizeBytes);
  const path = join(folder, name);
  writeFileSync(path, Buffer.concat([header, stored]));
  return path;
}
const plain = file("plain", "plain", TEXT, TEXT.length);
const packed = file("packed", "brotli", brotliCompressSync(TEXT), TEXT.length);

/** A clock that goes on by `ms` between two looks, and no turn of the event loop is waited for longer than that. */
function clocked() {
  const clock = { now: 1_000_000, stepMs: 0 };
  const reads = new QuickReads(() => {
    clock.now += clock.stepMs;
    return clock.now;
  });
  /** @param tookMs  what opening and reading the file take; the work around that looks at the clock as well */
  const isQuick = async (tookMs: number, path = plain) => {
    clock.stepMs = tookMs;
    const bytes = await reads.read(path, "d", false);
    clock.stepMs = 0;
    return bytes !== undefined;
  };
  return { clock, reads, isQuick };
}

test("a quick disk is read here, whatever the number of reads", async () => {
  const { isQuick } = clocked();
  for (let i = 0; i < 200; i += 1) assert.ok(await isQuick(1), `read ${i}`);
});

test("one read that waited for the disk sends the next ones to the pool for a while", async () => {
  const { isQuick, clock } = clocked();
  assert.ok(await isQuick(20));
  assert.equal(await isQuick(0), false);
  clock.now += 200;
  assert.equal(await isQuick(0), false);
  clock.now += 60;
  assert.ok(await isQuick(0));
});

test("slow reads do so when they come close together", async () => {
  const near = clocked();
  assert.ok(await near.isQuick(5));
  assert.ok(await near.isQuick(5));
  assert.equal(await near.isQuick(0), false);
  const far = clocked();
  for (let i = 0; i < 50; i += 1) {
    assert.ok(await far.isQuick(5), `slow read ${i}`);
    for (let j = 0; j < 8; j += 1) assert.ok(await far.isQuick(0));
  }
});

test("a file that is not there was looked for as well", async () => {
  const { isQuick } = clocked();
  await assert.rejects(isQuick(20, join(folder, "none")), { code: "ENOENT" });
  assert.equal(await isQuick(0), false);
});

for (const [what, path] of [
  ["reading", plain],
  ["decompressing", packed],
] as const) {
  test(`after some milliseconds of ${what} others have their turn`, async () => {
    const { reads, clock } = clocked();
    let turns = 0;
    const count = () => {
      turns += 1;
      next = setImmediate(count);
    };
    let next = setImmediate(count);
    // Each look at the clock takes half a millisecond: reading has four, all that is done here in passing has two.
    clock.stepMs = 0.5;
    for (let i = 0; i < 20; i += 1) assert.deepEqual(await reads.read(path, "d", false), TEXT);
    clearImmediate(next);
    // Twenty times: three steps within reading, one within unpacking.
    const busyMs = 20 * 0.5 * (path === plain ? 3 : 4);
    assert.ok(turns >= Math.floor(busyMs / 4.5), `${turns} turns in ${busyMs} ms`);
  });
}

test("what is not as its header says is damaged, large blobs are left to the pool", async () => {
  const { reads } = clocked();
  const damaged = [
    file("short", "plain", TEXT, TEXT.length + 1),
    file("long", "plain", TEXT, TEXT.length - 1),
    file("torn", "brotli", brotliCompressSync(TEXT).subarray(0, 20), TEXT.length),
    file("noise", "brotli", TEXT, TEXT.length),
    file("more", "brotli", brotliCompressSync(TEXT), 20),
  ];
  writeFileSync(join(folder, "empty"), "");
  for (const path of [...damaged, join(folder, "empty")])
    await assert.rejects(reads.read(path, "d", false), { code: "blob_damaged" }, path);
  await assert.rejects(reads.read(plain, "d", true), { code: "blob_damaged", message: /digest/u });
  const large = [
    file("large", "plain", Buffer.alloc(131_073), 131_073),
    file("blocks", "blocks", TEXT, TEXT.length),
    file("longer", "plain", Buffer.alloc(131_073), 131_072),
  ];
  for (const path of large) assert.equal(await reads.read(path, "d", false), undefined, path);
});
