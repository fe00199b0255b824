/** The durable queue with real workers over PostgreSQL: leases, retries, cancellation, what happens when a worker is gone. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { MairustError } from "../../../src/core/errors.ts";
import type { JobQueue, JobRecord } from "../../../src/core/ports/jobs.ts";
import { type JobHandler, type JobRun, JobWorker, type WorkerLimits } from "../../../src/jobs/worker.ts";
import { deadlineAfter, sleep } from "../../../src/platform/deadline.ts";
import { createJobAdmin } from "../../../src/store/admin-jobs.ts";
import { createJobQueue, enqueueJob } from "../../../src/store/jobs.ts";
import { silentLog, startTestDatabase, type TestDatabase } from "../../lib/database.ts";

const UNTIL_MS = 60_000;
const FAST = { pollMs: 20, renewMs: 100, leaseMs: 60_000 };
/** A lease that ends during the test, and is renewed often enough for a busy machine. */
const SHORT_LEASE = { pollMs: 20, renewMs: 200, leaseMs: 5_000 };

let database: TestDatabase;
let queue: JobQueue;
let admin: ReturnType<typeof createJobAdmin>;
let kinds = 0;

before(async () => {
  database = await startTestDatabase();
  queue = createJobQueue({ db: database.db });
  admin = createJobAdmin({ db: database.db, onChange: () => undefined });
});
after(() => database.stop());

/** A kind of its own for each test. */
const newKind = () => `kind${++kinds}`;

async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  const end = performance.now() + UNTIL_MS;
  while (!(await condition())) {
    assert.ok(performance.now() < end, "did not come true in time");
    await sleep(10);
  }
}

const untilState = (id: number, state: JobRecord["state"]) =>
  until(async () => (await admin.get(id)).state === state);

function startWorker(
  kind: string,
  run: (run: JobRun) => Promise<void>,
  limits: Partial<WorkerLimits> = FAST,
  concurrency = 1,
  over = queue,
  abandoned: () => Promise<void> = async () => undefined,
) {
  const handler: JobHandler = { kind, concurrency, run, abandoned };
  const worker = new JobWorker({
    queue: over,
    handlers: [handler],
    owner: `${kind}-${Math.random()}`,
    log: silentLog,
    random: () => 0,
    limits,
    backOff: { firstMs: 20, maxMs: 50 },
  });
  worker.start();
  return {
    worker,
    async stop() {
      const deadline = deadlineAfter(30_000);
      await worker.stop(deadline);
      deadline.dispose();
    },
  };
}

/** Runs until it is told to end. */
const untilAborted = ({ signal }: JobRun) => sleep(UNTIL_MS * 10, signal);

test("two workers share the queue: every job runs once, and neither runs more at a time than it may", async () => {
  const kind = newKind();
  const ids = await Promise.all(
    Array.from({ length: 40 }, (_, n) => queue.enqueue({ kind, payload: { n } })),
  );
  const ran: number[] = [];
  const atOnce: number[] = [];
  let total = 0;
  const open = async () => {
    let running = 0;
    return startWorker(
      kind,
      async ({ job }) => {
        atOnce.push(++running);
        ran.push(job.id);
        // The first ones wait for each other, and then long enough for more to be claimed if that were allowed.
        total++;
        await until(() => total >= 6);
        if (total === 6) await sleep(500);
        running--;
      },
      { ...FAST, concurrency: 8 },
      3,
      createJobQueue({ db: await database.open() }),
    );
  };
  const workers = [await open(), await open()];
  await until(async () =>
    (await admin.counts()).some(c => c.kind === kind && c.state === "done" && c.count === 40),
  );
  for (const worker of workers) await worker.stop();
  assert.deepEqual(
    [...ran].sort((a, b) => a - b),
    [...ids].sort((a, b) => a - b),
  );
  assert.ok(Math.max(...atOnce) <= 3, `${Math.max(...atOnce)} at once`);
});

test("a job whose node died is taken over when its lease ends, and the dead owner can no longer change it", async () => {
  const kind = newKind();
  const id = await queue.enqueue({ kind, payload: {} });
  const [leased] = await queue.claim([kind], "dead", 60_000, 1);
  assert.equal(leased?.id, id);
  assert.deepEqual(await queue.claim([kind], "other", 60_000, 1), []);
  await database.db.run`update jobs set lease_until = now() + interval '100 ms' where id = ${id}`;
  const attempts: number[] = [];
  const { stop } = startWorker(kind, async ({ job }) => void attempts.push(job.attempts));
  await untilState(id, "done");
  await stop();
  assert.deepEqual(attempts, [2]);
  assert.equal(await queue.finish("dead", id, { kind: "done" }), undefined);
  assert.equal(await queue.saveCheckpoint("dead", id, { late: true }), false);
  assert.deepEqual(await queue.renew("dead", new Map([[id, 50]]), 300), []);
});

test("a job whose node died with its last attempt is dead, with the reason", async () => {
  const kind = newKind();
  const id = await queue.enqueue({ kind, payload: {}, maxAttempts: 1 });
  await queue.claim([kind], "dead", 1, 1);
  await until(async () => {
    assert.deepEqual(await queue.claim([kind], "other", 1000, 1), []);
    return (await admin.get(id)).state === "failed";
  });
  assert.match((await admin.get(id)).error ?? "", /node ended/u);
});

