/** The job that a stored message leaves: made by the same commit as the message, and by no other. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { messageId } from "../../../src/core/ids.ts";
import type { Delivery } from "../../../src/core/ports/store.ts";
import { uuid7Generator } from "../../../src/platform/uuid7.ts";
import { FOLLOW_UP_ATTEMPTS, storeDeliveries } from "../../../src/store/deliver-rows.ts";
import { openResults, type Results } from "../jobs/results-rig.ts";

const newId = uuid7Generator();
let rig: Results;
before(async () => {
  rig = await openResults();
});
after(() => rig?.close());

const again = (delivery: Delivery): Delivery => ({ ...delivery, messageId: messageId(newId()) });
const callOf = (batch: readonly Delivery[]) => ({ batch, lockMs: 1000, windowS: 3600, makeMissing: false });

test("a stored message leaves one job, however many copies it has, written by the message's own transaction", async () => {
  const accounts = [await rig.account(), await rig.account()];
  const id = await rig.deliver(accounts);
  const rows = await rig.db.query<{ same: boolean; kind: string; max_attempts: number; payload: object }>`
    select j.xmin = m.xmin as same, j.kind, j.max_attempts, j.payload
    from jobs j join messages m on m.message_id = j.message_id where m.message_id = ${id}::uuid`;
  assert.deepEqual(rows, [
    { same: true, kind: "post_receive", max_attempts: FOLLOW_UP_ATTEMPTS, payload: {} },
  ]);
});

test("a transaction that does not commit leaves neither message nor job", async () => {
  const delivery = await rig.delivery([await rig.account()]);
  const inside: number[] = [];
  await assert.rejects(
    rig.db.begin(async tx => {
      await storeDeliveries(tx, callOf([delivery]));
      const [row] = await tx.query<{ n: number }>`
        select count(*) as n from jobs where message_id = ${delivery.messageId}::uuid`;
      inside.push(row?.n ?? 0);
      throw new Error("the end");
    }),
  );
  assert.deepEqual(inside, [1]);
  assert.deepEqual(await rig.jobsOf(delivery.messageId), []);
  assert.deepEqual(await rig.copies(delivery.messageId), []);
});

test("what is not stored leaves no job: a redelivery, also within one batch, a full account, one that is gone", async () => {
  const account = await rig.account();
  const first = await rig.delivery([account]);
  const second = again(first);
  await Promise.all([rig.store.deliver(first), rig.store.deliver(second)]);
  const third = again(first);
  const [result] = await rig.store.deliver(third);
  assert.equal(result?.kind, "duplicate");
  const full = await rig.account();
  await rig.db.run`update accounts set quota_bytes = 1 where id = ${full.id}`;
  const tooMuch = await rig.delivery([full]);
  const gone = await rig.account();
  const late = await rig.delivery([gone]);
  await rig.db.run`delete from mailboxes where account_id = ${gone.id}`;
  await rig.db.run`delete from accounts where id = ${gone.id}`;
  const kinds = [await rig.store.deliver(tooMuch), await rig.store.deliver(late)].map(([one]) => one?.kind);
  assert.deepEqual(kinds, ["over_quota", "gone"]);
  assert.equal((await rig.jobsOf(first.messageId)).length, 1);
  for (const one of [second, third, tooMuch, late])
    assert.deepEqual(await rig.jobsOf(one.messageId), [], one.messageId);
});

test("in one batch only those that want a job leave one, and those that were stored for somebody", async () => {
  const [one, two] = [await rig.account(), await rig.account()];
  await rig.db.run`update accounts set quota_bytes = 1 where id = ${two.id}`;
  const partly = await rig.delivery([one, two]);
  const { followUp, ...plain } = await rig.delivery([one]);
  assert.equal(followUp, "post_receive");
  await rig.db.begin(tx => storeDeliveries(tx, callOf([plain, partly])));
  assert.equal((await rig.jobsOf(partly.messageId)).length, 1);
  assert.deepEqual(await rig.jobsOf(plain.messageId), []);
});
