/** Changes of stored mail over a real database: what they make of copies, in whose accounts, and that the same again makes nothing. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type AccountId, accountId, type MailboxId, type MessageId } from "../../../src/core/ids.ts";
import type { MessageChanges } from "../../../src/core/ports/hooks.ts";
import { FLAG_FLAGGED, FLAG_SEEN } from "../../../src/core/ports/store.ts";
import type { Tx } from "../../../src/store/db.ts";
import { MailboxHub } from "../../../src/store/mailbox-hub.ts";
import { createMailboxReader } from "../../../src/store/mailboxes.ts";
import { silentLog } from "../../lib/database.ts";
import { uidsOf } from "../../lib/snapshots.ts";
import { NO_CHANGES, openResults, type Results, type TestAccount, until } from "../jobs/results-rig.ts";

let rig: Results;
before(async () => {
  rig = await openResults();
});
after(() => rig?.close());

const BY = [{ plugin_id: "com.example.one", hook: "one", changes: ["tags" as const] }];

async function apply(id: MessageId, accounts: readonly AccountId[], changes: Partial<MessageChanges>) {
  const request = { messageId: id, accounts, changes: { ...NO_CHANGES, ...changes } };
  const results = await rig.messages.apply({ ...request, by: BY, job: "test", events: [] });
  return results.map(result => result.outcome);
}

const boxes = (account: TestAccount) => rig.db.query<{
  name: string;
  uidnext: number;
  highest_modseq: number;
  messages: number;
  unseen: number;
}>`
  select name, uidnext, highest_modseq, messages, unseen from mailboxes where account_id = ${account.id} order by id`;
const box = async (account: TestAccount, name: string) =>
  (await boxes(account)).find(one => one.name === name);
const used = (account: TestAccount) =>
  rig.db.query`select used_bytes, used_messages from accounts where id = ${account.id}`;

test("tags are united and removed, flags set, metadata merged, and the counters follow", async () => {
  const account = await rig.account();
  const id = await rig.deliver([account]);
  const first = { tagsAdd: ["b", "a"], keywords: ["$Work"], metadata: { "plugin:x:score": 1 } };
  assert.deepEqual(await apply(id, [account.id], first), ["changed"]);
  const second = {
    tagsAdd: ["c", "a"],
    tagsRemove: ["b"],
    systemFlags: FLAG_SEEN | FLAG_FLAGGED,
    metadata: { "plugin:y:why": ["odd", { n: 1 }] },
  };
  assert.deepEqual(await apply(id, [account.id], second), ["changed"]);
  const [copy] = await rig.copies(id);
  assert.deepEqual([...(copy?.keywords ?? [])].sort(), ["$Work", "a", "c"]);
  assert.equal(copy?.flags, FLAG_SEEN | FLAG_FLAGGED);
  assert.deepEqual(copy?.metadata, { "plugin:x:score": 1, "plugin:y:why": ["odd", { n: 1 }] });
  const inbox = await box(account, "INBOX");
  assert.deepEqual([inbox?.messages, inbox?.unseen, inbox?.highest_modseq], [1, 0, copy?.modseq]);
  const events = await rig.events(id, "changed");
  assert.deepEqual(events[1], {
    recipient: account.address,
    job: "test",
    by: BY,
    tags_added: ["c"],
    tags_removed: ["b"],
    flags_set: ["\\Seen", "\\Flagged"],
    metadata: ["plugin:y:why"],
  });
});

test("the same change again changes nothing: no MODSEQ, no event, and nobody is told", async () => {
  const account = await rig.account();
  const id = await rig.deliver([account]);
  const change = {
    tagsAdd: ["invoice"],
    tagsRemove: ["spam"],
    systemFlags: FLAG_FLAGGED,
    keywords: ["$Work"],
    folder: "Invoices",
    // As JSON keeps them: the keys of an object in another order, and what text columns refuse.
    metadata: { "plugin:x:a": { long: 1, b: -0 }, "plugin:x:b": "a\0b" },
  };
  assert.deepEqual(await apply(id, [account.id], change), ["changed"]);
  const before = [await rig.copies(id), await boxes(account)];
  const told: (readonly MailboxId[] | "all")[] = [];
  const end = rig.changes.onChange(mailboxes => told.push(mailboxes));
  assert.deepEqual(await apply(id, [account.id], change), ["unchanged"]);
  end();
  assert.deepEqual([await rig.copies(id), await boxes(account)], before);
  assert.deepEqual(told, []);
  assert.equal((await rig.events(id, "changed")).length, 1);
});

test("a change touches the copies of the accounts it names, and nobody else's", async () => {
  const [mine, other, third] = [await rig.account(), await rig.account(), await rig.account()];
  const id = await rig.deliver([mine, other]);
  const change = { tagsAdd: ["private"], folder: "Sorted" };
  assert.deepEqual(await apply(id, [mine.id, third.id], change), ["changed", "no_copy"]);
  const seen = (await rig.copies(id)).map(({ account, mailbox, keywords }) => ({
    account,
    mailbox,
    keywords,
  }));
  assert.deepEqual(seen, [
    { account: mine.id, mailbox: "Sorted", keywords: ["private"] },
    { account: other.id, mailbox: "INBOX", keywords: [] },
  ]);
  assert.equal(await box(other, "Sorted"), undefined);
  assert.equal(await box(third, "Sorted"), undefined);
  assert.deepEqual(
    (await rig.events(id, "changed")).map(event => event.recipient),
    [mine.address],
  );
});

test("a move gives a new UID there, an expunge here, and keeps what the copy is", async () => {
  const account = await rig.account();
  const earlier = await rig.deliver([account]);
  const id = await rig.deliver([account]);
  await apply(earlier, [account.id], { folder: "Invoices/2026" });
  const bytes = await used(account);
  const before = await rig.db.query`
    select prefix, size_bytes, internal_date from entries where message_id = ${id}::uuid`;
  assert.deepEqual(await apply(id, [account.id], { folder: "Invoices/2026", systemFlags: FLAG_SEEN }), [
    "changed",
  ]);
  const [copy, ...more] = await rig.copies(id);
  assert.deepEqual(more, []);
  assert.deepEqual([copy?.mailbox, copy?.uid, copy?.flags], ["Invoices/2026", 2, FLAG_SEEN]);
  assert.deepEqual(
    await rig.db.query`select prefix, size_bytes, internal_date from entries where message_id = ${id}::uuid`,
    before,
  );
  assert.deepEqual(await used(account), bytes);
  const inbox = await box(account, "INBOX");
  const gone = await rig.db.query<{ uid: number; modseq: number }>`
    select x.uid, x.modseq from expunged x join mailboxes b on b.id = x.mailbox_id
    where b.account_id = ${account.id} and b.name = 'INBOX' order by uid`;
  assert.deepEqual(
    gone.map(row => row.uid),
    [1, 2],
  );
  assert.equal(gone[1]?.modseq, inbox?.highest_modseq);
  assert.deepEqual([inbox?.messages, (await box(account, "Invoices/2026"))?.messages], [0, 2]);
  const [, moved] = await rig.events(id, "changed").then(events => [undefined, events.at(-1)]);
  assert.deepEqual(moved?.moved, { from: "INBOX", to: "Invoices/2026", uid: 2 });
});

test("of several copies in one account all change: those in the folder stay, the others come to it", async () => {
  const account = await rig.account();
  const id = await rig.deliver([account]);
  await apply(id, [account.id], { folder: "Junk" });
  // As a copy made by a client would be: a second entry.
  await rig.db.run`
    insert into entries (mailbox_id, uid, modseq, message_id, internal_date, prefix, size_bytes)
    select b.id, b.uidnext, b.highest_modseq + 1, e.message_id, e.internal_date, e.prefix, e.size_bytes
    from entries e, mailboxes b
    where e.message_id = ${id}::uuid and b.account_id = ${account.id} and b.name = 'INBOX'`;
  assert.deepEqual(await apply(id, [account.id], { folder: "Junk", tagsAdd: ["spam"] }), ["changed"]);
  assert.deepEqual(
    (await rig.copies(id)).map(({ mailbox, uid, keywords }) => [mailbox, uid, keywords]),
    [
      ["Junk", 1, ["spam"]],
      ["Junk", 2, ["spam"]],
    ],
  );
});

test("what cannot be applied is written down, and the rest is applied", async () => {
  const account = await rig.account();
  const id = await rig.deliver([account]);
  assert.deepEqual(await apply(id, [account.id], { folder: "a/../b", tagsAdd: ["one"] }), ["changed"]);
  await rig.db.run`
    insert into mailboxes (account_id, name) select ${account.id}, 'Box' || i from generate_series(1, 5000) i`;
  assert.deepEqual(await apply(id, [account.id], { folder: "New", tagsAdd: ["two"] }), ["changed"]);
  const many = Array.from({ length: 200 }, (_, i) => `tag${i}`);
  assert.deepEqual(await apply(id, [account.id], { tagsAdd: many }), ["unchanged"]);
  const [copy] = await rig.copies(id);
  assert.deepEqual([copy?.mailbox, copy?.keywords], ["INBOX", ["one", "two"]]);
  const problems = (await rig.events(id, "job")).map(event => String(event.problems));
  assert.equal(problems.length, 3);
  assert.match(problems[0] ?? "", /not allowed/u);
  assert.match(problems[1] ?? "", /too many/u);
  assert.match(problems[2] ?? "", /more than 128/u);
});

test("a message or an account that is gone is no error", async () => {
  const [account, gone] = [await rig.account(), await rig.account()];
  const id = await rig.deliver([account, gone]);
  await rig.db.begin(async tx => {
    await tx.query`delete from entries e using mailboxes b where b.id = e.mailbox_id and b.account_id = ${gone.id}`;
    await tx.query`delete from accounts where id = ${gone.id}`;
  });
  assert.deepEqual(await apply(id, [account.id, gone.id, accountId(999_999)], { tagsAdd: ["x"] }), [
    "changed",
    "no_copy",
    "no_copy",
  ]);
  await rig.db.run`delete from entries where message_id = ${id}::uuid`;
  await rig.db.run`delete from messages where message_id = ${id}::uuid`;
  assert.deepEqual(await apply(id, [account.id], { tagsAdd: ["y"], folder: "Never" }), ["no_copy"]);
  assert.equal(await box(account, "Never"), undefined);
});

test("moves and deliveries at the same time keep UIDs, counters and what a reader sees in step", async () => {
  const accounts = [await rig.account(), await rig.account()];
  const hub = new MailboxHub(() => rig.db, rig.changes, silentLog);
  const reader = createMailboxReader(() => rig.db, hub);
  const [first, second] = accounts;
  assert.ok(first && second);
  const open = await reader.open(first.id, "INBOX");
  const seen: number[][] = [];
  open.onChange(() => seen.push(uidsOf(open.snapshot())));
  const ids = await Promise.all(
    Array.from({ length: 30 }, async (_, i) => {
      // In both orders, so that locks in the order of the request would meet.
      const to = i % 2 === 0 ? [first, second] : [second, first];
      const id = await rig.deliver(to);
      const some = to.map(one => one.id);
      const results = await apply(id, some, i % 3 === 0 ? { folder: "Sorted" } : { tagsAdd: [`n${i}`] });
      assert.deepEqual(results, ["changed", "changed"]);
      return id;
    }),
  );
  for (const account of accounts) {
    const rows = await boxes(account);
    const sorted = rows.find(one => one.name === "Sorted");
    const inbox = rows.find(one => one.name === "INBOX");
    assert.deepEqual([sorted?.messages, sorted?.uidnext, inbox?.messages, inbox?.uidnext], [10, 11, 20, 31]);
    const [real] = await rig.db.query<{ bytes: number; messages: number }>`
      select sum(e.size_bytes)::bigint as bytes, count(*) as messages
      from entries e join mailboxes b on b.id = e.mailbox_id where b.account_id = ${account.id}`;
    assert.deepEqual(await used(account), [{ used_bytes: real?.bytes, used_messages: real?.messages }]);
  }
  const end = await open.refresh();
  assert.equal(end.count, 20);
  // Each state that a reader saw: UIDs rise, and one that went never comes again.
  const gone = new Set<number>();
  for (const [i, uids] of seen.entries()) {
    assert.ok(uids.every((uid, n) => n === 0 || uid > (uids[n - 1] ?? 0)));
    assert.ok(uids.every(uid => !gone.has(uid)));
    for (const uid of seen[i - 1] ?? []) if (!uids.includes(uid)) gone.add(uid);
  }
  assert.equal(ids.length, 30);
  open.close();
  hub.close();
});

/** Somebody holds what `lock` locks until `release` is called. */
async function hold(work: (tx: Tx) => Promise<unknown>) {
  let release: () => void = () => undefined;
  const held = new Promise<void>(resolve => {
    release = resolve;
  });
  let locked: () => void = () => undefined;
  const ready = new Promise<void>(resolve => {
    locked = resolve;
  });
  const ended = rig.db.begin(async tx => {
    await work(tx);
    locked();
    await held;
  });
  await ready;
  return {
    async release() {
      release();
      await ended;
    },
  };
}