test("a job that runs longer than its lease keeps it by renewing, and its progress is seen meanwhile", async () => {
  const kind = newKind();
  const id = await queue.enqueue({ kind, payload: {} });
  let runs = 0;
  let release: () => void = () => undefined;
  const released = new Promise<void>(resolve => {
    release = resolve;
  });
  const work = async (run: JobRun) => {
    runs++;
    run.progress(40);
    await released;
  };
  const first = startWorker(kind, work, SHORT_LEASE);
  await until(() => runs === 1);
  const second = startWorker(kind, work, SHORT_LEASE);
  await until(async () => (await admin.get(id)).progress === 40);
  const [leased] = await database.db.query<{
    until: Date;
  }>`select lease_until as until from jobs where id = ${id}`;
  await until(async () => {
    const [row] = await database.db.query<{ over: boolean }>`select now() > ${leased?.until ?? null} as over`;
    return row?.over === true;
  });
  release();
  await untilState(id, "done");
  await first.stop();
  await second.stop();
  assert.equal(runs, 1);
});

test("a worker whose lease was taken ends its job instead of running beside the new owner", async () => {
  const kind = newKind();
  const id = await queue.enqueue({ kind, payload: {} });
  let ended = false;
  const { stop } = startWorker(kind, async run => {
    try {
      await untilAborted(run);
    } finally {
      ended = true;
    }
  });
  await untilState(id, "running");
  // What a node sees that slept through its lease.
  await database.db.run`update jobs set lease_owner = 'somebody else' where id = ${id}`;
  await until(() => ended);
  assert.equal((await admin.get(id)).state, "running");
  await stop();
});

test("a failed job runs again later, and is done when it works at last", async () => {
  const kind = newKind();
  const id = await queue.enqueue({ kind, payload: {} });
  const attempts: number[] = [];
  const { stop } = startWorker(kind, async ({ job }) => {
    attempts.push(job.attempts);
    if (job.attempts < 3) throw new Error("not yet");
  });
  await untilState(id, "done");
  await stop();
  assert.deepEqual(attempts, [1, 2, 3]);
  assert.equal((await admin.get(id)).error, undefined);
});

test("a job is dead after its last attempt, or at once when trying again is of no use, and can be run again by hand", async () => {
  const kind = newKind();
  const often = await queue.enqueue({ kind, payload: { retry: true }, maxAttempts: 2 });
  const once = await queue.enqueue({ kind, payload: { retry: false } });
  let works = false;
  const { stop } = startWorker(kind, async ({ job }) => {
    if (works) return;
    if (job.payload.retry === true) throw new Error("always");
    throw new MairustError("data_invalid", "Cannot ever do it");
  });
  await untilState(often, "failed");
  await untilState(once, "failed");
  assert.deepEqual([(await admin.get(often)).attempts, (await admin.get(once)).attempts], [2, 1]);
  assert.match((await admin.get(once)).error ?? "", /Cannot ever/u);
  works = true;
  // The worker may have it again before this answer.
  assert.notEqual((await admin.retry(often)).state, "failed");
  await untilState(often, "done");
  await stop();
  await assert.rejects(admin.retry(often), { code: "invalid_state" });
});

test("a waiting job is canceled at once, a running one is told to end; neither runs again", async () => {
  const kind = newKind();
  const running = await queue.enqueue({ kind, payload: {} });
  let runs = 0;
  const { worker, stop } = startWorker(kind, run => {
    runs++;
    return untilAborted(run);
  });
  await untilState(running, "running");
  const waiting = await queue.enqueue({ kind, payload: {} });
  assert.equal((await admin.cancel(waiting, "local:test")).state, "canceled");
  assert.equal((await admin.cancel(running, "local:test")).cancelRequested, true);
  await worker.checkCancels();
  await untilState(running, "canceled");
  await stop();
  assert.equal(runs, 1);
  await assert.rejects(admin.cancel(running, "local:test"), { code: "invalid_state" });
  await assert.rejects(admin.cancel(999_999_999, "local:test"), { code: "not_found" });
  assert.equal((await admin.get(waiting)).canceledBy, "local:test");
});

test("a job whose run fails, or is given back, while its end is asked for does not begin again", async () => {
  const kind = newKind();
  const failed = { kind: "failed", error: "not this time", delayMs: 0, final: false } as const;
  for (const end of [failed, { kind: "given_back" } as const]) {
    const id = await queue.enqueue({ kind, payload: {} });
    await queue.claim([kind], "me", 60_000, 1);
    await admin.cancel(id, "local:test");
    assert.equal(await queue.finish("me", id, end), "canceled");
    assert.ok((await admin.get(id)).finishedAt);
  }
});

