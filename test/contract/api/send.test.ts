/** `POST /api/v1/send` without a mail server: what is queued, what a key repeats, who may send, and what a killed process leaves. */
import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { after, before, test } from "node:test";
import { MairustError } from "../../../src/core/errors.ts";
import { messageId } from "../../../src/core/ids.ts";
import {
  type OutboxWork,
  type OutgoingAttempt,
  type RefusedRecipient,
  SEND_MAIL_JOB,
} from "../../../src/core/ports/outbox.ts";
import { failureNotice } from "../../../src/delivery/failure-notice.ts";
import { endAbandonedMails } from "../../../src/jobs/handlers/abandoned-mail.ts";
import type { SendMailOptions } from "../../../src/jobs/handlers/mail-results.ts";
import { createSendMailHandler } from "../../../src/jobs/handlers/send-mail.ts";
import type { JobRun } from "../../../src/jobs/worker.ts";
import { sleep } from "../../../src/platform/deadline.ts";
import type { Db } from "../../../src/store/db.ts";
import { createIdempotencyKeys } from "../../../src/store/idempotency.ts";
import { createOutboxWork } from "../../../src/store/outbox-work.ts";
import { createSubmissions } from "../../../src/store/submissions.ts";
import { silentLog } from "../../lib/database.ts";
import { type RunningService, startService } from "./service.ts";

const SEND = "/api/v1/send";
let running: RunningService;
let db: Db;

before(async () => {
  // Nobody listens there.
  running = await startService(['outbound.smtp="inet:127.0.0.1:1"']);
  db = await running.database();
  for (const address of ["taro@example.test", "full@example.test"])
    await running.ask("POST", "/api/v1/accounts", { body: { address } });
});
after(() => running.stop());

const mail = (change: object = {}) => ({
  from: "taro@example.test",
  to: ["hanako@example.org"],
  text: "x",
  ...change,
});
const post = (body: object, key?: string, path = SEND) =>
  running.ask("POST", path, { body, headers: key === undefined ? {} : { "idempotency-key": key } });

async function until<T>(look: () => Promise<T | undefined | false>): Promise<T> {
  const end = performance.now() + 60_000;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    assert.ok(performance.now() < end, "did not come true in time");
    await sleep(20);
  }
}

async function count(table: "outbox" | "messages"): Promise<number> {
  const [row] = await (table === "outbox"
    ? db.query<{ n: number }>`select count(*) as n from outbox`
    : db.query<{ n: number }>`select count(*) as n from messages`);
  return row?.n ?? 0;
}

test("a mail is queued with its copy in Sent, and shown with what keeps it", async () => {
  const { status, body, headers } = await post(mail({ cc: ["b@example.org"], subject: "日本" }));
  assert.equal(status, 202, JSON.stringify(body));
  assert.deepEqual(
    [body.state, body.sent_copy, headers.location],
    ["queued", "stored", `${SEND}/${body.id}`],
  );
  const listed = await running.ask("GET", `${SEND}?state=queued&purpose=send`);
  assert.equal((listed.body.items as { id: string }[])[0]?.id, body.id);
  const [copy] = await db.query<{ name: string; flags: number; special: string }>`
    select b.name, e.flags, b.special_use as special from entries e join mailboxes b on b.id = e.mailbox_id
    where e.message_id = ${String(body.message_id)}::uuid`;
  assert.deepEqual(copy, { name: "Sent", flags: 1, special: "\\Sent" });
});

test("the same key gives the same answer once more, another body 422, one that runs 409", async () => {
  const first = await post(mail(), "k1");
  const before = await count("outbox");
  const again = await post(mail(), "k1");
  assert.deepEqual([again.status, again.body], [202, first.body]);
  assert.equal(await count("outbox"), before);
  assert.equal((await post(mail({ text: "y" }), "k1")).status, 422);
  const message = Buffer.from("From: taro@example.test\nTo: a@example.org\n\nx\n");
  const raw = () =>
    running.ask("POST", SEND, {
      message,
      headers: { "content-type": "message/rfc822", "idempotency-key": "raw" },
    });
  const [one, two] = [await raw(), await raw()];
  assert.deepEqual([one.status, two.body], [202, one.body], "Date and Message-ID that we add do not count");
  const keys = createIdempotencyKeys(db);
  const digest = createHash("sha256").update(JSON.stringify(mail())).digest("hex");
  await keys.begin("send", "k2", digest, messageId(randomUUID()));
  assert.equal((await post(mail(), "k2")).status, 409);
});

