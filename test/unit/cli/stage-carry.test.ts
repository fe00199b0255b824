/** The way down from store: passes, comparisons and their ends, over a carrier that counts; and the order of both halves. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Carrier,
  carryBack,
  carryRest,
  isDone,
  type Pass,
  together,
} from "../../../src/cli/stage-carry.ts";
import { stepOf } from "../../../src/cli/stage-steps.ts";
import type { VerifyMailbox, VerifyResult } from "../../../src/wire/api/transfer.ts";

const NOTHING: Pass = { copied: 0, flagsUpdated: 0, expunged: 0, problems: [] };

function result(counts: Partial<VerifyMailbox> = {}): VerifyResult {
  const mailbox = { extra: 0, missing: 0, bytes_differ: 0, flags_differ: 0, ...counts } as VerifyMailbox;
  return { mailboxes: [mailbox], differences: [], differences_total: 0, seconds: 0 };
}

/** Gives the passes and comparisons one after the other, the last of each for ever; `log` has what was asked. */
function carrier(passes: readonly Partial<Pass>[], compared: readonly Partial<VerifyMailbox>[] = [{}]) {
  const log: string[] = [];
  const reads: string[] = [];
  const left = { passes: [...passes], compared: [...compared] };
  const next = <T>(all: T[]): T | undefined => (all.length > 1 ? all.shift() : all[0]);
  const made: Carrier = {
    async read(account) {
      reads.push(`${account} before ${log.length}`);
      return 2;
    },
    async pass(account, expunge) {
      log.push(`${account} ${expunge ? "pass+expunge" : "pass"}`);
      return { ...NOTHING, ...next(left.passes) };
    },
    async verify(account) {
      log.push(`${account} verify`);
      return result(next(left.compared));
    },
  };
  return { made, log, reads };
}

test("what was read in store is taken before the first pass, and before each of the last ones", async () => {
  const { made, reads } = carrier([{ copied: 1 }, {}], [{}, { extra: 1 }, {}]);
  const before = await carryBack(made, ["ann"]);
  assert.deepEqual([reads, before[0]?.read], [["ann before 0"], 2]);
  const after = await carryRest(made, ["ann"], new Date(0), () => undefined, 1);
  // Three were before the step; the first pass after it is about what came meanwhile.
  assert.deepEqual(reads.slice(1), ["ann before 4", "ann before 6"]);
  assert.deepEqual(
    together(before, after).map(({ read }) => read),
    [6],
  );
});

test("passes go on until one finds nothing new, then both sides are compared", async () => {
  const { made, log } = carrier([{ copied: 7 }, { flagsUpdated: 2 }, { expunged: 1 }, {}]);
  const [ann] = await carryBack(made, ["ann"]);
  assert.deepEqual(log, [...Array(4).fill("ann pass+expunge"), "ann verify"]);
  assert.deepEqual([ann?.passes, ann?.copied, ann?.flags_updated, ann?.expunged], [4, 7, 2, 1]);
});

test("under load passes end all the same: what comes then is carried after the step", async () => {
  const { made, log } = carrier([{ copied: 1 }], [{ extra: 3 }]);
  const [ann] = await carryBack(made, ["ann"]);
  assert.deepEqual([ann?.passes, ann?.copied, ann?.only_here], [5, 5, 3]);
  assert.equal(log.length, 6);
});

test("after the step a pass comes when all mail of the stage before has come to its end, and nothing there is removed", async () => {
  const { made, log } = carrier([{ copied: 1 }, {}]);
  const settled = new Date(Date.now() + 50);
  const all = await carryRest(made, ["ann", "bob"], settled, () => undefined);
  assert.ok(Date.now() >= settled.getTime());
  assert.deepEqual(log.slice(0, 2), ["ann pass", "bob pass"]);
  assert.deepEqual(log.slice(2).sort(), ["ann pass", "ann verify", "bob pass", "bob verify"]);
  assert.ok(all.every(isDone));
});

test("rounds after the step end when nothing is only here, and at the latest after five", async () => {
  const one = carrier([{}], [{ extra: 1 }, { bytes_differ: 1 }, { missing: 4, flags_differ: 2 }]);
  const [ann] = await carryRest(one.made, ["ann"], new Date(0), () => assert.fail("no time to wait for"), 1);
  assert.ok(ann !== undefined && isDone(ann));
  assert.deepEqual([ann.only_there, ann.flags_differ], [4, 2]);
  assert.equal(one.log.filter(line => line.endsWith("verify")).length, 3);
  const never = carrier([{}], [{ extra: 1 }]);
  const [bob] = await carryRest(never.made, ["bob"], new Date(0), () => undefined, 1);
  assert.ok(bob !== undefined && !isDone(bob));
  assert.equal(never.log.filter(line => line.endsWith("verify")).length, 5);
});

test("what failed in the last pass counts, what failed before and was done then does not", async () => {
  const { made } = carrier([{ copied: 1, problems: ["INBOX/1: too large"] }, {}]);
  const [done] = await carryBack(made, ["ann"]);
  assert.deepEqual(done?.problems, []);
  const failing = carrier([{ problems: ["INBOX/1: too large"] }]);
  const [open] = await carryBack(failing.made, ["ann"]);
  assert.equal(open !== undefined && isDone(open), false);
});

test("the report adds up what was done before the step and after it, with the last comparison", async () => {
  const before = await carryBack(carrier([{ copied: 5 }, {}], [{ extra: 1 }]).made, ["ann"]);
  const after = await carryRest(
    carrier([{ copied: 1 }, {}]).made,
    ["ann", "new"],
    new Date(0),
    () => undefined,
  );
  const [ann, made] = together(before, after);
  assert.deepEqual([ann?.copied, ann?.passes, ann?.only_here], [6, 4, 0]);
  assert.deepEqual([made?.account, made?.passes], ["new", 2]);
});

test("up the servers come first, down the stage; mail goes back when store is left", () => {
  assert.deepEqual(stepOf("observe", "hooks"), {
    from: "observe",
    to: "hooks",
    direction: "up",
    leavesStore: false,
  });
  assert.deepEqual(stepOf("store", "observe"), {
    from: "store",
    to: "observe",
    direction: "down",
    leavesStore: true,
  });
  assert.deepEqual(
    [stepOf("hooks", "observe"), stepOf("store", "store")].map(({ direction, leavesStore }) => [
      direction,
      leavesStore,
    ]),
    [
      ["down", false],
      ["none", false],
    ],
  );
});
