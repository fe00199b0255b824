import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { parseMailAddress } from "../../../src/core/envelope.ts";
import { MairustError } from "../../../src/core/errors.ts";
import { type AccountId, blobDigest, type MailboxId, messageId } from "../../../src/core/ids.ts";
import { flagSetAt } from "../../../src/core/mailbox-snapshot.ts";
import type { Delivery, DeliveryTarget, MessageStore, TargetResult } from "../../../src/core/ports/store.ts";
import { uuid7Generator } from "../../../src/platform/uuid7.ts";
import { createAccount } from "../../../src/store/accounts.ts";
import { createAccountAdmin } from "../../../src/store/admin.ts";
import { MailboxChanges } from "../../../src/store/changes.ts";
import type { Db } from "../../../src/store/db.ts";
import { createMessageStore } from "../../../src/store/deliver.ts";
import { deleteExpired } from "../../../src/store/housekeeping.ts";
import { MailboxHub } from "../../../src/store/mailbox-hub.ts";
import { createMailboxReader } from "../../../src/store/mailboxes.ts";
import { silentLog, startTestDatabase, type TestDatabase } from "../../lib/database.ts";
import { uidsOf } from "../../lib/snapshots.ts";

const newId = uuid7Generator();
let database: TestDatabase;
let db: Db;
let node: ReturnType<typeof openNode>;
let accounts = 0;

before(async () => {
  database = await startTestDatabase();
  db = database.db;
  await db.query`insert into domains (name, accounts) values ('example.test', 'auto')`;
  node = openNode(db);
});
after(() => database.stop());

/** What one process has over a database: two of them are two nodes. */
function openNode(over: Db, onCommit: (seconds: number, messages: number) => void = () => undefined) {
  const changes = new MailboxChanges(over, silentLog);
  const store = createMessageStore({
    db: over,
    changes,
    log: silentLog,
    redeliveryWindowS: () => 3600,
    // Digests without files: nothing here is collected.
    confirmBlob: async () => undefined,
    onCommit,
  });
  const hub = new MailboxHub(() => over, changes, silentLog);
  return { store, changes, hub, reader: createMailboxReader(() => over, hub) };
}

async function newAccount(): Promise<{ id: AccountId; address: string }> {
  const local = `user${++accounts}`;
  const { id } = await db.begin(tx => createAccount(tx, parseMailAddress(`${local}@example.test`)));
  return { id, address: `${local}@example.test` };
}

function target(
  account: { id: AccountId; address: string },
  changes: Partial<DeliveryTarget> = {},
): DeliveryTarget {
  return {
    accountId: account.id,
    recipient: account.address,
    mailbox: "INBOX",
    ifMissing: "create",
    flags: { system: 0, keywords: [] },
    internalDate: new Date("2026-11-21T00:00:00Z"),
    prefix: Buffer.from("Return-Path: <>\r\n"),
    metadata: {},
    exactlyOnce: true,
    events: [],
    ...changes,
  };
}

function delivery(targets: readonly DeliveryTarget[], changes: Partial<Delivery> = {}): Delivery {
  const digest = blobDigest(
    Array.from({ length: 64 }, () => Math.floor(Math.random() * 16).toString(16)).join(""),
  );
  return {
    messageId: messageId(newId()),
    receivedAt: new Date(),
    blob: { digest, sizeBytes: 100, storedBytes: 60, codec: "brotli" },
    structure: Buffer.from([1, 0, 255]),
    header: Buffer.from("Subject: x\r\n\r\n"),
    headerBytes: 14,
    messageIdHeader: "id@x",
    subject: "x",
    from: "a@b",
    threadKey: undefined,
    attachments: 0,
    queueId: newId(),
    mailFrom: "a@b",
    targets,
    events: [],
    ...changes,
  };
}

async function deliverOne(store: MessageStore, message: Delivery): Promise<TargetResult> {
  const [result] = await store.deliver(message);
  assert.ok(result);
  return result;
}

