/** The job after the commit, with a chain that does what the test says, over real stored mail and the real queue. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { ChainOptions, HookRunner, MessageFacts } from "../../../src/core/ports/hooks.ts";
import { FLAG_FLAGGED } from "../../../src/core/ports/store.ts";
import { createPostReceiveHandler } from "../../../src/jobs/handlers/post-receive.ts";
import { sleep } from "../../../src/platform/deadline.ts";
import { FOLLOW_UP_ATTEMPTS } from "../../../src/store/deliver-rows.ts";
import { pluginOf, rigOf, rowOf } from "../../unit/hooks/rig.ts";
import { chainOf, decided, openResults, type Results, type TestAccount, until } from "./results-rig.ts";

let rig: Results;
before(async () => {
  rig = await openResults();
});
after(() => rig?.close());

interface Call {
  readonly facts: MessageFacts;
  readonly options: ChainOptions;
}

/** A worker whose chain notes what it was asked, and answers so. */
function startWorker(run: HookRunner["run"], firstMs?: number) {
  const calls: Call[] = [];
  const handler = createPostReceiveHandler({
    messages: rig.messages,
    blobs: rig.blobs,
    recordEvents: rig.recordEvents,
    now: () => new Date(),
    hooks: () =>
      chainOf((point, facts, deadline, options) => {
        assert.equal(point, "post_receive");
        calls.push({ facts, options: options ?? {} });
        return run(point, facts, deadline, options);
      }),
  });
  return { calls, ...rig.worker(handler, firstMs) };
}

async function jobOf(id: Parameters<Results["jobsOf"]>[0]) {
  const [job] = await rig.jobsOf(id);
  assert.ok(job);
  return job;
}

const by = (...hooks: string[]) =>
  hooks.map(hook => ({ plugin_id: `com.example.${hook}`, hook, changes: ["tags" as const] }));

test("each account has its own chain over the stored message, and its decision changes its copy alone", async () => {
  const [one, two] = [await rig.account(), await rig.account()];
  const id = await rig.deliver([one, two], {
    mailFrom: "sender@example.org",
    events: [
      { at: new Date(), kind: "received", data: { client_ip: "192.0.2.1", client_name: "mx.example.org" } },
    ],
  });
  await rig.messages.apply({
    messageId: id,
    accounts: [one.id],
    changes: {
      tagsAdd: ["early", "spam"],
      tagsRemove: [],
      systemFlags: 0,
      keywords: ["$Work"],
      folder: undefined,
      metadata: {},
    },
    by: [],
    job: "test",
    events: [],
  });
  const { calls, stop } = startWorker(async (_point, { recipients, tags }) => ({
    ...decided(recipients, {
      // As a merge does: all tags that the message has then.
      tags: [...tags.filter(tag => tag !== "spam"), "done"],
      provenance: by("tagger"),
      ...(recipients[0] === one.address
        ? { folder: "Sorted", flags: { system: FLAG_FLAGGED, keywords: [] }, metadata: { "plugin:x:n": 1 } }
        : {}),
    }),
    events: [{ at: new Date(), kind: "hook_call", recipient: recipients[0] ?? "", data: { hook: "tagger" } }],
  }));
  const job = await jobOf(id);
  await rig.untilState(job.id, "done");
  await stop();
  const copies = (await rig.copies(id)).map(({ account, mailbox, flags, keywords, metadata }) => ({
    account,
    mailbox,
    flags,
    keywords: [...keywords].sort(),
    metadata,
  }));
  const mine = {
    mailbox: "Sorted",
    flags: FLAG_FLAGGED,
    keywords: ["$Work", "done", "early"],
    metadata: { "plugin:x:n": 1 },
  };
  assert.deepEqual(copies, [
    { account: one.id, ...mine },
    { account: two.id, mailbox: "INBOX", flags: 0, keywords: ["done"], metadata: {} },
  ]);
  const [first] = calls.filter(({ facts }) => facts.recipients[0] === one.address);
  assert.ok(first);
  const { facts, options } = first;
  assert.deepEqual(options, { attempt: 1 });
  assert.deepEqual([facts.recipients, facts.account, facts.stage], [[one.address], one.address, "store"]);
  assert.deepEqual([...facts.tags].sort(), ["early", "spam"]);
  assert.deepEqual(facts.client, { address: "192.0.2.1", name: "mx.example.org" });
  assert.equal(facts.mailFrom, "sender@example.org");
  assert.match(Buffer.from(facts.header).toString(), /^Subject: /u);
  const text: Uint8Array[] = [];
  for await (const chunk of facts.content.read()) text.push(chunk);
  assert.match(Buffer.concat(text).toString(), /\r\n\r\ntext\r\n$/u);
  assert.equal(calls.length, 2);
  assert.ok(calls.every(call => call.facts.content === facts.content));
  assert.equal((await rig.events(id, "hook_call")).length, 2);
  const [changed] = (await rig.events(id, "changed")).filter(event => event.moved !== undefined);
  assert.deepEqual(changed?.by, by("tagger"));
});

