/** The journal of plugins' changes over a real database: written with the changes, undone by plugin, version, time and account. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { AccountId, MessageId } from "../../../src/core/ids.ts";
import type { HookWish } from "../../../src/core/ports/hook-wish.ts";
import type { MessageChanges } from "../../../src/core/ports/hooks.ts";
import type { UndoSelection } from "../../../src/core/ports/journal.ts";
import { FLAG_FLAGGED } from "../../../src/core/ports/store.ts";
import { createUndoHandler, enqueueUndo } from "../../../src/jobs/handlers/undo.ts";
import { createJournal } from "../../../src/store/journal.ts";
import { NO_CHANGES, openResults, type Results, type TestAccount } from "../jobs/results-rig.ts";

let rig: Results;
before(async () => {
  rig = await openResults();
});
after(() => rig?.close());

const journal = () => createJournal({ db: rig.db, changes: rig.changes });
const wish = (plugin: string, change: Partial<HookWish>): HookWish => ({
  ...{ point: "pre_delivery", hook: "one", pluginId: plugin, pluginVersion: "1.0.0", callId: "call" },
  ...{ tagsAdd: [], tagsRemove: [], systemFlags: 0, keywords: [], folder: undefined, metadata: [] },
  ...change,
});
const all = (pluginId: string, change: Partial<UndoSelection> = {}): UndoSelection => ({
  ...{
    pluginId,
    version: undefined,
    hook: undefined,
    since: undefined,
    until: undefined,
    account: undefined,
  },
  ...change,
});

/** A delivery whose hooks tagged, flagged, filed and scored the copy of each account. */
async function delivered(to: readonly TestAccount[], wishes: readonly HookWish[]): Promise<MessageId> {
  const { targets } = await rig.delivery(to);
  const keywords = [...new Set(wishes.flatMap(one => [...one.tagsAdd, ...one.keywords]))].sort();
  const system = wishes.reduce((bits, one) => bits | one.systemFlags, 0);
  const mailbox = wishes.findLast(one => one.folder !== undefined)?.folder ?? "INBOX";
  const metadata = Object.fromEntries(wishes.flatMap(one => one.metadata.map(key => [key, 1])));
  const decided = { flags: { system, keywords }, mailbox, ifMissing: "create" as const, metadata, wishes };
  return rig.deliver(to, { targets: targets.map(target => ({ ...target, ...decided })) });
}

async function change(
  id: MessageId,
  accounts: readonly AccountId[],
  one: HookWish,
  changes: Partial<MessageChanges>,
) {
  const by = [{ plugin_id: one.pluginId, hook: one.hook, changes: ["tags"] }];
  const request = { messageId: id, accounts, changes: { ...NO_CHANGES, ...changes }, wishes: [one] };
  await rig.messages.apply({ ...request, by, job: "test", events: [] });
}

/** Through the job, as the command does it. */
async function undone(selection: UndoSelection) {
  const job = await enqueueUndo(rig.queue, selection, "local:test", new Date(Date.now() + 1000));
  const { stop } = rig.worker(createUndoHandler({ journal: journal(), log: { info: () => undefined } }));
  await rig.untilState(job, "done");
  await stop();
}

const look = async (id: MessageId) =>
  (await rig.copies(id)).map(({ mailbox, flags, keywords, metadata }) => [
    mailbox,
    flags,
    keywords,
    metadata,
  ]);

test("what a delivery's hooks did is undone for one plugin, and stays for the other; the counters follow", async () => {
  const account = await rig.account();
  const id = await delivered(
    [account],
    [
      wish("com.a", { tagsAdd: ["spam", "shared"], folder: "Junk", metadata: ["plugin:com.a:score"] }),
      wish("com.b", { tagsAdd: ["shared", "ok"], systemFlags: FLAG_FLAGGED }),
    ],
  );
  assert.deepEqual(await journal().count(all("com.a")), { changes: 1, messages: 1, accounts: 1 });
  await undone(all("com.a"));
  assert.deepEqual(await look(id), [["INBOX", FLAG_FLAGGED, ["ok", "shared"], {}]]);
  await undone(all("com.b"));
  assert.deepEqual(await look(id), [["INBOX", 0, [], {}]]);
  const boxes = await rig.db.query`
    select name, messages from mailboxes where account_id = ${account.id} and name in ('INBOX', 'Junk') order by name`;
  assert.deepEqual(boxes, [
    { name: "INBOX", messages: 1 },
    { name: "Junk", messages: 0 },
  ]);
  const events = await rig.events(id, "changed");
  assert.deepEqual(
    events.map(event => [event.job, (event.by as [{ plugin_id: string }])[0].plugin_id]),
    [
      ["undo", "com.a"],
      ["undo", "com.b"],
    ],
  );
});