test("a process that was killed with a key in hand: what it did is found, what it did not is done", async () => {
  const keys = createIdempotencyKeys(db);
  const digest = createHash("sha256").update(JSON.stringify(mail())).digest("hex");
  const expire = () =>
    db.run`update idempotency set lease_until = now() - interval '1 second' where key like 'killed%'`;
  await keys.begin("send", "killed before", digest, messageId(randomUUID()));
  const done = await post(mail());
  await keys.begin("send", "killed after", digest, messageId(String(done.body.message_id)));
  await expire();
  const before = await count("outbox");
  const resumed = await post(mail(), "killed-x");
  assert.equal(resumed.status, 202);
  await db.run`update idempotency set key = replace(key, ' ', '-') where key like 'killed %'`;
  const found = await post(mail(), "killed-after");
  assert.deepEqual([found.status, found.body.id], [202, done.body.id]);
  assert.equal(await count("outbox"), before + 1);
  assert.equal((await post(mail(), "killed-before")).status, 202);
  assert.equal(await count("outbox"), before + 2);
});

test("nobody sends for another; a refused request keeps nothing, and its key stays free", async () => {
  const before = [await count("outbox"), await count("messages")];
  for (const [change, status, code] of [
    [{ from: "boss@elsewhere.test" }, 403, "not_permitted"],
    [{ from: "nobody@example.test" }, 403, "not_permitted"],
    [{ to: ["a@b.test\r\nRCPT TO:<c@d.test>"] }, 400, "address_syntax"],
    [{ subject: "x\r\nBcc: c@d.test" }, 400, "invalid_argument"],
    [{ to: [] }, 400, "invalid_argument"],
    [{ attachments: [{ filename: "a", content: "!!" }] }, 400, "invalid_argument"],
    [{ extra: 1 }, 400, "invalid_argument"],
    [
      { to: Array.from({ length: 499 }, (_, i) => `a${i}@b.test`), cc: ["x@b.test", "y@b.test"] },
      400,
      "invalid_argument",
    ],
  ] as const) {
    const { body, ...answer } = await post(mail(change), "refused");
    assert.deepEqual([answer.status, body.code], [status, code], JSON.stringify(change).slice(0, 100));
  }
  const tried = await post(mail(), undefined, `${SEND}?dry_run=true`);
  assert.deepEqual([tried.status, tried.body.state, tried.body.id], [200, "checked", null]);
  assert.deepEqual([await count("outbox"), await count("messages")], before);
  assert.equal((await post(mail(), "refused")).status, 202);
});

test("a full mailbox gets no copy, and the mail goes all the same; removing the account takes nothing from it", async () => {
  const first = await post(mail({ from: "full@example.test" }));
  assert.equal(first.body.sent_copy, "stored");
  await db.run`update accounts set quota_bytes = 1 where local_part = 'full'`;
  const { body } = await post(mail({ from: "full@example.test" }));
  assert.deepEqual([body.state, body.sent_copy], ["queued", "over_quota"]);
  const removed = await running.ask("DELETE", "/api/v1/accounts/full@example.test");
  assert.ok(removed.status < 300, JSON.stringify(removed.body));
  for (const { message_id: id } of [first.body, body]) {
    const rows = await db.query`select 1 as one from messages where message_id = ${String(id)}::uuid`;
    assert.equal(rows.length, 1, "it is still to be sent");
  }
});

/** Once it was tried, in vain. */
async function deferred(change: object): Promise<{ id: string; job: number; message: string }> {
  const { body } = await post(mail(change));
  const shown = await until(async () => {
    const { body: now } = await running.ask("GET", `${SEND}/${body.id}`);
    return recipientsOf(now).every(one => one.reply !== "") ? now : undefined;
  });
  // The end of the run is written down after what came of it.
  await until(async () => (await running.ask("GET", `/api/v1/jobs/${shown.job}`)).body.state === "queued");
  return { id: String(body.id), job: Number(shown.job), message: String(body.message_id) };
}

const recipientsOf = (body: Readonly<Record<string, unknown>>) =>
  body.recipients as ReadonlyArray<{ readonly state: string; readonly reply: string }>;

/** The bounce for a mail, while it waits to be sent. */
async function bounceOf(id: string): Promise<string | undefined> {
  const [row] = await db.query<{ content: Uint8Array }>`
    select content from outbox where once_key = ${`dsn:failure:${id}`} and mail_from = ''`;
  return row === undefined ? undefined : Buffer.from(row.content).toString();
}

