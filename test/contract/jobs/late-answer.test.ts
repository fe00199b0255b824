/** Late answers as durable jobs: whose copies they change, before and after the message is stored, and when they give up. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { parseMailAddress } from "../../../src/core/envelope.ts";
import { messageId } from "../../../src/core/ids.ts";
import type { LateAnswer } from "../../../src/core/ports/hooks.ts";
import {
  createLateAnswerHandler,
  createLateAnswers,
  LATE_ANSWER_WAIT_MS,
} from "../../../src/jobs/handlers/late-answer.ts";
import { uuid7Generator } from "../../../src/platform/uuid7.ts";
import { NO_CHANGES, openResults, type Results, type TestAccount, until } from "./results-rig.ts";

const newId = uuid7Generator();
let rig: Results;
before(async () => {
  rig = await openResults();
});
after(() => rig?.close());

function answerOf(
  recipients: readonly (TestAccount | string)[],
  change: Partial<LateAnswer> = {},
): LateAnswer {
  return {
    point: "pre_delivery",
    hook: "slow",
    pluginId: "com.example.slow",
    pluginVersion: "1.0.0",
    callId: newId(),
    messageId: messageId(newId()),
    queueId: newId(),
    recipients: recipients.map(one => (typeof one === "string" ? one : one.address)),
    changes: { ...NO_CHANGES, tagsAdd: ["late"] },
    ...change,
  };
}

const startWorker = (now = () => new Date()) =>
  rig.worker(
    createLateAnswerHandler({
      messages: rig.messages,
      directory: rig.directory,
      recordEvents: rig.recordEvents,
      now,
    }),
  );

async function enqueue(answer: LateAnswer, at = new Date()): Promise<number> {
  await createLateAnswers(rig.queue, () => at)(answer);
  const { items } = await rig.admin.list({ kind: "late_answer", state: undefined }, { limit: 1 });
  assert.ok(items[0]);
  return items[0].id;
}

/** Account ids that have the tag. */
async function tagged(id: LateAnswer["messageId"], tag = "late"): Promise<readonly number[]> {
  return (await rig.copies(id)).filter(copy => copy.keywords.includes(tag)).map(copy => copy.account);
}

test("an answer for a stored message changes the copies of its recipients, and tells whose wish it was", async () => {
  const [one, two] = [await rig.account(), await rig.account()];
  const id = await rig.deliver([one, two]);
  const changes = { ...NO_CHANGES, tagsAdd: ["late"], folder: "Late", metadata: { "plugin:x:n": 1 } };
  const answer = answerOf([one], { messageId: id, changes });
  const job = await enqueue(answer);
  assert.equal((await rig.admin.get(job)).messageId, id);
  const { stop } = startWorker();
  await rig.untilState(job, "done");
  await stop();
  assert.deepEqual(await tagged(id), [one.id]);
  const [event, ...more] = await rig.events(id, "changed");
  assert.deepEqual(more, []);
  assert.deepEqual([event?.recipient, event?.job], [one.address, "late_answer"]);
  assert.deepEqual(event?.by, [
    {
      plugin_id: "com.example.slow",
      hook: "slow",
      call_id: answer.callId,
      changes: ["tags", "metadata", "folder"],
    },
  ]);
});

test("an answer that comes before the message is stored waits for it", async () => {
  const account = await rig.account();
  const delivery = await rig.delivery([account]);
  const job = await enqueue(
    answerOf([account], { messageId: delivery.messageId, queueId: delivery.queueId }),
  );
  const { stop } = startWorker();
  await until(async () => (await rig.admin.get(job)).attempts >= 2);
  assert.match((await rig.admin.get(job)).error ?? "", /1 of 1 copies are not stored yet/u);
  await rig.store.deliver(delivery);
  await rig.untilState(job, "done");
  await stop();
  assert.deepEqual(await tagged(delivery.messageId), [account.id]);
});

test("by the queue id it finds each recipient's copy, in whatever transaction it comes", async () => {
  const [one, two, other] = [await rig.account(), await rig.account(), await rig.account()];
  const queueId = newId();
  const job = await enqueue(answerOf([one, two], { point: "pre_receive", queueId }));
  const first = await rig.deliver([one, other], { queueId });
  const { stop } = startWorker();
  await until(async () => (await tagged(first)).length > 0);
  const second = await rig.deliver([two], { queueId });
  await rig.untilState(job, "done");
  await stop();
  assert.deepEqual(await tagged(first), [one.id]);
  assert.deepEqual(await tagged(second), [two.id]);
});