test("the job of a release is for the copy that it made; the others had theirs", async () => {
  const [one, two] = [await rig.account(), await rig.account()];
  const id = await rig.deliver([one, two], { followUp: undefined });
  await rig.queue.enqueue({ kind: "post_receive", payload: { accounts: [two.id] }, messageId: id });
  const worker = startWorker(async (_, { recipients }) => decided(recipients, { tags: ["seen"] }));
  await rig.untilState((await jobOf(id)).id, "done");
  await worker.stop();
  assert.deepEqual(
    worker.calls.map(({ facts }) => [facts.recipients, facts.domainRecipients]),
    [[[two.address], [two.address]]],
  );
  assert.deepEqual(
    (await rig.copies(id)).map(({ account, keywords }) => [account, keywords]),
    [
      [one.id, []],
      [two.id, ["seen"]],
    ],
  );
});

test("a hook that failed is called again alone, when what the others wanted is applied already", async () => {
  const account = await rig.account();
  const id = await rig.deliver([account]);
  const seen: (readonly string[])[] = [];
  const { calls, stop } = startWorker(async (_point, { recipients, tags }, _deadline, options) => {
    seen.push(tags);
    const attempt = options?.attempt ?? 0;
    if (attempt === 1)
      return decided(recipients, { tags: [...tags, "good"], provenance: by("good") }, [
        { hook: "bad", problem: "no answer" },
        { hook: "worse", problem: "crash" },
      ]);
    if (attempt === 2) return decided(recipients, { tags }, [{ hook: "bad", problem: "no answer" }]);
    return decided(recipients, { tags: [...tags, "late"], provenance: by("bad") });
  });
  const job = await jobOf(id);
  const { attempts } = await rig.untilState(job.id, "done");
  await stop();
  assert.equal(attempts, 3);
  assert.deepEqual(
    calls.map(({ options }) => ({ attempt: options.attempt, only: options.only && [...options.only] })),
    [
      { attempt: 1, only: undefined },
      { attempt: 2, only: ["bad", "worse"] },
      { attempt: 3, only: ["bad"] },
    ],
  );
  assert.deepEqual(seen, [[], ["good"], ["good"]]);
  const [copy] = await rig.copies(id);
  assert.deepEqual([...(copy?.keywords ?? [])].sort(), ["good", "late"]);
});

test("accounts that are done are not run again for one whose hook failed", async () => {
  const accounts = await Promise.all(Array.from({ length: 6 }, () => rig.account()));
  const id = await rig.deliver(accounts);
  const sick = accounts[1]?.address;
  const { calls, stop } = startWorker(async (_point, { recipients }, _deadline, options) =>
    decided(
      recipients,
      { tags: ["x"] },
      options?.attempt === 1 && recipients[0] === sick ? [{ hook: "h", problem: "p" }] : [],
    ),
  );
  const job = await jobOf(id);
  await rig.untilState(job.id, "done");
  await stop();
  assert.equal(calls.length, 7);
  assert.deepEqual(calls.at(-1)?.facts.recipients, [sick]);
});