test("a mail whose job is canceled says who did it and when; only who was refused before is told of by a bounce", async () => {
  const { id, job, message } = await deferred({ to: ["first@example.org", "second@example.org"] });
  await db.run`
    update outbox_recipients set state = 'refused', reply = '550 5.1.1 nobody' where outbox_id = ${id}::uuid and ord = 1`;
  const canceled = await running.ask("POST", `/api/v1/jobs/${job}/cancel`);
  assert.match(String(canceled.body.canceled_by), /^local/u);
  const shown = await until(async () => {
    const { body } = await running.ask("GET", `${SEND}/${id}`);
    return body.state === "queued" ? undefined : body;
  });
  assert.deepEqual([shown.state, shown.canceled_by], ["canceled", canceled.body.canceled_by]);
  assert.ok(Date.parse(String(shown.ended_at)));
  assert.deepEqual(
    recipientsOf(shown).map(({ state, reply }) => `${state}: ${reply}`),
    [`canceled: canceled by ${shown.canceled_by}`, "refused: 550 5.1.1 nobody"],
  );
  const bounce = (await bounceOf(id)) ?? "";
  assert.match(bounce, /^Final-Recipient: rfc822; second@example\.org\r$/mu);
  assert.doesNotMatch(bounce, /rfc822; first@/u);
  const story = await running.ask("GET", `/api/v1/messages/${message}/timeline`);
  assert.match(JSON.stringify(story.body), /"kind":"canceled".*canceled by local/u);
  const again = await running.ask("POST", `/api/v1/jobs/${job}/retry`);
  assert.deepEqual([again.status, again.body.code], [409, "invalid_state"], "nothing is left to be sent");
  const none = await deferred({ to: ["third@example.org"] });
  await running.ask("POST", `/api/v1/jobs/${none.job}/cancel`);
  await until(async () => (await running.ask("GET", `${SEND}/${none.id}`)).body.state === "canceled");
  assert.equal(await bounceOf(none.id), undefined);
});

/** As the service runs the job, but for what `submit` does; nothing of it is sent. */
function workedBy(submit: SendMailOptions["submit"], change: Partial<OutboxWork> = {}): SendMailOptions {
  const work = createOutboxWork({ db, newId: randomUUID, onQueued: () => undefined });
  const parts = { hostname: "mail.example.test", now: new Date(), header: Buffer.from("Subject: x\r\n\r\n") };
  return {
    ...{ work: { ...work, ...change }, log: silentLog, submit },
    ...{ onResult: () => undefined, onUnknown: () => undefined },
    notice: async (one: OutgoingAttempt, refused: readonly RefusedRecipient[]) =>
      failureNotice(one, refused, parts),
  };
}

