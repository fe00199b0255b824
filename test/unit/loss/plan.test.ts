import assert from "node:assert/strict";
import { test } from "node:test";
import { planRounds } from "../../../src/loss/plan.ts";

test("without a kill all canaries go in one round", () => {
  assert.deepEqual(planRounds([], 3, 10), [{ kill: undefined, messages: 10 }]);
});

test("each kill has canaries of its own, and none is left over", () => {
  const rounds = planRounds(["received", "random"], 2, 10);
  assert.deepEqual(
    rounds.map(round => [round.kill, round.messages]),
    [
      ["received", 3],
      ["received", 3],
      ["random", 2],
      ["random", 2],
    ],
  );
});

test("a kill without a canary would prove nothing", () => {
  assert.throws(() => planRounds(["received"], 5, 4), { code: "invalid_argument" });
});
