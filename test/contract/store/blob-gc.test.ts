/** The blob collector against deliveries, step by step: each interleaving that `store/blob-gc.ts` speaks of, on real rows and files. */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { blobDigest } from "../../../src/core/ids.ts";
import { markLoose, purgeRemoved, removeMarked } from "../../../src/store/blob-gc-steps.ts";
import { silentLog } from "../../lib/database.ts";
import { makeRig, type Rig, someBytes } from "./blob-gc-rig.ts";

const DAY_S = 86_400;
let rig: Rig;
before(async () => {
  rig = await makeRig();
});
after(() => rig.stop());

const steps = () => ({ db: rig.node.db, upkeep: rig.node.blobs.upkeep, log: silentLog });

/** A blob that lost its only message two days ago. */
async function looseBlob(size?: number): Promise<{ bytes: Buffer; digest: string }> {
  const bytes = someBytes(size);
  const { digest } = await rig.node.stage(bytes);
  await rig.deleteMessages(await rig.node.deliver(bytes, rig.target));
  await rig.makeOld();
  return { bytes, digest };
}

async function put(bytes: Buffer) {
  const staged = await rig.node.stage(bytes);
  const record = await staged.persist();
  return { record, discard: () => staged.discard() };
}

/** What is stored can be read, every byte. */
async function assertWhole(digest: string): Promise<void> {
  assert.equal(await rig.stateOf(digest), "live");
  await rig.node.blobs.verify(blobDigest(digest));
}

async function messageCount(digest: string): Promise<number> {
  const rows = await rig.node.db
    .query`select 1 as one from messages where blob_digest = decode(${digest}, 'hex')`;
  return rows.length;
}

/** A gate that a step waits at. */
function gate() {
  let open: () => void = () => undefined;
  let reached: () => void = () => undefined;
  const opened = new Promise<void>(resolve => {
    open = resolve;
  });
  const arrived = new Promise<void>(resolve => {
    reached = resolve;
  });
  const wait = () => {
    reached();
    return opened;
  };
  return { open: () => open(), arrived, wait };
}

test("a blob is collected a day after its last message went, not earlier, and its row a week later", async () => {
  const bytes = someBytes();
  const { digest } = await rig.node.stage(bytes);
  const [one, two] = [await rig.node.deliver(bytes, rig.target), await rig.node.deliver(bytes, rig.target)];
  await rig.deleteMessages(one);
  await rig.makeOld();
  await markLoose(steps(), DAY_S);
  assert.equal(await rig.stateOf(digest), "live", "a message has it");
  await rig.node.collect();
  assert.ok(rig.exists(digest), "a message has it");
  await rig.deleteMessages(two);
  await rig.node.collect();
  assert.ok(rig.exists(digest), "since a moment ago");
  await rig.makeOld();
  const collected = await rig.node.collect();
  assert.deepEqual([collected.blobs, collected.end], [1, "done"]);
  assert.ok(collected.bytes > 0);
  assert.ok(!rig.exists(digest));
  assert.equal(await rig.stateOf(digest), "removed");
  await rig.node.collect();
  assert.equal(await rig.stateOf(digest), "removed", "its row outlives it");
  await rig.node.db
    .query`update blobs set removed_at = removed_at - interval '8 days' where digest = decode(${digest}, 'hex')`;
  await rig.node.collect();
  assert.equal(await rig.stateOf(digest), "gone");
});

test("two messages of one blob that go at the same time leave it collectable", async () => {
  const bytes = someBytes();
  const { digest } = await rig.node.stage(bytes);
  const ids = [await rig.node.deliver(bytes, rig.target), await rig.node.deliver(bytes, rig.target)];
  await rig.node.db.query`delete from entries where message_id = any(${ids}::uuid[])`;
  const hold = gate();
  const deletion = (id: string, wait: boolean) =>
    rig.node.db.begin(async tx => {
      await tx.query`select 1 as one from messages where message_id = ${id}::uuid for update`;
      if (wait) await hold.wait();
      await tx.query`delete from messages where message_id = ${id}::uuid`;
    });
  const first = deletion(ids[0] ?? "", true);
  await hold.arrived;
  const second = deletion(ids[1] ?? "", false);
  hold.open();
  await Promise.all([first, second]);
  await rig.makeOld();
  await rig.node.collect();
  assert.ok(!rig.exists(digest));
});

test("put after the mark, committed before the removal: the delivery revives the blob and the removal finds nothing", async () => {
  for (const size of [300, 200_000]) {
    const { bytes, digest } = await looseBlob(size);
    await markLoose(steps(), DAY_S);
    assert.equal(await rig.stateOf(digest), "marked");
    await rig.node.deliver(bytes, rig.target);
    assert.deepEqual(await removeMarked(steps()), { blobs: 0, bytes: 0 });
    await assertWhole(digest);
    assert.equal(await messageCount(digest), 1);
  }
});