async function counters(account: AccountId) {
  type Counters = Record<"used_bytes" | "used_messages" | "real_bytes" | "real_messages", number>;
  const [row] = await db.query<Counters>`
    select a.used_bytes, a.used_messages, coalesce(sum(e.size_bytes), 0)::bigint as real_bytes, count(e.uid) as real_messages
    from accounts a left join mailboxes m on m.account_id = a.id left join entries e on e.mailbox_id = m.id
    where a.id = ${account} group by a.id`;
  return row;
}

const integrity = (error: unknown) =>
  error instanceof MairustError &&
  /UID|MODSEQ|immutable|go back|cannot change/u.test(String(error.cause ?? error) + error.message);

test("deliver() stores in a batch: UIDs rise, counters are exact, a folder that a hook named is made", async () => {
  const account = await newAccount();
  const results = await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      deliverOne(node.store, delivery([target(account, { mailbox: i % 2 ? "INBOX" : "Invoices/2026" })])),
    ),
  );
  const uids = results.flatMap(r => (r.kind === "stored" && r.mailbox === "INBOX" ? [r.uid] : []));
  assert.deepEqual(uids, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  const row = await counters(account.id);
  assert.equal(row?.used_messages, 20);
  assert.deepEqual([row?.used_bytes, row?.used_messages], [row?.real_bytes, row?.real_messages]);
  const { mailboxes: boxes } = await node.reader.list(account.id);
  assert.equal(boxes.find(b => b.name === "Invoices/2026")?.messages, 10);
});

test("deliver() recognises a redelivery, also within one batch, and answers with the first message's id", async () => {
  const account = await newAccount();
  const first = delivery([target(account)]);
  const again = { ...first, messageId: messageId(newId()) };
  const [one, two] = await Promise.all([deliverOne(node.store, first), deliverOne(node.store, again)]);
  assert.equal(one.kind, "stored");
  assert.deepEqual(two, { kind: "duplicate", messageId: first.messageId });
  assert.deepEqual(await deliverOne(node.store, again), { kind: "duplicate", messageId: first.messageId });
  assert.equal((await counters(account.id))?.used_messages, 1);
  assert.deepEqual(
    [...(await node.store.alreadyDelivered(first.queueId, first.blob.digest, [account.id]))],
    [[account.id, first.messageId]],
  );
});

test("deliver() stores again under another queue id, without a queue id, and past the window", async () => {
  const account = await newAccount();
  const first = delivery([target(account)]);
  await deliverOne(node.store, first);
  assert.equal(
    (await deliverOne(node.store, { ...first, messageId: messageId(newId()), queueId: "OTHER" })).kind,
    "stored",
  );
  for (let i = 0; i < 2; i++) {
    assert.equal(
      (await deliverOne(node.store, { ...first, messageId: messageId(newId()), queueId: "" })).kind,
      "stored",
    );
  }
  await db.query`update deliveries set created_at = now() - interval '2 hours' where queue_id = ${first.queueId}`;
  assert.equal((await deliverOne(node.store, { ...first, messageId: messageId(newId()) })).kind, "stored");
});

test("deliver() refuses over quota, stores nothing of it and forgets the try", async () => {
  const account = await newAccount();
  await db.query`update accounts set quota_bytes = 150 where id = ${account.id}`;
  const message = delivery([target(account)]);
  const second = delivery([target(account)]);
  assert.equal((await deliverOne(node.store, message)).kind, "stored");
  assert.equal((await deliverOne(node.store, second)).kind, "over_quota");
  assert.equal((await counters(account.id))?.used_messages, 1);
  // The same delivery twice in one batch: the second is not "already stored" when the first was not stored.
  const twice = [second, { ...second, messageId: messageId(newId()) }];
  const results = await Promise.all(twice.map(one => deliverOne(node.store, one)));
  assert.deepEqual(
    results.map(result => result.kind),
    ["over_quota", "over_quota"],
  );
  await db.query`update accounts set quota_bytes = 1000 where id = ${account.id}`;
  assert.equal((await deliverOne(node.store, second)).kind, "stored");
});

test("deliver() falls back to INBOX or fails when the mailbox is missing, as the target says", async () => {
  const account = await newAccount();
  const inbox = await deliverOne(
    node.store,
    delivery([target(account, { mailbox: "Nowhere", ifMissing: "inbox" })]),
  );
  assert.equal(inbox.kind === "stored" && inbox.mailbox, "INBOX");
  assert.equal(
    (await deliverOne(node.store, delivery([target(account, { mailbox: "Nowhere", ifMissing: "fail" })])))
      .kind,
    "gone",
  );
});

