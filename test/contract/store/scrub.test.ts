/** `scrub` on real rows and files: every kind of finding, what is no finding, and runs that end early. */
import assert from "node:assert/strict";
import { readFileSync, unlinkSync, utimesSync, writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { blobDigest } from "../../../src/core/ids.ts";
import type { ScrubCounts, ScrubItem, ScrubOptions } from "../../../src/core/ports/scrub.ts";
import { createScrubber } from "../../../src/store/scrub.ts";
import { DAY_MS, makeRig, type Rig, someBytes } from "./blob-gc-rig.ts";

const WHOLE: ScrubOptions = { quick: false, bytesPerSecond: undefined, after: undefined };

let rig: Rig;
before(async () => {
  rig = await makeRig();
});
after(() => rig.stop());

function scrubber(onDone: (counts: Readonly<ScrubCounts>, whole: boolean) => void = () => undefined) {
  const { db, blobs } = rig.node;
  return createScrubber({ db, upkeep: () => blobs.upkeep, onFinding: () => undefined, onDone });
}

async function scrub(options: Partial<ScrubOptions> = {}) {
  const items: ScrubItem[] = [];
  for await (const item of scrubber().run({ ...WHOLE, ...options })) items.push(item);
  const last = items.at(-1);
  assert.ok(last?.kind === "done");
  const found = items.flatMap(item => (item.kind === "finding" ? [item.finding] : []));
  return { found, kinds: found.map(one => one.kind).sort(), counts: last.counts };
}

/** As somebody at the console of the database would: no trigger hears of it. */
async function behindTriggers(statement: string): Promise<void> {
  await rig.node.db.begin(async tx => {
    await tx.script(`set local session_replication_role = replica; ${statement}`);
  });
}

/** Spoil, look for what that is, mend. */
async function spoiled(spoil: string, mend: string, options: Partial<ScrubOptions> = {}) {
  await behindTriggers(spoil);
  try {
    return await scrub(options);
  } finally {
    await behindTriggers(mend);
  }
}

test("a store that mail and the collector have used is clean, and everything in it is counted", async () => {
  const bytes = someBytes();
  const ids = [];
  for (const one of [bytes, bytes, someBytes(200_000), someBytes()]) ids.push(await rig.node.deliver(one, rig.target));
  await rig.deleteMessages(ids[3] ?? "");
  const { found, counts } = await scrub();
  assert.deepEqual(found, []);
  assert.deepEqual([counts.blobs, counts.messages, counts.mailboxes, counts.accounts], [3, 3, 6, 1]);
  assert.deepEqual([counts.unreferencedBlobs, counts.collectingBlobs, counts.temporaryFiles], [1, 0, 0]);
  assert.ok(counts.hashedBytes > 400_000);
  await rig.makeOld();
  await rig.node.collect();
  const later = (await scrub()).counts;
  assert.deepEqual([later.blobs, later.unreferencedBlobs, later.collectingBlobs, later.findings], [2, 1, 1, 0]);
});

test("missing and damaged blobs are found; a quick run finds what a look at the file tells", async () => {
  const bytes = [someBytes(), someBytes(), someBytes()];
  const digests: string[] = [];
  for (const one of bytes) {
    digests.push((await rig.node.stage(one)).digest);
    await rig.node.deliver(one, rig.target);
  }
  const [lost = "", flipped = "", cut = ""] = digests;
  const before = digests.map(digest => readFileSync(rig.path(digest)));
  unlinkSync(rig.path(lost));
  const changed = Buffer.from(before[1] ?? "");
  changed[100] = (changed[100] ?? 0) ^ 1;
  writeFileSync(rig.path(flipped), changed);
  writeFileSync(rig.path(cut), (before[2] ?? Buffer.alloc(0)).subarray(0, 90));
  const whole = await scrub();
  assert.deepEqual(
    new Map(whole.found.map(one => [one.subject, one.kind])),
    new Map([
      [lost, "blob_missing"],
      [flipped, "blob_damaged"],
      [cut, "blob_damaged"],
    ]),
  );
  assert.deepEqual((await scrub({ quick: true })).kinds, ["blob_damaged", "blob_missing"]);
  assert.equal((await scrub({ quick: true })).counts.hashedBytes, 0);
  for (const one of bytes) await rig.node.deliver(one, rig.target);
  assert.deepEqual((await scrub()).found, [], "putting them again has mended them");
});

test("a wrong counter, a UID that could come again, a wrong size and a broken structure are found by name", async () => {
  const inbox = "taro@example.test/INBOX";
  const change = async (table: string, set: string, back: string, where = "true") =>
    (await spoiled(`update ${table} set ${set} where ${where}`, `update ${table} set ${back} where ${where}`)).found;
  const isInbox = "name = 'INBOX'";
  const counters = await change("mailboxes", "unseen = unseen - 1", "unseen = unseen + 1", isInbox);
  assert.deepEqual([counters[0]?.kind, counters[0]?.subject, counters.length], ["mailbox_counters", inbox, 1]);
  const uids = await change("mailboxes", "uidnext = uidnext - 1", "uidnext = uidnext + 1", isInbox);
  assert.deepEqual([uids[0]?.kind, uids[0]?.subject], ["mailbox_uids", inbox]);
  const modseqs = await change("mailboxes", "highest_modseq = highest_modseq - 1", "highest_modseq = highest_modseq + 1", isInbox);
  assert.equal(modseqs[0]?.kind, "mailbox_uids");
  const usage = await change("accounts", "used_bytes = used_bytes + 5", "used_bytes = used_bytes - 5");
  assert.deepEqual([usage[0]?.kind, usage[0]?.subject], ["account_usage", "taro@example.test"]);
  const headers = await change("messages", "header_bytes = header_bytes + 10000000", "header_bytes = header_bytes - 10000000");
  assert.equal(headers[0]?.kind, "message_size");
  const cut = await change("messages", "structure = structure || '\\x00'", "structure = substring(structure for length(structure) - 1)");
  const version = await change("messages", "structure = '\\x09' || structure", "structure = substring(structure from 2)");
  assert.ok(version.length > 0 && version.every(one => one.kind === "message_structure"));
  assert.ok(cut.every(one => one.kind === "message_structure"));
  const { kinds } = await spoiled(
    "update entries set size_bytes = size_bytes + 1",
    "update entries set size_bytes = size_bytes - 1",
  );
  assert.ok(kinds.includes("entry_size") && kinds.includes("mailbox_counters"));
  const blobs = await change("blobs", "size_bytes = size_bytes + 1", "size_bytes = size_bytes - 1", "collecting_since is null");
  assert.ok(blobs.some(one => one.kind === "blob_size") && blobs.some(one => one.kind === "message_size"));
  const marked = await spoiled(
    "update blobs set collecting_since = now() where digest in (select blob_digest from messages)",
    "update blobs set collecting_since = null where digest in (select blob_digest from messages)",
  );
  assert.ok(marked.kinds.length > 0 && marked.kinds.every(kind => kind === "blob_in_use_marked"));
  assert.deepEqual((await scrub()).found, []);
});

test("files without a row are counted, old and young, and are no findings", async () => {
  const [old, young] = ["0".repeat(64), "1".repeat(64)];
  for (const digest of [old, young]) writeFileSync(rig.path(digest), "12345");
  const past = new Date(Date.now() - 2 * DAY_MS);
  utimesSync(rig.path(old), past, past);
  writeFileSync(`${rig.folder}/00/README`, "x");
  writeFileSync(`${rig.folder}/tmp/other.1.2.3`, "x");
  const { counts, found } = await scrub({ quick: true });
  assert.deepEqual(
    [counts.extraFiles, counts.extraBytes, counts.youngFiles, counts.strangeFiles, counts.temporaryFiles],
    [1, 5, 1, 1, 1],
  );
  assert.deepEqual(found, []);
});

test("a run goes on after a blob, keeps to its rate, and only a whole one says that all is well", async () => {
  const rows = await rig.node.db.query<{ digest: string; size_bytes: number }>`
    select encode(digest, 'hex') as digest, size_bytes from blobs where collecting_since is null order by digest`;
  const half = rows[Math.floor(rows.length / 2)];
  assert.ok(half);
  assert.equal((await scrub({ after: blobDigest(half.digest) })).counts.blobs, rows.length - 1 - rows.indexOf(half));
  const bytes = rows.reduce((sum, row) => sum + row.size_bytes, 0);
  const started = performance.now();
  await scrub({ bytesPerSecond: bytes * 2 });
  assert.ok(performance.now() - started > 450, "half a second for all of it");
  const whole: boolean[] = [];
  const one = scrubber((_, isWhole) => whole.push(isWhole));
  for (const options of [WHOLE, { ...WHOLE, quick: true }, { ...WHOLE, after: blobDigest(half.digest) }]) {
    for await (const _ of one.run(options));
  }
  assert.deepEqual(whole, [true, false, false]);
});

test("one run at a time; a reader that leaves ends it, and a stop does", async () => {
  const one = scrubber();
  const first = one.run(WHOLE)[Symbol.asyncIterator]();
  await first.next();
  await assert.rejects(async () => one.run(WHOLE)[Symbol.asyncIterator]().next(), { code: "invalid_state" });
  await first.return?.();
  const second = one.run({ ...WHOLE, bytesPerSecond: 1 })[Symbol.asyncIterator]();
  await second.next();
  const rest = assert.rejects(
    (async () => {
      while ((await second.next()).done !== true);
    })(),
    { code: "draining" },
  );
  one.stop();
  await rest;
  await assert.rejects(async () => one.run(WHOLE)[Symbol.asyncIterator]().next(), { code: "draining" });
});