test("put before the mark, committed after the removal: nothing is stored, and the delivery that comes again is", async () => {
  for (const size of [300, 200_000]) {
    const { bytes, digest } = await looseBlob(size);
    const { record, discard } = await put(bytes);
    await rig.node.collect();
    assert.ok(!rig.exists(digest), "the put made the file new, but not the row: its owner may be gone");
    await assert.rejects(rig.node.commit(record, rig.target), { code: "store_unavailable", retry: "later" });
    assert.equal(await messageCount(digest), 0);
    await discard();
    await rig.node.deliver(bytes, rig.target);
    await assertWhole(digest);
    assert.equal(await messageCount(digest), 1);
  }
});

test("a delivery that commits while files are unlinked waits, is refused, and comes again", async () => {
  const { bytes, digest } = await looseBlob();
  const { record, discard } = await put(bytes);
  await markLoose(steps(), DAY_S);
  const hold = gate();
  const removal = removeMarked({
    ...steps(),
    onStep: step => (step === "removing" ? hold.wait() : undefined),
  });
  await hold.arrived;
  const refused = assert.rejects(rig.node.commit(record, rig.target), { retry: "later" });
  hold.open();
  await refused;
  await removal;
  await discard();
  await rig.node.deliver(bytes, rig.target);
  await assertWhole(digest);
});

test("a file that was put again behind the removal's back lives, though its row says removed", async () => {
  const { bytes, digest } = await looseBlob();
  const hold = gate();
  await markLoose(steps(), DAY_S);
  const removal = removeMarked({
    ...steps(),
    onStep: step => (step === "removed" ? hold.wait() : undefined),
  });
  await hold.arrived;
  const { record, discard } = await put(bytes);
  hold.open();
  await removal;
  assert.equal(await rig.stateOf(digest), "removed");
  assert.equal((await rig.node.commit(record, rig.target)).kind, "stored");
  await discard();
  await assertWhole(digest);
});

test("rows that a transaction holds are not marked, whether it upserts the blob or only refers to it", async () => {
  for (const upsert of [true, false]) {
    const { digest } = await looseBlob();
    const hold = gate();
    const delivery = rig.node.db.begin(async tx => {
      if (upsert) await tx.query`update blobs set touched_at = now() where digest = decode(${digest}, 'hex')`;
      await tx.query`
        insert into messages (message_id, blob_digest, size_bytes, header_bytes, structure, received_at)
        values (gen_random_uuid(), decode(${digest}, 'hex'), 1, 0, '', now())`;
      await hold.wait();
    });
    await hold.arrived;
    await markLoose(steps(), DAY_S);
    assert.equal(await rig.stateOf(digest), "live");
    hold.open();
    await delivery;
    await rig.node.collect();
    assert.ok(rig.exists(digest));
    assert.equal(await rig.stateOf(digest), "live");
  }
});

test("a message that came between the choice and the check of a row keeps its blob", async () => {
  const { digest } = await looseBlob();
  await markLoose(steps(), DAY_S);
  await rig.node.db.query`
    insert into messages (message_id, blob_digest, size_bytes, header_bytes, structure, received_at)
    values (gen_random_uuid(), decode(${digest}, 'hex'), 1, 0, '', now())`;
  assert.deepEqual(await removeMarked(steps()), { blobs: 0, bytes: 0 });
  assert.equal(await rig.stateOf(digest), "live");
  assert.ok(rig.exists(digest));
});

test("a put of hours ago is not committed: by then even the row that would refuse it may be gone", async () => {
  const { record, discard } = await put(someBytes());
  assert.ok(record.putAt);
  const hours = 7 * 3_600_000;
  for (const putAt of [
    { ...record.putAt, steadyMs: record.putAt.steadyMs - hours },
    { ...record.putAt, wallMs: record.putAt.wallMs - hours },
  ]) {
    await assert.rejects(rig.node.commit({ ...record, putAt }, rig.target), {
      code: "deadline",
      retry: "later",
    });
  }
  assert.equal((await rig.node.commit(record, rig.target)).kind, "stored");
  await discard();
});

test("one message that meets a collected blob does not fail the others of its batch", async () => {
  const { bytes, digest } = await looseBlob();
  await markLoose(steps(), DAY_S);
  const ids = await Promise.all(
    [bytes, someBytes(), bytes, someBytes()].map(one => rig.node.deliver(one, rig.target)),
  );
  assert.equal(ids.length, 4);
  await assertWhole(digest);
});

