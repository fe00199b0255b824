/** Two speeds: what a hook with `late = "apply"` still gets done after mail has gone on without it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MairustError } from "../../../src/core/errors.ts";
import type { HookDecisions, LateAnswer, MessageFacts } from "../../../src/core/ports/hooks.ts";
import { LateCalls, MAX_LATE_CALLS } from "../../../src/hooks/late.ts";
import { deadlineAfter, sleep } from "../../../src/platform/deadline.ts";
import type { PermissionsInput } from "../../../src/wire/permissions.ts";
import { awake } from "./awake.ts";
import { factsOf } from "./message.ts";
import { type Behaviour, EVERYTHING, pluginOf, type Rig, rigOf, rowOf } from "./rig.ts";

const LATE = {
  late: "apply",
  on_timeout: "allow",
  timeout_ms: 20,
  late_timeout_ms: 3000,
} as const;
const GRANTS: PermissionsInput = { ...EVERYTHING, write_flags: true, write_metadata: true };

interface LateRig extends Rig {
  readonly answers: LateAnswer[];
}

function rigWith(behave: Behaviour, row: object = {}, more: object = {}, change: object = {}): LateRig {
  const answers: LateAnswer[] = [];
  const lateAnswers = async (answer: LateAnswer) => {
    answers.push(answer);
  };
  const rig = rigOf([pluginOf("a", behave, GRANTS, change)], [rowOf("a", { ...LATE, ...row })], {
    lateAnswers,
    ...more,
  });
  return Object.assign(rig, { answers });
}

async function run(rig: Rig, change: Partial<MessageFacts> = {}, chainMs = 60_000): Promise<HookDecisions> {
  const deadline = deadlineAfter(chainMs);
  try {
    return await awake(rig.runner.run("pre_delivery", factsOf("Subject: x\n\nbody", change), deadline));
  } finally {
    deadline.dispose();
  }
}

const lateOf = (decisions: HookDecisions) => awake(decisions.late ?? Promise.resolve([]));
const slowly =
  (answer: unknown, ms = 80): Behaviour =>
  async () => {
    await sleep(ms);
    return answer;
  };
const theOne = ({ each }: HookDecisions) => [...each.values()][0];
const RICH = {
  tags: { add: ["x"], remove: ["y"] },
  flags: { add: ["\\Flagged", "k"] },
  folder: "F",
  metadata: { score: 1 },
};

test("mail goes on at the time-out by the policy, and the answer is handed over when it comes", async () => {
  const told: number[] = [];
  const behave: Behaviour = payload => {
    told.push(payload.deadline_ms);
    return slowly(RICH)(payload, deadlineAfter(1));
  };
  // The wall time of the plugin is shorter than both: with a late answer it does not count.
  const rig = rigWith(behave, {}, {}, { wallTimeMs: 10 });
  const decisions = await run(rig);
  const decision = theOne(decisions);
  assert.deepEqual(
    [decision?.action, decision?.tags, decision?.headers, decision?.folder],
    ["deliver", ["mairust:unchecked"], [["X-MaiRust-Skipped", "a"]], undefined],
  );
  assert.deepEqual(
    decisions.events.map(({ data }) => [data.outcome, data.policy, data.late]),
    [["timeout", "allow", undefined]],
  );
  assert.deepEqual([rig.answers, rig.calls], [[], []], "the call has not ended yet");
  const [event, ...others] = await lateOf(decisions);
  assert.deepEqual(
    [event?.data.outcome, event?.data.late, others],
    ["late", { applied: true, why: null }, []],
  );
  assert.equal(event?.data.call_id, decisions.events[0]?.data.call_id);
  assert.ok((told[0] ?? 0) > 2000 && (told[0] ?? 0) <= 3000, String(told));
  const [{ callId, ...answer }, ...more] = rig.answers as [LateAnswer];
  assert.equal(callId, event?.data.call_id);
  assert.deepEqual(more, []);
  assert.deepEqual(answer, {
    point: "pre_delivery",
    hook: "a",
    pluginId: "a",
    pluginVersion: "1.0.0",
    messageId: "0190a000-0000-7000-8000-00000000000a",
    queueId: "4XyZ1234",
    recipients: ["user@example.com"],
    changes: {
      tagsAdd: ["x"],
      tagsRemove: ["y"],
      systemFlags: 4,
      keywords: ["k"],
      folder: "F",
      metadata: { "plugin:a:score": 1 },
    },
  });
  // One call, one count: a late answer is no failure.
  assert.deepEqual(
    rig.calls.map(({ outcome }) => outcome),
    ["late"],
  );
});

test("an answer in time is one like any other", async () => {
  const rig = rigWith(slowly({ tags: { add: ["x"] } }, 0), { timeout_ms: 2000 });
  const decisions = await run(rig);
  assert.deepEqual([theOne(decisions)?.tags, decisions.late, rig.answers], [["x"], undefined, []]);
  assert.deepEqual(
    rig.calls.map(({ outcome }) => outcome),
    ["ok"],
  );
});

test("a late answer decides nothing: its verdict and its header fields are dropped and counted", async () => {
  const answer = { ...RICH, action: "reject", headers: { add: [["X-A", "1"]] } };
  for (const onViolation of ["drop", "error"] as const) {
    const rig = rigWith(slowly(answer), {}, {}, { onViolation: () => onViolation });
    const granted = { ...GRANTS, write_headers: true, decide: ["reject" as const] };
    const plugin = pluginOf("a", slowly(answer), granted, { onViolation: () => onViolation });
    const answers: LateAnswer[] = [];
    const own = rigOf([plugin], [rowOf("a", LATE)], { lateAnswers: async one => void answers.push(one) });
    const [event] = await lateOf(await run(own));
    assert.deepEqual([event?.data.outcome, answers[0]?.changes.tagsAdd], ["late", ["x"]], onViolation);
    assert.deepEqual(own.denied, ["a action", "a headers"]);
    assert.equal(rig.answers.length, 0);
  }
});

test("a late answer beyond the grant is a violation where the manifest wants that", async () => {
  const plugin = pluginOf(
    "a",
    slowly(RICH),
    { read_headers: true, write_tags: true },
    { onViolation: () => "error" },
  );
  const answers: LateAnswer[] = [];
  const rig = rigOf([plugin], [rowOf("a", LATE)], { lateAnswers: async one => void answers.push(one) });
  const [event] = await lateOf(await run(rig));
  assert.deepEqual([event?.data.outcome, answers], ["violation", []]);
});

test("what never comes, breaks or comes malformed changes nothing, and counts once as what it is", async () => {
  const failures: ReadonlyArray<readonly [Behaviour, string, object?]> = [
    [() => new Promise(() => {}), "timeout", { late_timeout_ms: 60 }],
    [slowly("garbage"), "malformed"],
    [
      async () => {
        await sleep(60);
        throw new MairustError("plugin_failed", "it crashed");
      },
      "error",
    ],
  ];
  for (const [behave, outcome, row = {}] of failures) {
    const rig = rigWith(behave, row);
    const decisions = await run(rig);
    assert.equal(theOne(decisions)?.action, "deliver");
    const [event] = await lateOf(decisions);
    assert.deepEqual([event?.data.outcome, rig.answers], [outcome, []]);
    assert.deepEqual(
      rig.calls.map(sample => sample.outcome),
      [outcome],
    );
  }
});

test("without late = apply, or where the policy keeps mail back, the call ends with its time-out and the answer is void", async () => {
  for (const row of [
    { late: "drop" },
    { on_timeout: "tempfail" },
    { on_timeout: "reject" },
    { on_timeout: "hold" },
  ] as const) {
    let cut = false;
    const behave: Behaviour = async (_, deadline) => {
      deadline.signal.addEventListener("abort", () => {
        cut = true;
      });
      await sleep(60);
      return RICH;
    };
    const rig = rigWith(behave, row);
    const decisions = await run(rig);
    assert.ok(cut, JSON.stringify(row));
    await sleep(80);
    assert.deepEqual([decisions.late, rig.answers], [undefined, []]);
    assert.deepEqual(
      rig.calls.map(({ outcome }) => outcome),
      ["timeout"],
    );
  }
});

test("the chain's deadline does not cut the call, only the wait for it", async () => {
  const rig = rigWith(slowly(RICH), { timeout_ms: 5000, late_timeout_ms: 6000 });
  const decisions = await run(rig, {}, 20);
  assert.equal(decisions.events[0]?.data.outcome, "timeout");
  await lateOf(decisions);
  assert.equal(rig.answers.length, 1);
});

test("a late answer is not for those whose mail was refused", async () => {
  const filter = { ...rowOf("b").filter, recipient: "a@.*" };
  const answers: LateAnswer[] = [];
  const refuse: Behaviour = () => ({ action: "reject" });
  const rigFor = (row: object) =>
    rigOf(
      [pluginOf("a", slowly(RICH), GRANTS), pluginOf("b", refuse)],
      [rowOf("a", { ...LATE, priority: 1 }), rowOf("b", row)],
      { lateAnswers: async one => void answers.push(one) },
    );
  const recipients = ["a@example.com", "b@example.com"];
  await lateOf(await run(rigFor({ filter }), { recipients }));
  assert.deepEqual(
    answers.map(one => one.recipients),
    [["b@example.com"]],
  );
  const [event] = await lateOf(await run(rigFor({}), { recipients }));
  assert.deepEqual(event?.data.late, { applied: false, why: "the message was refused" });
  assert.equal(answers.length, 1);
});

test("in shadow a late answer is recorded, and not handed over", async () => {
  const rig = rigWith(slowly(RICH), { mode: "shadow" });
  const decisions = await run(rig);
  const events = await lateOf(decisions);
  assert.deepEqual(
    events.map(({ data }) => [data.outcome, data.mode, data.folder]),
    [["late", "shadow", "F"]],
  );
  assert.deepEqual(rig.answers, []);
});

test("an answer is handed over again while the store is away, and given up when it stays away", async () => {
  let tries = 0;
  const late = (failures: number, code: "store_unavailable" | "data_invalid" = "store_unavailable") =>
    new LateCalls(
      1000,
      async () => {
        if (++tries <= failures) throw new MairustError(code, "Cannot write: away");
      },
      1,
    );
  const answer = {} as LateAnswer;
  await awake(late(3).handOver(answer));
  assert.equal(tries, 4);
  tries = 0;
  await awake(assert.rejects(late(99).handOver(answer), /Cannot keep a late answer: Cannot write: away/));
  assert.equal(tries, 6);
  tries = 0;
  await assert.rejects(late(99, "data_invalid").handOver(answer), { code: "internal" });
  assert.equal(tries, 1);
});

test("an answer that is lost is said in the log and in the timeline", async () => {
  const lateAnswers = () => Promise.reject(new MairustError("data_invalid", "Cannot write: no such message"));
  const rig = rigWith(slowly(RICH), {}, { lateAnswers });
  const [event] = await lateOf(await run(rig));
  assert.match(JSON.stringify(event?.data.late), /"applied":false,"why":"Cannot keep a late answer: /);
  assert.ok(rig.log.some(line => line.startsWith("hook_late_failed")));
});

test("late calls are bounded by number and by the octets of their payloads; whoever leaves makes place", () => {
  const many = new LateCalls(1_000_000, async () => {});
  const stays = Array.from({ length: MAX_LATE_CALLS }, () => many.enter(1));
  assert.ok(stays.every(leave => leave !== undefined));
  assert.equal(many.enter(1), undefined);
  stays[0]?.();
  assert.ok(many.enter(1));
  const large = new LateCalls(1000, async () => {});
  const leave = large.enter(400);
  assert.ok(leave);
  assert.equal(large.enter(101), undefined);
  leave();
  assert.ok(large.enter(500));
});

test("a call for which there is no place among the late ones ends with its time-out", async () => {
  let cut = 0;
  const behave: Behaviour = async (_, deadline) => {
    deadline.signal.addEventListener("abort", () => cut++);
    await sleep(100);
    return RICH;
  };
  // Room for one payload alone, and the late ones may have half of that.
  const rig = rigWith(behave, {}, { payloadBytesInFlight: 1_000 });
  const decisions = await run(rig);
  assert.deepEqual([decisions.late, cut, rig.calls[0]?.outcome], [undefined, 1, "timeout"]);
});