test("deliver() takes text that PostgreSQL refuses: NUL and lone surrogates", async () => {
  const account = await newAccount();
  const message = delivery([target(account, { metadata: { "plugin:x:a": "\u0000\ud800" } })], {
    subject: "a\u0000b\udfff",
    from: "\ud800",
  });
  assert.equal((await deliverOne(node.store, message)).kind, "stored");
});

test("deliver() in a batch with a poisoned message stores the others", async () => {
  const account = await newAccount();
  const good = Array.from({ length: 3 }, () => delivery([target(account)]));
  const poisoned = delivery([target(account)], { headerBytes: -1 });
  const results = await Promise.allSettled([...good, poisoned].map(d => deliverOne(node.store, d)));
  assert.deepEqual(
    results.map(r => r.status),
    ["fulfilled", "fulfilled", "fulfilled", "rejected"],
  );
  assert.equal((await counters(account.id))?.used_messages, 3);
});

test("an account that somebody holds does not keep mail for others", async () => {
  const [held, free] = [await newAccount(), await newAccount()];
  let release = () => undefined as unknown;
  const released = new Promise(resolve => {
    release = () => resolve(undefined);
  });
  let hold = () => undefined as unknown;
  const locked = new Promise(resolve => {
    hold = () => resolve(undefined);
  });
  const holder = db.begin(async tx => {
    await tx.query`select 1 as one from accounts where id = ${held.id} for update`;
    hold();
    await released;
  });
  await locked;
  const results = await Promise.allSettled(
    [held, free].map(account => deliverOne(node.store, delivery([target(account)]))),
  );
  assert.deepEqual(
    results.map(result => result.status),
    ["rejected", "fulfilled"],
  );
  release();
  await holder;
});

test("an account that was removed and made again is another one to a redelivery", async () => {
  const account = await newAccount();
  const message = delivery([target(account)]);
  await deliverOne(node.store, message);
  const admin = createAccountAdmin({
    db,
    onDirectoryChange: () => undefined,
    onMailboxesGone: () => undefined,
  });
  await admin.removeAccount(account.address, { dryRun: false });
  const { id } = await db.begin(tx => createAccount(tx, parseMailAddress(account.address)));
  const again = { ...message, messageId: messageId(newId()), targets: [target({ ...account, id })] };
  assert.equal((await deliverOne(node.store, again)).kind, "stored");
});

test("two nodes that deliver to the same accounts at once never deadlock and never share a UID", async () => {
  const other = openNode(await database.open());
  const users = await Promise.all(Array.from({ length: 5 }, newAccount));
  const work = Array.from({ length: 200 }, (_, i) => {
    const order = i % 2 ? users : [...users].reverse();
    return (i % 3 ? node : other).store.deliver(delivery(order.map(user => target(user))));
  });
  await Promise.all(work);
  for (const user of users) {
    const row = await counters(user.id);
    assert.deepEqual([row?.used_messages, row?.real_messages], [200, 200]);
    const { uidNext, messages } = await node.reader.status(user.id, "INBOX");
    assert.deepEqual([uidNext, messages], [201, 200]);
  }
});

test("an opened mailbox hears of new mail of its own node and of another node", async () => {
  const otherDb = await database.open();
  const other = openNode(otherDb);
  await other.changes.start();
  const account = await newAccount();
  await deliverOne(node.store, delivery([target(account)]));
  const here = await node.reader.open(account.id, "INBOX");
  const there = await other.reader.open(account.id, "INBOX");
  const heard = (box: typeof here) => new Promise<void>(resolve => box.onChange(resolve));
  const both = Promise.all([heard(here), heard(there)]);
  await deliverOne(
    node.store,
    delivery([target(account, { flags: { system: 1, keywords: ["spam", "hello"] } })]),
  );
  await both;
  for (const box of [here, there]) {
    assert.deepEqual(uidsOf(box.snapshot()), [1, 2]);
    assert.deepEqual(flagSetAt(box.snapshot(), 1), {
      system: 1,
      keywords: ["hello", "spam"],
    });
  }
  const pages: number[] = [];
  for await (const page of here.snapshot().count > 0
    ? node.reader.rows(here.info.id, uidsOf(here.snapshot()), { prefix: true })
    : []) {
    pages.push(...page.map(row => row.sizeBytes - (row.prefix?.length ?? 0) - row.blobSizeBytes));
  }
  assert.deepEqual(pages, [0, 0]);
  here.close();
  there.close();
  await other.changes.stop();
});