test("a job whose hooks never answer is dead at last, and the timeline says so", async () => {
  const account = await rig.account();
  const id = await rig.deliver([account]);
  const job = await jobOf(id);
  await rig.db.run`update jobs set attempts = max_attempts - 2 where id = ${job.id}`;
  const { calls, stop } = startWorker(async (_point, { recipients }) =>
    decided(recipients, {}, [{ hook: "never", problem: "no answer within 2 s" }]),
  );
  const { error, attempts } = await rig.untilState(job.id, "failed");
  await stop();
  assert.deepEqual([attempts, calls.length], [FOLLOW_UP_ATTEMPTS, 2]);
  assert.match(error ?? "", /hook "never": no answer within 2 s/u);
  await until(async () => (await rig.events(id, "job")).length > 0);
  assert.deepEqual(await rig.events(id, "job"), [
    {
      recipient: undefined,
      job: "post_receive",
      result: "failed",
      attempts: FOLLOW_UP_ATTEMPTS,
      failed: [{ hook: "never", problem: "no answer within 2 s" }],
    },
  ]);
});

test("a message that is gone, or whose copies are, leaves nothing to do", async () => {
  const account = await rig.account();
  const [gone, empty] = [await rig.deliver([account]), await rig.deliver([account])];
  await rig.db.run`delete from entries where message_id = any(${[gone, empty]}::uuid[])`;
  await rig.db.run`delete from messages where message_id = ${gone}::uuid`;
  const { calls, stop } = startWorker(async (_point, { recipients }) => decided(recipients, { tags: ["x"] }));
  await rig.untilState((await jobOf(gone)).id, "done");
  await rig.untilState((await jobOf(empty)).id, "done");
  await stop();
  assert.deepEqual(calls, []);
});

test("a copy that goes while its hooks run is written down as not applicable", async () => {
  const account = await rig.account();
  const id = await rig.deliver([account]);
  const { stop } = startWorker(async (_point, { recipients }) => {
    await rig.db.run`delete from entries where message_id = ${id}::uuid`;
    return decided(recipients, { tags: ["x"], provenance: by("slow") });
  });
  await rig.untilState((await jobOf(id)).id, "done");
  await stop();
  await until(async () => (await rig.events(id, "job")).length > 0);
  const [event] = await rig.events(id, "job");
  assert.deepEqual(
    [event?.recipient, event?.result, event?.by],
    [account.address, "not_applicable", by("slow")],
  );
});

test("a header too large for its row is read from the blob", async () => {
  const account = await rig.account();
  const id = await rig.deliver([account]);
  await rig.db.run`update messages set header = null where message_id = ${id}::uuid`;
  const { calls, stop } = startWorker(async (_point, { recipients }) => decided(recipients, {}));
  await rig.untilState((await jobOf(id)).id, "done");
  await stop();
  assert.match(Buffer.from(calls[0]?.facts.header ?? []).toString(), /^Subject: .*\r\n\r\n$/su);
});

test("a service that stops gives the job back with what is done; another one goes on from there", async () => {
  // One after the other: copies are worked off by account id, four at a time.
  const accounts: TestAccount[] = [];
  for (let i = 0; i < 5; i++) accounts.push(await rig.account());
  const id = await rig.deliver(accounts);
  const job = await jobOf(id);
  const last = accounts.at(-1)?.address;
  let reached = false;
  const first = startWorker(async (_point, { recipients }, deadline) => {
    if (recipients[0] !== last) return decided(recipients, { tags: ["x"] });
    reached = true;
    // What a runner makes of a call that was cut.
    await sleep(600_000, deadline.signal).catch(() => undefined);
    return decided(recipients, {}, [{ hook: "slow", problem: "cut" }]);
  });
  await until(() => reached);
  await first.stop();
  const { state, attempts } = await rig.admin.get(job.id);
  assert.deepEqual([state, attempts], ["queued", 0]);
  const second = startWorker(async (_point, { recipients }) => decided(recipients, { tags: ["x"] }));
  await rig.untilState(job.id, "done");
  await second.stop();
  assert.deepEqual(
    second.calls.map(({ facts, options }) => [facts.recipients, [...(options.only ?? [])]]),
    [[[last], ["slow"]]],
  );
  assert.ok((await rig.copies(id)).every(copy => copy.keywords.includes("x")));
});

