/** A chain that runs again for hooks that failed, and late answers for everyone of a message. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { LateAnswer } from "../../../src/core/ports/hooks.ts";
import { deadlineAfter, sleep } from "../../../src/platform/deadline.ts";
import { awake } from "./awake.ts";
import { factsOf } from "./message.ts";
import { EVERYTHING, pluginOf, rigOf, rowOf } from "./rig.ts";

const NAMES = ["a", "b", "c"];

test("only the hooks that are named run, in their order, with the attempt that is told", async () => {
  const calls: string[] = [];
  const { runner } = rigOf(
    NAMES.map(name =>
      pluginOf(name, ({ attempt }) => {
        calls.push(`${name} ${attempt}`);
        return { tags: { add: [name] } };
      }),
    ),
    NAMES.map(name => rowOf(name, { point: "post_receive", mode: name === "b" ? "shadow" : "enforce" })),
  );
  const deadline = deadlineAfter(5000);
  const facts = factsOf("Subject: x\n\nbody", { tags: ["before"] });
  const again = { only: new Set(["c", "gone"]), attempt: 3 };
  const { each, late } = await awake(runner.run("post_receive", facts, deadline, again));
  deadline.dispose();
  assert.deepEqual(calls, ["c 3"]);
  assert.equal(late, undefined);
  assert.deepEqual([...each.values()][0]?.tags, ["before", "c"]);
});

test("a late answer is for everyone when its call was for all recipients that the MTA has, and else for those it names", async () => {
  const answers: LateAnswer[] = [];
  const behave = async () => {
    await sleep(60);
    return { tags: { add: ["late"] } };
  };
  const late = {
    point: "pre_receive",
    late: "apply",
    on_timeout: "allow",
    timeout_ms: 20,
    late_timeout_ms: 3000,
  } as const;
  const some = { ...rowOf("some").filter, recipient: "one@example.com" };
  const { runner } = rigOf(
    [pluginOf("all", behave, EVERYTHING), pluginOf("some", behave, EVERYTHING)],
    [rowOf("all", late), rowOf("some", { ...late, filter: some })],
    { lateAnswers: async answer => void answers.push(answer) },
  );
  const recipients = ["one@example.com", "two@example.com"];
  for (const change of [{ everyone: true }, {}, { everyone: true, observed: new Set(["two@example.com"]) }]) {
    const deadline = deadlineAfter(5000);
    const facts = factsOf("Subject: x\n\nbody", { recipients, account: undefined, ...change });
    const decisions = await awake(runner.run("pre_receive", facts, deadline));
    await awake(decisions.late ?? Promise.resolve([]));
    deadline.dispose();
  }
  assert.deepEqual(
    answers.map(({ hook, recipients: to, everyone }) => [hook, to.length, everyone === true]).sort(),
    [
      ["all", 1, false],
      ["all", 2, false],
      ["all", 2, true],
      ["some", 1, false],
      ["some", 1, false],
      ["some", 1, false],
    ],
  );
});