test("a job that ends with its work undone is told of to its handler; one that is tried again is not", async () => {
  const kind = newKind();
  const told: string[] = [];
  const id = await queue.enqueue({ kind, payload: {}, maxAttempts: 2 });
  const fail = () => Promise.reject(new Error("no"));
  const { stop } = startWorker(kind, fail, FAST, 1, queue, async () => {
    told.push((await admin.get(id)).state);
  });
  await untilState(id, "failed");
  await until(() => told.length > 0);
  await stop();
  assert.deepEqual(told, ["failed"]);
});

test("stop() gives running jobs back: another node takes them at once, and the attempt does not count", async () => {
  const kind = newKind();
  const id = await queue.enqueue({ kind, payload: {} });
  const first = startWorker(kind, untilAborted);
  await untilState(id, "running");
  await first.stop();
  assert.deepEqual([(await admin.get(id)).state, (await admin.get(id)).attempts], ["queued", 0]);
  const { stop } = startWorker(kind, async () => undefined);
  await untilState(id, "done");
  await stop();
});

test("stop() does not wait for a job that will not end; its lease runs out by itself", async () => {
  const kind = newKind();
  const id = await queue.enqueue({ kind, payload: {} });
  let release: () => void = () => undefined;
  const { worker } = startWorker(
    kind,
    () =>
      new Promise(resolve => {
        release = resolve;
      }),
  );
  await untilState(id, "running");
  const deadline = deadlineAfter(50);
  await worker.stop(deadline);
  assert.equal((await admin.get(id)).state, "running");
  release();
  await until(() => worker.size === 0);
});

test("a job rides in the caller's transaction: rolled back, it was never there", async () => {
  const kind = newKind();
  const failure = new Error("roll back");
  await assert.rejects(
    database.db.begin(async tx => {
      await enqueueJob(tx, { kind, payload: {} });
      throw failure;
    }),
    failure,
  );
  assert.deepEqual((await admin.list({ kind, state: undefined }, { limit: 10 })).items, []);
});

test("a standing job is there once, runs again after its pause or when it is made due, and cannot be canceled", async () => {
  const kind = newKind();
  const add = () => database.db.run`insert into jobs (kind, repeat_ms) values (${kind}, 3600000)`;
  await add();
  await assert.rejects(add());
  let runs = 0;
  const { worker, stop } = startWorker(kind, async () => {
    if (++runs === 1)
      throw new MairustError("data_invalid", "Cannot do it: a standing job goes on all the same");
  });
  const [job] = (await admin.list({ kind, state: undefined }, { limit: 10 })).items;
  assert.ok(job?.standing);
  const rests = async (after: number) =>
    runs === after &&
    (await admin.get(job.id)).state === "queued" &&
    (await admin.get(job.id)).attempts === 0;
  await until(() => rests(2));
  await assert.rejects(admin.cancel(job.id, "local:test"), { code: "not_permitted" });
  await queue.makeDue(kind);
  worker.wake();
  await until(() => rests(3));
  await stop();
});

test("a standing job that is made due while it runs runs again at once", async () => {
  const kind = newKind();
  await database.db.run`insert into jobs (kind, repeat_ms) values (${kind}, 3600000)`;
  let runs = 0;
  const { stop } = startWorker(kind, async () => {
    if (++runs === 1) await queue.makeDue(kind);
  });
  await until(() => runs === 2);
  await stop();
});

test("what a handler kept is there in the next run, also when its node died", async () => {
  const kind = newKind();
  const id = await queue.enqueue({ kind, payload: {} });
  await queue.claim([kind], "dead", 100, 1);
  assert.equal(await queue.saveCheckpoint("dead", id, { at: 7 }), true);
  const seen: unknown[] = [];
  const { stop } = startWorker(kind, async ({ job }) => void seen.push(job.checkpoint));
  await untilState(id, "done");
  await stop();
  assert.deepEqual(seen, [{ at: 7 }]);
});

test("ended jobs go after their time, others stay", async () => {
  const kind = newKind();
  const ended = await queue.enqueue({ kind, payload: {} });
  await admin.cancel(ended, "local:test");
  const waiting = await queue.enqueue({ kind, payload: {} });
  await database.db.run`update jobs set finished_at = now() - interval '20 days' where id = ${ended}`;
  assert.ok((await queue.deleteFinished(14)) >= 1);
  await assert.rejects(admin.get(ended), { code: "not_found" });
  assert.equal((await admin.get(waiting)).state, "queued");
});

test("what was done for one message goes sooner, what failed stays as long as all others", async () => {
  const kind = newKind();
  const message = "0190a000-0000-7000-8000-000000000001";
  const add = (messageId?: string) =>
    queue.enqueue({ kind, payload: {}, ...(messageId === undefined ? {} : { messageId }) });
  const [done, failed, other] = [await add(message), await add(message), await add()];
  const end = (id: number, state: string) =>
    database.db
      .run`update jobs set state = ${state}, finished_at = now() - interval '2 days' where id = ${id}`;
  await end(done, "done");
  await end(failed, "failed");
  await end(other, "done");
  assert.equal(await queue.deleteFinished(14, 1), 1);
  assert.equal(await queue.deleteFinished(14, 1), 0);
  await assert.rejects(admin.get(done), { code: "not_found" });
  for (const id of [failed, other]) assert.equal((await admin.get(id)).id, id);
});