test("a node that dies in the middle of it leaves the job to another one", async () => {
  const account = await rig.account();
  const id = await rig.deliver([account]);
  const job = await jobOf(id);
  const [leased] = await rig.queue.claim(["post_receive"], "dead", 1, 1);
  assert.equal(leased?.id, job.id);
  const { stop } = startWorker(async (_point, { recipients }) => decided(recipients, { tags: ["x"] }));
  await rig.untilState(job.id, "done");
  await stop();
  assert.deepEqual((await rig.copies(id))[0]?.keywords, ["x"]);
});

test("events of calls in shadow are kept, and their answers change nothing", async () => {
  const account = await rig.account();
  const id = await rig.deliver([account]);
  const { stop } = startWorker(async (_point, { recipients }) => ({
    ...decided(recipients, {}),
    late: sleep(20).then(() => [{ at: new Date(), kind: "hook_call" as const, data: { hook: "shadow" } }]),
  }));
  await rig.untilState((await jobOf(id)).id, "done");
  await stop();
  await until(async () => (await rig.events(id, "hook_call")).length > 0);
  assert.equal((await rig.events(id, "changed")).length, 0);
});

test("with the real chain: what failed is tried again alone and sees what the others did, shadows are called once", async () => {
  const account = await rig.account();
  const id = await rig.deliver([account]);
  const calls: unknown[] = [];
  const point = "post_receive" as const;
  const { runner } = rigOf(
    [
      pluginOf("good", ({ attempt }) => {
        calls.push(["good", attempt]);
        return { tags: { add: ["good"] }, folder: "Sorted" };
      }),
      pluginOf("sick", ({ attempt, context }) => {
        calls.push(["sick", attempt, context?.tags]);
        if (attempt < 3) throw new Error("away");
        return { tags: { add: ["well"], remove: ["good"] } };
      }),
      pluginOf("shade", ({ attempt }) => {
        calls.push(["shade", attempt]);
        return { tags: { add: ["never"] } };
      }),
    ],
    [rowOf("good", { point }), rowOf("sick", { point }), rowOf("shade", { point, mode: "shadow" })],
  );
  const { stop } = startWorker((...run) => runner.run(...run));
  const { attempts } = await rig.untilState((await jobOf(id)).id, "done");
  await stop();
  assert.equal(attempts, 3);
  assert.deepEqual(
    calls.filter(call => !String(call).startsWith("shade")),
    [
      ["good", 1],
      ["sick", 1, ["good"]],
      ["sick", 2, ["good"]],
      ["sick", 3, ["good"]],
    ],
  );
  assert.equal(calls.length, 5);
  const copies = (await rig.copies(id)).map(({ mailbox, keywords }) => [mailbox, keywords]);
  assert.deepEqual(copies, [["Sorted", ["well"]]]);
  await until(async () => (await rig.events(id, "hook_call")).length === 5);
  const changed = await rig.events(id, "changed");
  assert.deepEqual(
    changed.map(({ by, tags_added, tags_removed, moved }) => ({ by, tags_added, tags_removed, moved })),
    [
      {
        by: [{ plugin_id: "good", hook: "good", changes: ["tags", "folder"] }],
        tags_added: ["good"],
        tags_removed: undefined,
        moved: { from: "INBOX", to: "Sorted", uid: 1 },
      },
      {
        by: [{ plugin_id: "sick", hook: "sick", changes: ["tags"] }],
        tags_added: ["well"],
        tags_removed: ["good"],
        moved: undefined,
      },
    ],
  );
});