test("an old file without a row is removed, a young one and a foreign one stay, and a delivery of it comes again", async () => {
  const orphan = someBytes();
  const { record, discard } = await put(orphan);
  const young = await put(someBytes());
  const stranger = rig.path(`${record.digest.slice(0, 2)}notes.txt`);
  writeFileSync(stranger, "x");
  rig.makeFileOld(record.digest);
  const collected = await rig.node.collect({ partsPerRun: 256 });
  assert.deepEqual([collected.blobs, collected.withoutRow], [1, 1]);
  assert.ok(!rig.exists(record.digest));
  assert.ok(rig.exists(young.record.digest));
  assert.ok(readdirSync(rig.path(record.digest).slice(0, -63)).includes("notes.txt"));
  unlinkSync(stranger);
  await assert.rejects(rig.node.commit(record, rig.target), { code: "store_unavailable" });
  await discard();
  await rig.node.deliver(orphan, rig.target);
  await assertWhole(record.digest);
  assert.equal((await rig.node.commit(young.record, rig.target)).kind, "stored");
  await young.discard();
});

test("a file that is back after its row was removed is removed again", async () => {
  const { bytes, digest } = await looseBlob();
  await rig.node.collect({ partsPerRun: 256 });
  const { discard } = await put(bytes);
  await discard();
  rig.makeFileOld(digest);
  assert.equal((await rig.node.collect({ partsPerRun: 256 })).withoutRow, 1);
  assert.ok(!rig.exists(digest));
});

test("too many unknown files in one part are left alone", async () => {
  const name = (i: number) => `ee${i.toString(16).padStart(62, "0")}`;
  for (let i = 0; i < 30; i += 1) {
    writeFileSync(rig.path(name(i)), "x");
    rig.makeFileOld(name(i));
  }
  assert.equal((await rig.node.collect({ partsPerRun: 256 })).blobs, 0);
  for (let i = 0; i < 20; i += 1) unlinkSync(rig.path(name(i)));
  assert.equal((await rig.node.collect({ partsPerRun: 256 })).withoutRow, 10);
});

test("a file that cannot be removed does not hold up the others", async () => {
  const stuck = await looseBlob();
  unlinkSync(rig.path(stuck.digest));
  mkdirSync(rig.path(stuck.digest));
  const other = await looseBlob();
  await rig.makeOld();
  assert.equal((await rig.node.collect()).blobs, 1);
  assert.deepEqual([await rig.stateOf(stuck.digest), await rig.stateOf(other.digest)], ["marked", "removed"]);
  rmSync(rig.path(stuck.digest), { recursive: true });
  assert.equal((await rig.node.collect()).blobs, 1);
});

test("another node that collects ends the run, and a stop ends it after the step", async () => {
  const { digest } = await looseBlob();
  const hold = gate();
  const first = markLoose({ ...steps(), onStep: () => hold.wait() }, DAY_S);
  await hold.arrived;
  assert.equal((await rig.node.collect()).end, "elsewhere");
  hold.open();
  await first;
  const stop = new AbortController();
  const stopped = await rig.node.collect({ onStep: () => stop.abort() }, stop.signal);
  assert.equal(stopped.end, "stopped");
  assert.equal(stopped.blobs, 1);
  assert.equal(await rig.stateOf(digest), "removed");
});

test("a row that a message has cannot be purged", async () => {
  const { bytes, digest } = await looseBlob();
  await rig.node.deliver(bytes, rig.target);
  await assert.rejects(
    rig.node.db.query`delete from blobs where digest = decode(${digest}, 'hex')`,
    /foreign key/u,
  );
  await purgeRemoved(steps(), 0);
  await assertWhole(digest);
});

test("nothing but messages refers to blobs: what does must be known to the collector", async () => {
  const rows = await rig.node.db.query<{ child: string }>`
    select conrelid::regclass::text as child from pg_constraint where contype = 'f' and confrelid = 'blobs'::regclass`;
  assert.deepEqual(
    rows.map(row => row.child),
    ["messages"],
  );
});

test("the folder of another database is left alone, and one without an owner is claimed when its blobs are known", async () => {
  const { digest } = await looseBlob();
  const owner = `${rig.folder}/owner`;
  unlinkSync(owner);
  assert.equal((await rig.node.collect()).end, "done", "most of its blobs are known");
  assert.ok(!rig.exists(digest));
  await rig.node.db.query`update blob_gc set folder_id = gen_random_uuid()`;
  const other = await looseBlob();
  assert.equal((await rig.node.collect()).end, "foreign");
  unlinkSync(owner);
  for (let i = 0; i < 100; i += 1) writeFileSync(rig.path(i.toString(16).padStart(64, "0")), "x");
  assert.equal((await rig.node.collect()).end, "foreign", "most of its blobs are unknown");
  assert.ok(rig.exists(other.digest));
});