test("recipients are found as delivery finds them: by alias, in any case, without detail", async () => {
  const [one, two, three, other] = [
    await rig.account(),
    await rig.account(),
    await rig.account(),
    await rig.account(),
  ];
  await rig.db.run`
    insert into aliases (domain, local_part, account_id) values ('example.test', 'sales', ${one.id})`;
  const queueId = newId();
  const id = await rig.deliver([one, two, three, other], { queueId });
  const local = parseMailAddress(two.address).local;
  const recipients = ["Sales@Example.Test", `${local}+shop@example.test`, three.address.toUpperCase()];
  const job = await enqueue(answerOf(recipients, { point: "pre_receive", queueId }));
  const { stop } = startWorker();
  await rig.untilState(job, "done");
  await stop();
  assert.deepEqual(await tagged(id), [one.id, two.id, three.id]);
});

test("an address that the MTA rewrote changes nobody's copy, but for an answer for everyone of that queue id", async () => {
  const [one, two] = [await rig.account(), await rig.account()];
  const queueId = newId();
  const id = await rig.deliver([one, two], { queueId });
  const unrelated = await rig.deliver([one, two]);
  const past = new Date(Date.now() - LATE_ANSWER_WAIT_MS);
  const some = answerOf(["list@example.test", one], { point: "pre_receive", queueId });
  const job = await enqueue(some, past);
  const everyone = answerOf(["list@example.test"], {
    point: "pre_receive",
    queueId,
    everyone: true,
    changes: { ...NO_CHANGES, tagsAdd: ["all"] },
  });
  const forAll = await enqueue(everyone, past);
  const { stop } = startWorker();
  await rig.untilState(job, "done");
  await rig.untilState(forAll, "done");
  await stop();
  assert.deepEqual(await tagged(id), [one.id]);
  assert.deepEqual(await tagged(id, "all"), [one.id, two.id]);
  assert.deepEqual(await tagged(unrelated, "all"), []);
  await until(async () => (await rig.events(some.messageId, "job")).length > 0);
  const [event] = await rig.events(some.messageId, "job");
  assert.deepEqual([event?.recipient, event?.result], ["list@example.test", "not_applicable"]);
});

test("older mail under the same queue id is another message", async () => {
  const account = await rig.account();
  const queueId = newId();
  const old = await rig.deliver([account], { queueId, receivedAt: new Date(Date.now() - 3_600_000) });
  const job = await enqueue(answerOf([account], { point: "pre_receive", queueId }));
  const { stop } = startWorker();
  await until(async () => (await rig.admin.get(job)).attempts >= 2);
  const fresh = await rig.deliver([account], { queueId });
  await rig.untilState(job, "done");
  await stop();
  assert.deepEqual(await tagged(old), []);
  assert.deepEqual(await tagged(fresh), [account.id]);
});

test("what is never stored is given up after its time, in the timeline, and not as a dead job", async () => {
  const account = await rig.account();
  const answer = answerOf([account, "nobody@elsewhere.test"]);
  const job = await enqueue(answer);
  let now = new Date();
  const { stop } = startWorker(() => now);
  await until(async () => (await rig.admin.get(job)).attempts >= 2);
  now = new Date(now.getTime() + LATE_ANSWER_WAIT_MS);
  await rig.untilState(job, "done");
  await stop();
  await until(async () => (await rig.events(answer.messageId, "job")).length >= 2);
  assert.deepEqual(
    (await rig.events(answer.messageId, "job")).map(event => [event.recipient, event.job, event.result]),
    [
      [account.address, "late_answer", "not_applicable"],
      ["nobody@elsewhere.test", "late_answer", "not_applicable"],
    ],
  );
});

test("an id that is no stored message's, and a payload that is no answer, harm nothing", async () => {
  const account = await rig.account();
  const queueId = newId();
  const id = await rig.deliver([account], { queueId });
  const odd = await enqueue(
    answerOf([account], { messageId: messageId("trace-4711"), queueId, point: "pre_receive" }),
  );
  const broken = await rig.queue.enqueue({ kind: "late_answer", payload: { hook: 1 } });
  const { stop } = startWorker();
  await rig.untilState(odd, "done");
  await rig.untilState(broken, "failed");
  await stop();
  assert.deepEqual(await tagged(id), [account.id]);
});

test("what a hook at pre_send says late changes no recipient's copy of mail that stays here", async () => {
  const account = await rig.account();
  const queueId = newId();
  const id = await rig.deliver([account], { queueId });
  const answer = answerOf([account], { point: "pre_send", queueId, everyone: true });
  const job = await enqueue(answer);
  const { stop } = startWorker();
  await rig.untilState(job, "done");
  await stop();
  assert.deepEqual(await tagged(id), []);
  await until(async () => (await rig.events(answer.messageId, "job")).length > 0);
  assert.equal((await rig.events(answer.messageId, "job"))[0]?.result, "not_applicable");
});