test("a job that is retried while its mail is being ended is refused when the mail has ended", async () => {
  const { id, job } = await deferred({ to: ["ending@example.org"] });
  await db.run`
    update jobs set state = 'canceled', cancel_by = 'hanako', finished_at = now() where id = ${job} and state = 'queued'`;
  const [holder, watcher] = [await running.database(), await running.database()];
  const waits = (count: number) =>
    until(async () => {
      const [row] = await watcher.query<{ n: number }>`
        select count(*) as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
      return (row?.n ?? 0) >= count;
    });
  // Holds up whoever ends it, in the middle.
  const [ending, again] = await holder
    .begin(async tx => {
      await tx.query`select ord from outbox_recipients where outbox_id = ${id}::uuid for update`;
      const ended = endAbandonedMails(workedBy(() => Promise.reject(new Error("not sent"))));
      await waits(1);
      const retried = running.ask("POST", `/api/v1/jobs/${job}/retry`);
      await waits(2);
      return [ended, retried] as const;
    })
    .then(both => Promise.all(both));
  assert.equal(ending, 1);
  assert.deepEqual([again.status, again.body.code], [409, "invalid_state"]);
  const { body } = await running.ask("GET", `/api/v1/jobs/${job}`);
  assert.equal(body.state, "canceled");
});

test("a mail that is canceled while its end is on the way never counts as surely not sent, in its last run either", async () => {
  const { id, job } = await deferred({ to: ["perhaps@example.org"] });
  const cut = new AbortController();
  const options = workedBy(async () => {
    cut.abort(new MairustError("draining", "Cannot go on: cancel"));
    throw new MairustError("store_unavailable", "no answer", { context: { unknown: true } });
  });
  await assert.rejects(createSendMailHandler(options).run(lastRun(id, cut.signal)));
  await db.run`
    update jobs set state = 'canceled', cancel_by = 'hanako', finished_at = now() where id = ${job} and state = 'queued'`;
  await endAbandonedMails(options);
  const { body } = await running.ask("GET", `${SEND}/${id}`);
  assert.deepEqual(
    recipientsOf(body).map(({ state, reply }) => `${state}: ${reply}`),
    ["canceled: canceled by hanako; the last try may have been taken"],
  );
});

test("a mail that has ended is not sent by a process that stood still with it in hand", async () => {
  const { id, job } = await deferred({ to: ["late@example.org"] });
  const { work } = workedBy(() => Promise.reject(new Error("not sent")));
  const opened = await work.open(id);
  await db.run`
    update jobs set state = 'canceled', cancel_by = 'hanako', finished_at = now() where id = ${job} and state = 'queued'`;
  let sent = 0;
  const late = workedBy(
    async () => {
      sent += 1;
      return [{ taken: true, text: "250 ok" }];
    },
    { open: async () => opened },
  );
  assert.ok((await endAbandonedMails(workedBy(late.submit))) >= 1);
  await createSendMailHandler(late).run(lastRun(id, new AbortController().signal));
  assert.equal(sent, 0);
  assert.equal((await running.ask("GET", `${SEND}/${id}`)).body.state, "canceled");
});

test("who lost a job while it sent leaves the try of who has it now alone", async () => {
  const { id } = await deferred({ to: ["both@example.org"] });
  const { work } = workedBy(() => Promise.reject(new Error("not sent")));
  const [late, now] = [await work.begin(id), await work.begin(id)];
  await work.record(id, [], { token: late });
  const isOpen = async (token = "") =>
    (await createSubmissions(db).take(token, "4WsRJ55TZyz1J2k", [])) !== undefined;
  assert.ok((await work.open(id))?.interrupted !== undefined, "it may be taken");
  assert.ok(await isOpen(now), "and our milter knows it");
  await work.record(id, [], { token: now });
  assert.equal((await work.open(id))?.interrupted, undefined);
});

test("what came back counts by a queue id that is never given twice, wherever its time has a z; by a short one never", async () => {
  const { id } = await deferred({ to: ["back@example.org"] });
  const { work } = workedBy(() => Promise.reject(new Error("not sent")));
  const ids = [
    ...["4jX8K62SRDzS3mN", "4jX8Mg1CzBzS1cx", "4jX8Mz1FR1zS3m0", "4zzzzz0zzzz1", "14jX8Mz1FRzzS3m0"],
    ...["8D2F01C0A1B2", "4jX8K62SRDS3mN", "4jX8K62SRDzS3mNz", "z4jX8K62SzS1"],
  ];
  const back: string[] = [];
  for (const queueId of ids) {
    const token = (await work.begin(id)) ?? "";
    await createSubmissions(db).take(token, queueId, ["back@example.org"]);
    assert.deepEqual((await work.open(id))?.interrupted, { queueId, cameBackFor: [] });
    await db.run`
      insert into deliveries (queue_id, recipient, digest, message_id)
      values (${queueId}, 'back@example.org', decode('00', 'hex'), ${randomUUID()}::uuid)`;
    if ((await work.open(id))?.interrupted?.cameBackFor.length === 1) back.push(queueId);
  }
  assert.deepEqual(back, ids.slice(0, 5));
});

const lastRun = (outbox: string, signal: AbortSignal): JobRun => ({
  job: {
    ...{ id: 0, kind: SEND_MAIL_JOB, payload: { outbox }, messageId: undefined, checkpoint: {} },
    ...{ attempts: 3, maxAttempts: 3, repeatMs: undefined },
  },
  signal,
  progress: () => undefined,
  saveCheckpoint: async () => undefined,
});

test("a mail whose job is dead ends with a bounce; one whose job is due again is left alone", async () => {
  const { id, job } = await deferred({ to: ["dead@example.org"] });
  const options = workedBy(() => Promise.reject(new Error("nothing is sent here")));
  const { work } = options;
  const stale = { ...work, abandoned: async () => [{ id, canceledBy: undefined }] };
  assert.equal(await endAbandonedMails({ ...options, work: stale }), 0);
  await db.run`update jobs set state = 'failed', finished_at = now() where id = ${job} and state = 'queued'`;
  // What cannot be ended holds up no other.
  const broken = {
    ...stale,
    abandoned: async () => [{ id: "no uuid", canceledBy: undefined }, ...(await work.abandoned())],
  };
  assert.equal(await endAbandonedMails({ ...options, work: broken }), 1);
  const { body: ended } = await running.ask("GET", `${SEND}/${id}`);
  assert.deepEqual([ended.state, ended.canceled_by], ["failed", null]);
  const [recipient] = recipientsOf(ended);
  assert.match(`${recipient?.state}: ${recipient?.reply}`, /^refused: it is not tried any more: .*inet:127/u);
  assert.match((await bounceOf(id)) ?? "", /^Final-Recipient: rfc822; dead@example\.org\r$/mu);
  await work.record(id, []);
});
