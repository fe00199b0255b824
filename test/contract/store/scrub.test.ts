import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import type { BlobRecord } from "../../../src/core/ports/blobs.ts";
import type { Finding, ScrubSummary } from "../../../src/core/ports/scrub.ts";
import { createScrub } from "../../../src/store/scrub.ts";
import { openStoredMail, type StoredMail } from "./stored-mail.ts";

let mail: StoredMail;
before(async () => {
  mail = await openStoredMail();
});
after(() => mail.stop());

async function scrub(quick = false): Promise<{ findings: Finding[]; summary: ScrubSummary }> {
  const told: Finding[] = [];
  const findings: Finding[] = [];
  let summary: ScrubSummary | undefined;
  const { run } = createScrub({ db: mail.db, blobs: mail.blobs, onFinding: finding => told.push(finding) });
  for await (const step of run({ quick, signal: new AbortController().signal })) {
    if (step.step === "finding") findings.push(step.finding);
    if (step.step === "summary") summary = step.summary;
  }
  assert.deepEqual(told, findings);
  assert.ok(summary);
  return { findings, summary };
}

async function message(): Promise<BlobRecord> {
  const blob = await mail.put(randomBytes(500));
  await mail.deliver(blob);
  return blob;
}

test("what is right is clean; a file that no row names is counted and no fault", async () => {
  for (let i = 0; i < 3; i += 1) await message();
  await mail.put(randomBytes(10));
  const { findings, summary } = await scrub();
  assert.deepEqual(findings, []);
  assert.deepEqual(summary, { blobs: 3, hashed: 3, messages: 3, findings: 0, filesWithoutRow: 1 });
  assert.equal((await scrub(true)).summary.hashed, 0);
});

test("missing, damaged and shortened files are found, each by its digest", async () => {
  const [missing, damaged, short] = [await message(), await message(), await message()];
  rmSync(mail.fileOf(missing.digest));
  const bytes = readFileSync(mail.fileOf(damaged.digest));
  bytes[200] = (bytes[200] ?? 0) ^ 1;
  writeFileSync(mail.fileOf(damaged.digest), bytes);
  writeFileSync(mail.fileOf(short.digest), bytes.subarray(0, 5));
  const { findings } = await scrub();
  const kinds = new Map(findings.map(({ kind, subject }) => [subject, kind]));
  assert.deepEqual(
    [...kinds].sort(),
    [
      [missing.digest, "blob_missing"],
      [damaged.digest, "blob_damaged"],
      [short.digest, "blob_damaged"],
    ].sort(),
  );
  for (const { digest } of [missing, damaged, short]) {
    await mail.db
      .query`delete from entries using messages m where m.message_id = entries.message_id and m.blob_digest = decode(${digest}, 'hex')`;
    await mail.db.query`delete from messages where blob_digest = decode(${digest}, 'hex')`;
  }
  assert.deepEqual((await scrub()).findings, []);
});

test("rows that disagree are found: counters, UIDs, sizes, structure", async () => {
  await message();
  const { db } = mail;
  const wrong = async (break_: () => Promise<unknown>, mend: () => Promise<unknown>, kind: string) => {
    await break_();
    const { findings } = await scrub(true);
    assert.deepEqual([...new Set(findings.map(finding => finding.kind))], [kind]);
    await mend();
    assert.deepEqual((await scrub(true)).findings, []);
  };
  await wrong(
    () => db.query`update mailboxes set unseen = unseen - 1 where name = 'INBOX'`,
    () => db.query`update mailboxes set unseen = unseen + 1 where name = 'INBOX'`,
    "mailbox_counters",
  );
  await wrong(
    () => db.query`update accounts set used_bytes = used_bytes + 1`,
    () => db.query`update accounts set used_bytes = used_bytes - 1`,
    "account_counters",
  );
  await wrong(
    () =>
      db.query`update messages set size_bytes = size_bytes + 1 where message_id = (select max(message_id::text)::uuid from messages)`,
    () =>
      db.query`update messages set size_bytes = size_bytes - 1 where message_id = (select max(message_id::text)::uuid from messages)`,
    "message_size",
  );
  await wrong(
    () =>
      db.query`update messages set structure = structure || 'x'::bytea where message_id = (select max(message_id::text)::uuid from messages)`,
    () =>
      db.query`update messages set structure = substr(structure, 1, octet_length(structure) - 1) where message_id = (select max(message_id::text)::uuid from messages)`,
    "structure_unreadable",
  );
});

test("two scrubs at a time are refused", async () => {
  const one = createScrub({ db: mail.db, blobs: mail.blobs, onFinding: () => undefined });
  const options = { quick: true, signal: new AbortController().signal };
  const first = one.run(options)[Symbol.asyncIterator]();
  await first.next();
  await assert.rejects(
    async () => {
      for await (const _ of one.run(options));
    },
    { code: "too_many" },
  );
  await first.return?.(undefined);
  for await (const _ of one.run(options));
});
