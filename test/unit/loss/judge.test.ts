import assert from "node:assert/strict";
import { test } from "node:test";
import { type Canary, makeCanary } from "../../../src/loss/canary.ts";
import { type JudgedCanary, judge } from "../../../src/loss/judge.ts";

const ACCEPTED_AT = Date.parse("2026-11-21T10:00:00Z");
const make = (number: number): Canary =>
  makeCanary({ run: "r", number, hostname: "h.example", from: "", recipient: "a@b.test", now: new Date(0) });
const copy = (canary: Canary, afterMs = 0) => ({
  bytes: canary.content,
  storedAt: new Date(ACCEPTED_AT + afterMs),
});

function judged(
  canary: Canary,
  more: Partial<JudgedCanary> = {},
  state: "accepted" | "uncertain" = "accepted",
): JudgedCanary {
  const { recipient, messageId, digest } = canary;
  const sent = { canary: { recipient, messageId, digest }, state, queueId: "Q1", acceptedAt: ACCEPTED_AT };
  return { step: "committed", sent, copies: [], isHeld: false, isWaiting: false, ...more };
}

test("found, twice, altered, held, waiting and lost are told apart", () => {
  const [one, two, three, four, five, six] = [1, 2, 3, 4, 5, 6].map(make) as [
    Canary,
    Canary,
    Canary,
    Canary,
    Canary,
    Canary,
  ];
  const { total, missing } = judge(
    [
      judged(one, { copies: [copy(one, 1_540)] }),
      judged(two, { copies: [copy(two), copy(two, 9_000)] }),
      judged(three, { copies: [copy(one)] }),
      judged(four, { isHeld: true }),
      judged(five, { isWaiting: true }),
      judged(six),
    ],
    new Map([["committed", 1]]),
  );
  assert.deepEqual(total, {
    ...{
      step: "all",
      sent: 6,
      accepted: 6,
      kills: 1,
      found: 2,
      lost: 1,
      doubles: 1,
      altered: 1,
      held: 1,
      waiting: 1,
    },
    longest_delay_s: 1.5,
  });
  assert.deepEqual(
    missing.map(({ why, message_id: id }) => [why, id]),
    [
      ["altered", three.messageId],
      ["waiting", five.messageId],
      ["lost", six.messageId],
    ],
  );
});

test("without an answer to its end a canary was not promised: it may be there, and it may not", () => {
  const [one, two] = [make(1), make(2)] as [Canary, Canary];
  const { total, missing } = judge(
    [judged(one, {}, "uncertain"), judged(two, { copies: [copy(two)] }, "uncertain")],
    new Map([["committed", 0]]),
  );
  assert.deepEqual([total.accepted, total.found, total.lost, missing.length], [0, 1, 0, 0]);
});

test("each step has a row of its own canaries, also one where nothing was killed", () => {
  const [one, two] = [make(1), make(2)] as [Canary, Canary];
  const { steps } = judge(
    [judged(one, { step: "received", copies: [copy(one)] }), judged(two, { step: "random" })],
    new Map([
      ["received", 1],
      ["random", 0],
    ]),
  );
  assert.deepEqual(
    steps.map(row => [row.step, row.sent, row.kills, row.found, row.lost]),
    [
      ["received", 1, 1, 1, 0],
      ["random", 1, 0, 0, 1],
    ],
  );
});