test("an expunge is logged with a MODSEQ, counted, and seen by an opened mailbox", async () => {
  const account = await newAccount();
  for (let i = 0; i < 3; i++) await deliverOne(node.store, delivery([target(account)]));
  const box = await node.reader.open(account.id, "INBOX");
  const before = box.snapshot().highestModseq;
  await db.query`delete from entries where mailbox_id = ${box.info.id} and uid = 2`;
  const after = await box.refresh();
  assert.deepEqual(uidsOf(after), [1, 3]);
  assert.ok(after.highestModseq > before);
  assert.equal((await counters(account.id))?.used_messages, 2);
  box.close();
});

test("the schema itself refuses what would break UIDs, MODSEQs and immutability", async () => {
  const account = await newAccount();
  await deliverOne(node.store, delivery([target(account)]));
  const { id } = await node.reader.status(account.id, "INBOX");
  const [row] = await db.query<{
    message_id: string;
  }>`select message_id from entries where mailbox_id = ${id}`;
  const insert = (uid: number, modseq: number) => db.query`
    insert into entries (mailbox_id, uid, modseq, message_id, internal_date, size_bytes)
    values (${id as MailboxId}, ${uid}, ${modseq}, ${row?.message_id ?? ""}::uuid, now(), 1)`;
  await db.query`delete from entries where mailbox_id = ${id}`;
  await assert.rejects(insert(1, 100), integrity, "a UID that was used");
  await assert.rejects(insert(2, 1), integrity, "a MODSEQ that was used");
  await insert(2, 100);
  await assert.rejects(
    db.query`update entries set flags = 1 where mailbox_id = ${id}`,
    integrity,
    "a change without MODSEQ",
  );
  await assert.rejects(
    db.query`update entries set prefix = 'x', modseq = 200 where mailbox_id = ${id}`,
    integrity,
    "other bytes",
  );
  await assert.rejects(
    db.query`update mailboxes set uidvalidity = 1 where id = ${id}`,
    integrity,
    "another UIDVALIDITY",
  );
  await assert.rejects(
    db.query`update mailboxes set uidnext = 1 where id = ${id}`,
    integrity,
    "a lower UIDNEXT",
  );
  await assert.rejects(db.query`delete from messages where message_id = ${row?.message_id ?? ""}::uuid`);
  await assert.rejects(db.query`delete from blobs`);
});

test("deleteExpired() removes old events and keys and nothing else", async () => {
  const account = await newAccount();
  const old = delivery([target(account)]);
  await deliverOne(node.store, old);
  await db.query`update events set at = now() - interval '91 days' where queue_id = ${old.queueId}`;
  await db.query`update deliveries set created_at = now() - interval '9 days' where queue_id = ${old.queueId}`;
  assert.deepEqual(await deleteExpired(db, { eventsDays: 90, redeliveryWindowS: 604_800 }), {
    events: 1,
    ledger: 0,
    deliveries: 1,
    verdicts: 0,
    journal: 0,
    flagChanges: 0,
    diffs: 0,
    tallies: 0,
    expunged: 0,
  });
});

test("one transaction takes no more of what plugins said than fits", async () => {
  const batches: number[] = [];
  const { store, changes } = openNode(db, (_, messages) => batches.push(messages));
  const account = await newAccount();
  const metadata = { "plugin:x:report": "x".repeat(3_000_000) };
  await Promise.all(
    Array.from({ length: 6 }, () => deliverOne(store, delivery([target(account, { metadata })]))),
  );
  await changes.stop();
  assert.equal(
    batches.reduce((sum, n) => sum + n, 0),
    6,
  );
  assert.ok(
    batches.every(n => n <= 2),
    `messages of each transaction: ${batches}`,
  );
});
