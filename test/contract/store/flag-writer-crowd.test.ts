/**
 * Clients that change flags while everybody else writes to the same mailboxes: deliveries to several accounts, plugins that tag and move,
 * an import that marks as read, expunges, and the log of expunges that is cut. Nobody may wait in a circle, and counters, MODSEQs and
 * UIDs have to come out right.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { parseMailAddress } from "../../../src/core/envelope.ts";
import { MairustError } from "../../../src/core/errors.ts";
import { type AccountId, mailboxId, messageId } from "../../../src/core/ids.ts";
import type { BlobRecord } from "../../../src/core/ports/blobs.ts";
import { uuid7Generator } from "../../../src/platform/uuid7.ts";
import { createAccount } from "../../../src/store/accounts.ts";
import { addSeen } from "../../../src/store/add-seen.ts";
import { MailboxChanges } from "../../../src/store/changes.ts";
import { type Db, sqlstateOf } from "../../../src/store/db.ts";
import { createFlagWriter } from "../../../src/store/flag-writer.ts";
import { forgetExpunges } from "../../../src/store/forget-expunges.ts";
import { createStoredMessages } from "../../../src/store/message-changes.ts";
import { silentLog } from "../../lib/database.ts";
import { plainDelivery } from "../../lib/plain-delivery.ts";
import { SeededRandom } from "../../lib/random.ts";
import { NO_CHANGES } from "../jobs/results-rig.ts";
import { openStoredMail, type StoredMail } from "./stored-mail.ts";

const ACCOUNTS = 3;
const MESSAGES = 20;
const WORKERS = 10;
const TURNS = 60;
const TEXT = Buffer.from("Subject: x\r\n\r\ntext\r\n");
const newId = uuid7Generator();

let mail: StoredMail;
let blob: BlobRecord;
let accounts: readonly AccountId[];
before(async () => {
  mail = await openStoredMail();
  blob = await mail.put(TEXT);
  accounts = await Promise.all(
    Array.from({ length: ACCOUNTS }, async (_, i) => {
      const address = parseMailAddress(`user${i}@example.test`);
      return (await mail.db.begin(tx => createAccount(tx, address))).id;
    }),
  );
});
after(() => mail?.stop());

/** One node: its connections, and what it does. */
function nodeOver(db: Db) {
  const changes = new MailboxChanges(db, silentLog);
  const store = mail.storeOver(db);
  const writer = createFlagWriter(
    () => db,
    () => undefined,
    changes,
  );
  const messages = createStoredMessages({ db, changes });
  const someEntries = (random: SeededRandom) => db.query<{
    mailbox: number;
    name: string;
    account: AccountId;
    validity: number;
    uid: number;
    message: string;
  }>`
    select m.id as mailbox, m.name, m.account_id as account, m.uidvalidity as validity, e.uid, e.message_id::text as message
    from entries e join mailboxes m on m.id = e.mailbox_id
    where m.id = (select mailbox_id from entries order by md5(${random.next()}::text || mailbox_id::text) limit 1)
    order by md5(${random.next()}::text || e.uid::text) limit 10`;
  const deliver = async (random: SeededRandom) => {
    const id = messageId(newId());
    const [first] = accounts;
    if (first === undefined) throw new Error("no account");
    const one = plainDelivery({ id, account: first, recipient: "user@example.test", blob, bytes: TEXT });
    const [target] = one.targets;
    if (target === undefined) throw new Error("no target");
    const targets = random.shuffled(accounts).map(account => ({ ...target, account }));
    await store.deliver({ ...one, targets });
  };
  const flags = async (random: SeededRandom) => {
    const rows = await someEntries(random);
    const [first] = rows;
    if (first === undefined) return;
    await writer.change({
      mailbox: mailboxId(first.mailbox),
      uidValidity: first.validity,
      uids: Uint32Array.from(rows.map(row => row.uid)).sort(),
      op: random.pick(["add", "remove", "replace"] as const),
      flags: { system: random.whole(0, 7), keywords: random.chance(0.5) ? ["theirs"] : [] },
      unchangedSince: undefined,
      by: { peer: "x", user: "y" },
    });
  };
  const plugin = async (random: SeededRandom) => {
    const [first] = await someEntries(random);
    if (first === undefined) return;
    const what = random.pick([
      { tagsAdd: ["tag"] },
      { tagsRemove: ["tag"] },
      { folder: "A" },
      { folder: "INBOX" },
    ]);
    await messages.apply({
      ...{ messageId: messageId(first.message), accounts, by: [], job: "test", events: [] },
      changes: { ...NO_CHANGES, ...what },
    });
  };
  const seen = async (random: SeededRandom) => {
    const rows = await someEntries(random);
    const [first] = rows;
    if (first === undefined) return;
    const uids = rows.map(row => row.uid);
    await db.begin(tx => addSeen(tx, first.account, first.name, first.validity, uids));
  };
  const forget = () => forgetExpunges(db, { keepPerMailbox: 3, rowsPerStep: 2, steps: 10 });
  return [flags, flags, flags, deliver, plugin, plugin, seen, forget];
}

test("clients that change flags and all others that write to mailboxes never wait in a circle", async () => {
  const nodes = [nodeOver(await mail.open()), nodeOver(await mail.open())];
  const fill = new SeededRandom(1);
  for (let i = 0; i < MESSAGES; i++) await nodes[0]?.[3]?.(fill);
  const refused: unknown[] = [];
  const work = async (worker: number) => {
    const random = new SeededRandom(worker + 2);
    for (let turn = 0; turn < TURNS; turn++) {
      try {
        await random.pick(nodes[worker % nodes.length] ?? [])(random);
      } catch (error) {
        refused.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: WORKERS }, (_, i) => work(i)));
  assert.deepEqual(refused.map(stateOf), []);
  assert.deepEqual(await wrongMailboxes(), []);
});

function stateOf(error: unknown): string {
  const cause = error instanceof MairustError && sqlstateOf(error) === undefined ? error.cause : error;
  return `${sqlstateOf(cause)} ${String(error)}`;
}

/** Whose counters are not what its entries say, or whose MODSEQs are doubled or above the highest one. */
const wrongMailboxes = () => mail.db.query`
  select m.id, m.name, m.messages, m.unseen, m.size_bytes, m.highest_modseq, real.* from mailboxes m cross join lateral (
    select count(*) as n, count(*) filter (where flags & 1 = 0) as not_seen, coalesce(sum(size_bytes), 0)::bigint as octets,
           coalesce(max(modseq), 0) as top, coalesce(max(uid), 0) as last
    from entries where mailbox_id = m.id
  ) real
  where m.messages <> n or m.unseen <> not_seen or m.size_bytes <> octets or m.highest_modseq < top or m.uidnext <= last
     or exists (select 1 from entries e join expunged x on x.mailbox_id = m.id and x.uid = e.uid where e.mailbox_id = m.id)`;