/** A change that waits for a lock; one that gave up waiting on a slow machine is begun again. */
async function waiting(id: MessageId, accounts: readonly AccountId[], changes: Partial<MessageChanges>) {
  let outcome = apply(id, accounts, changes);
  let ended = false;
  const watch = () =>
    outcome
      .catch(() => undefined)
      .then(() => {
        ended = true;
      });
  void watch();
  await until(async () => {
    const [row] = await rig.db.query<{ n: number }>`
      select count(*) as n from pg_stat_activity where wait_event_type = 'Lock' and query like '%no key update%'`;
    if ((row?.n ?? 0) > 0) return true;
    if (!ended) return false;
    assert.equal(await outcome.catch(() => "gave up"), "gave up", "it did not wait");
    ended = false;
    outcome = apply(id, accounts, changes);
    void watch();
    return false;
  });
  return { outcome };
}

test("accounts are locked by id, whatever order they are named in: who waits for one holds none above it", async () => {
  const [low, high] = [await rig.account(), await rig.account()];
  const id = await rig.deliver([high, low]);
  const holder = await hold(
    tx => tx.query`select 1 as one from accounts where id = ${low.id} for no key update`,
  );
  const { outcome } = await waiting(id, [high.id, low.id], { tagsAdd: ["x"] });
  await rig.db.query`select 1 as one from accounts where id = ${high.id} for update nowait`;
  await holder.release();
  assert.deepEqual(await outcome.catch(() => apply(id, [high.id, low.id], { tagsAdd: ["x"] })), [
    "changed",
    "changed",
  ]);
});

test("a mailbox that somebody else changes meanwhile is waited for, and its MODSEQ goes on from there", async () => {
  const account = await rig.account();
  const id = await rig.deliver([account]);
  const holder = await hold(
    tx => tx.query`
      update mailboxes set highest_modseq = highest_modseq + 7 where account_id = ${account.id} and name = 'INBOX'
      returning highest_modseq`,
  );
  const { outcome } = await waiting(id, [account.id], { tagsAdd: ["x"] });
  await holder.release();
  assert.deepEqual(await outcome.catch(() => apply(id, [account.id], { tagsAdd: ["x"] })), ["changed"]);
  const [copy] = await rig.copies(id);
  assert.equal(copy?.modseq, 10);
});
