/** What the store tells of mailboxes and messages beyond what every client asks: expunges since a MODSEQ, \Deleted counted, ids, previews. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, test } from "node:test";
import type { MessageRow, RowFields } from "../../../src/core/ports/mailboxes.ts";
import { uidsOf } from "../../lib/snapshots.ts";
import { type ImapService, startImapService } from "./service.ts";

const MESSAGE = "From: a@example.org\r\nSubject: plain\r\n\r\ntext\r\n";

let service: ImapService;
before(async () => {
  service = await startImapService();
  await service.deliver(MESSAGE, 6);
});
after(() => service?.stop());

async function rowsOf(uids: readonly number[], fields: RowFields): Promise<readonly MessageRow[]> {
  const { reader, account } = service;
  const { id } = await reader.status(account, "INBOX");
  const rows: MessageRow[] = [];
  for await (const page of reader.rows(id, uids, fields)) rows.push(...page);
  return rows;
}

test("vanished() tells the UIDs expunged between two MODSEQs by one statement, and whether the log knows all", async () => {
  const { reader, account, db, statements } = service;
  const box = await reader.open(account, "INBOX");
  const expunge = async (uid: number) => {
    await db.run`delete from entries where mailbox_id = ${box.info.id} and uid = ${uid}`;
    return (await box.refresh()).highestModseq;
  };
  const start = box.snapshot().highestModseq;
  const [first, second, third] = [await expunge(5), await expunge(2), await expunge(4)];
  const vanished = async (since: number, until: number) => {
    const { complete, uids } = await box.vanished(since, until);
    return [complete, ...uids];
  };
  statements.length = 0;
  assert.deepEqual(await vanished(start, third), [true, 2, 4, 5]);
  assert.equal(statements.length, 1);
  assert.deepEqual(await vanished(start, second), [true, 2, 5]);
  assert.deepEqual(await vanished(first, third), [true, 2, 4]);
  assert.deepEqual(await vanished(third, third), [true]);
  // As if what was expunged up to there were forgotten.
  await db.run`update mailboxes set expunged_floor = ${second} where id = ${box.info.id}`;
  assert.deepEqual(await vanished(first, third), [false, 2, 4]);
  assert.deepEqual(await vanished(second, third), [true, 4]);
  assert.deepEqual(uidsOf(box.snapshot()), [1, 3, 6]);
  box.close();
});

test("messages with \\Deleted are counted when somebody wishes it", async () => {
  const { reader, account, db } = service;
  const { id, highestModseq } = await reader.status(account, "INBOX");
  await db.run`update entries set flags = 8, modseq = ${highestModseq + 1} where mailbox_id = ${id} and uid = 3`;
  assert.equal((await reader.status(account, "INBOX")).deleted, undefined);
  assert.equal((await reader.status(account, "INBOX", { deleted: true })).deleted, 1);
  const { mailboxes } = await reader.list(account, { deleted: true });
  assert.deepEqual(
    mailboxes.map(info => info.deleted),
    mailboxes.map(info => (info.name === "INBOX" ? 1 : 0)),
  );
});

test("the same octets have the same email id, and messages of one thread the same thread id", async () => {
  await service.deliver(`X-Other: yes\r\n${MESSAGE}`, 2);
  const ids = (await rowsOf([7, 8], {})).map(row => row.messageId);
  await service.db
    .run`update messages set thread_key = 'first@x.test' where message_id = any(${ids}::uuid[])`;
  const [one, again, first, second] = await rowsOf([1, 3, 7, 8], { objectIds: true, prefix: true });
  assert.ok(one && again && first && second);
  const digest = (octets: Uint8Array | string) => createHash("sha256").update(octets).digest();
  const octets = Buffer.concat([digest(MESSAGE), one.prefix ?? Buffer.alloc(0)]);
  assert.equal(one.emailId, `M${digest(octets).toString("hex").slice(0, 32)}`);
  assert.equal(again.emailId, one.emailId);
  assert.notEqual(first.emailId, one.emailId);
  assert.match(first.threadId ?? "", /^T[0-9a-f]{32}$/u);
  assert.deepEqual([second.threadId, one.threadId], [first.threadId, null]);
  const [plain] = await rowsOf([1], {});
  assert.deepEqual([plain?.emailId, plain?.threadId, plain?.preview], [undefined, undefined, undefined]);
});

test("a preview is told when it was made, null before", async () => {
  const [before] = await rowsOf([1], { preview: true });
  assert.equal(before?.preview, null);
  await service.db.run`
    insert into imap_texts (message_id, version, complete, preview, grams)
    values (${before.messageId}, 1, true, 'what it says', '{}')`;
  assert.equal((await rowsOf([1], { preview: true }))[0]?.preview, "what it says");
});