test("by version, by account and by time: only what is meant", async () => {
  const [one, two] = [await rig.account(), await rig.account()];
  const id = await delivered([one, two], [wish("com.v", { tagsAdd: ["old"] })]);
  const middle = new Date();
  const next = wish("com.v", { tagsAdd: ["new"], pluginVersion: "2.0.0" });
  await change(id, [one.id, two.id], next, { tagsAdd: ["new"] });
  assert.equal((await journal().count(all("com.v"))).changes, 4);
  assert.equal((await journal().count(all("com.v", { until: middle }))).changes, 2);
  await undone(all("com.v", { version: "2.0.0", account: two.id }));
  assert.deepEqual(
    (await look(id)).map(([, , keywords]) => keywords),
    [["new", "old"], ["old"]],
  );
  await undone(all("com.v", { until: middle }));
  assert.deepEqual(
    (await look(id)).map(([, , keywords]) => keywords),
    [["new"], []],
  );
  assert.equal((await journal().count(all("com.v"))).changes, 1);
  assert.equal((await journal().count(all("com.other"))).changes, 0);
});

test("a change that comes again is written once, and one without a wish not at all", async () => {
  const account = await rig.account();
  const id = await delivered([account], []);
  const one = wish("com.again", { tagsAdd: ["x"] });
  await change(id, [account.id], one, { tagsAdd: ["x"] });
  await change(id, [account.id], one, { tagsAdd: ["x"] });
  const rows = await rig.db.query`select plugin_id from plugin_changes where message_id = ${id}::uuid`;
  assert.deepEqual(rows, [{ plugin_id: "com.again" }]);
});

test("a delivery that was not stored leaves nothing in the journal", async () => {
  const account = await rig.account();
  const delivery = await rig.delivery([account]);
  const wishes = [wish("com.full", { tagsAdd: ["x"] })];
  const [target] = delivery.targets;
  assert.ok(target);
  await rig.db.run`update accounts set quota_bytes = 1 where id = ${account.id}`;
  const flags = { system: 0, keywords: ["x"] };
  const [result] = await rig.store.deliver({ ...delivery, targets: [{ ...target, flags, wishes }] });
  assert.equal(result?.kind, "over_quota");
  assert.equal((await journal().count(all("com.full"))).changes, 0);
});

test("a copy that is gone, and an entry that was undone before, leave nothing to do", async () => {
  const account = await rig.account();
  const id = await delivered([account], [wish("com.gone", { tagsAdd: ["x"] })]);
  const [entry] = await journal().next(all("com.gone"), undefined, 10);
  assert.ok(entry !== undefined);
  await rig.db.run`delete from entries where message_id = ${id}::uuid`;
  assert.equal(await journal().undo(entry, "local:test"), "nothing_left");
  assert.equal(await journal().undo(entry, "local:test"), undefined);
});

test("two plugins that wanted the same, one after the other: undone in the order in which they came, nothing is left", async () => {
  const account = await rig.account();
  const first = wish("com.first", { tagsAdd: ["both"], folder: "Junk", systemFlags: FLAG_FLAGGED });
  const id = await delivered([account], [first]);
  const second = wish("com.second", { tagsAdd: ["both", "own"], folder: "Later", systemFlags: FLAG_FLAGGED });
  const { tagsAdd, folder, systemFlags } = second;
  await change(id, [account.id], second, { tagsAdd, folder, systemFlags });
  await undone(all("com.first"));
  assert.deepEqual(await look(id), [["Later", FLAG_FLAGGED, ["both", "own"], {}]]);
  await undone(all("com.second"));
  assert.deepEqual(await look(id), [["INBOX", 0, [], {}]]);
});

test("two that undo at once undo each entry once", async () => {
  const account = await rig.account();
  const ids = await Promise.all(
    Array.from({ length: 10 }, () => delivered([account], [wish("com.two", { tagsAdd: ["x"] })])),
  );
  const entries = await journal().next(all("com.two"), undefined, 100);
  const outcomes = await Promise.all(
    [...entries, ...entries].map(entry => journal().undo(entry, "local:test")),
  );
  assert.equal(outcomes.filter(outcome => outcome === "undone").length, 10);
  for (const id of ids) assert.deepEqual(await look(id), [["INBOX", 0, [], {}]]);
});
