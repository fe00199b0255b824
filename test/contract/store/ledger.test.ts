/** The egress ledger from its spool into a real PostgreSQL: each call once, whatever crashes, and in the order in which it is read. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import type { LedgerEntry, LedgerFilter } from "../../../src/core/ports/ledger.ts";
import { openLedgerFiles } from "../../../src/hooks/ledger-files.ts";
import { LedgerLoader } from "../../../src/hooks/ledger-loader.ts";
import { LedgerSpool, SEGMENT_AGE_MS } from "../../../src/hooks/ledger-spool.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { deleteExpired } from "../../../src/store/housekeeping.ts";
import { keepLedgerEntries, listLedger } from "../../../src/store/ledger.ts";
import { silentLog, startTestDatabase, type TestDatabase } from "../../lib/database.ts";
import { entryOf } from "../../unit/hooks/ledger.ts";

let database: TestDatabase;
let dir: string;
before(async () => {
  database = await startTestDatabase();
  dir = await mkdtemp(join(tmpdir(), "mairust-ledger-"));
});
after(async () => {
  await database.stop();
  await rm(dir, { recursive: true });
});
beforeEach(() => database.db.run`delete from ledger`);

async function startNode(now = Date.now) {
  const files = await openLedgerFiles(dir);
  const spool = new LedgerSpool({ files, now });
  await spool.open();
  const keep = (entries: readonly LedgerEntry[]) => keepLedgerEntries(database.db, entries);
  const loader = new LedgerLoader({ spool, files, keep, log: silentLog, now });
  const record = async (entry: LedgerEntry) => {
    const deadline = deadlineAfter(60_000);
    await spool.record(entry, deadline).finally(() => deadline.dispose());
  };
  return { spool, loader, record };
}

const list = async (filter: LedgerFilter = {}, limit = 200) =>
  (await listLedger(database.db, filter, { limit })).items;
const newestFirst = (...numbers: readonly number[]) => numbers.map(n => entryOf(n));

test("what a crashed node had recorded is in the table once, however often it is loaded", async () => {
  const crashed = await startNode();
  for (const n of [1, 2, 3]) await crashed.record(entryOf(n));
  // Loaded, and then the process was gone before it took the segment away; more was recorded meanwhile.
  await crashed.loader.load();
  await crashed.record(entryOf(4));
  for (let start = 0; start < 2; start++) {
    const node = await startNode();
    await node.loader.load();
    assert.deepEqual(await list(), newestFirst(4, 3, 2, 1));
    await node.spool.close();
    await node.loader.load();
  }
  const later = await startNode(() => Date.now() + 7 * SEGMENT_AGE_MS);
  await later.loader.load();
  await later.spool.close();
  await later.loader.load();
  assert.deepEqual([await list(), await readdir(dir)], [newestFirst(4, 3, 2, 1), []]);
  await crashed.spool.close();
});

test("another attempt of the same call is another entry", async () => {
  await keepLedgerEntries(database.db, [entryOf(1), entryOf(1, { attempt: 2 }), entryOf(1)]);
  assert.deepEqual(
    (await list()).map(({ attempt }) => attempt),
    [2, 1],
  );
});

test("text that PostgreSQL does not take stops nothing", async () => {
  await keepLedgerEntries(database.db, [entryOf(1, { queueId: "a\u0000b\ud800", fields: ["x\u0000"] })]);
  assert.deepEqual(
    (await list()).map(({ queueId, fields }) => [queueId, fields]),
    [["a\ufffdb\ufffd", ["x\ufffd"]]],
  );
});

test("filters and pages: newest first, no gap and no double", async () => {
  const entries = Array.from({ length: 25 }, (_, n) =>
    entryOf(n, {
      at: new Date(1_000_000 + Math.floor(n / 5)),
      pluginId: n % 2 === 0 ? "even" : "odd",
      hook: `h${n}`,
    }),
  );
  await keepLedgerEntries(database.db, entries);
  const seen: LedgerEntry[] = [];
  let after: string | undefined;
  do {
    const page = await listLedger(database.db, {}, { limit: 4, ...(after === undefined ? {} : { after }) });
    seen.push(...page.items);
    after = page.next;
  } while (after !== undefined);
  assert.deepEqual(seen, [...entries].reverse());
  assert.equal((await list({ plugin: "odd" })).length, 12);
  assert.deepEqual(
    (await list({ hook: "h7" })).map(({ callId }) => callId),
    [entryOf(7).callId],
  );
  const window = { since: new Date(1_000_001), until: new Date(1_000_003) };
  assert.equal((await list(window)).length, 10);
  assert.deepEqual(await list({ queueId: "other" }), []);
  assert.equal((await list({ message: entryOf(1).messageId })).length, 25);
  await assert.rejects(
    listLedger(database.db, {}, { limit: 4, after: "nonsense" }),
    /no one|not one of ours/u,
  );
});

test("entries go with the events of their time", async () => {
  const old = new Date(Date.now() - 91 * 86_400_000);
  await keepLedgerEntries(database.db, [entryOf(1, { at: old }), entryOf(2, { at: new Date() })]);
  const gone = await deleteExpired(database.db, { eventsDays: 90, redeliveryWindowS: 3600 });
  assert.deepEqual([gone.ledger, (await list()).length], [1, 1]);
});
