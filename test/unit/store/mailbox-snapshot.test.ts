import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { mailboxId } from "../../../src/core/ids.ts";
import { applyDelta, emptySnapshot, FlagSetTable } from "../../../src/store/mailbox-snapshot.ts";

const identity = { mailboxId: mailboxId(1), uidValidity: 7 };

function setUp() {
  const flags = new FlagSetTable();
  return { flags, empty: emptySnapshot(identity, flags) };
}

test("applyDelta() adds new messages, changes flags and removes expunged ones in one step", () => {
  const { flags, empty } = setUp();
  const first = applyDelta(
    empty,
    { uidNext: 5, highestModseq: 5, lines: "1 0\n2 1\n4 0 spam work", expunged: [] },
    flags,
  );
  assert.deepEqual([...first.uids], [1, 2, 4]);
  assert.deepEqual(first.flagSets[first.flagIds[2] ?? -1], { system: 0, keywords: ["spam", "work"] });
  const second = applyDelta(first, { uidNext: 7, highestModseq: 9, lines: "1 1\n6 4", expunged: [2] }, flags);
  assert.deepEqual([...second.uids], [1, 4, 6]);
  assert.equal(second.flagSets[second.flagIds[0] ?? -1]?.system, 1);
  assert.deepEqual([...first.uids], [1, 2, 4], "the older snapshot stays as it was");
});

test("applyDelta() returns the same object when nothing changed", () => {
  const { flags, empty } = setUp();
  const state = applyDelta(empty, { uidNext: 2, highestModseq: 3, lines: "1 0", expunged: [] }, flags);
  assert.equal(applyDelta(state, { uidNext: 2, highestModseq: 3, lines: "", expunged: [] }, flags), state);
});

test("applyDelta() survives a message that came and went between two reads", () => {
  const { flags, empty } = setUp();
  const state = applyDelta(empty, { uidNext: 2, highestModseq: 3, lines: "1 0", expunged: [] }, flags);
  const next = applyDelta(state, { uidNext: 4, highestModseq: 6, lines: "3 0", expunged: [2] }, flags);
  assert.deepEqual([...next.uids], [1, 3]);
});

test("applyDelta() equals a plain map for any history", () => {
  const step = fc.record({
    add: fc.array(fc.integer({ min: 0, max: 31 }), { maxLength: 5 }),
    change: fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 31 })), { maxLength: 3 }),
    remove: fc.array(fc.nat(), { maxLength: 3 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 8 }), steps => {
      const { flags, empty } = setUp();
      const model = new Map<number, number>();
      let snapshot = empty;
      let uidNext = 1;
      let modseq = 1;
      for (const { add, change, remove } of steps) {
        const touched = new Map<number, number>();
        for (const [pick, system] of change) {
          const uid = [...model.keys()][pick % Math.max(1, model.size)];
          if (uid !== undefined) touched.set(uid, system);
        }
        for (const system of add) touched.set(uidNext++, system);
        for (const [uid, system] of touched) model.set(uid, system);
        const expunged = remove.flatMap(pick => [...model.keys()][pick % Math.max(1, model.size)] ?? []);
        for (const uid of expunged) {
          model.delete(uid);
          touched.delete(uid);
        }
        const lines = [...touched]
          .sort((a, b) => a[0] - b[0])
          .map(([uid, system]) => `${uid} ${system}`)
          .join("\n");
        snapshot = applyDelta(
          snapshot,
          { uidNext, highestModseq: ++modseq, lines, expunged: [...new Set(expunged)] },
          flags,
        );
      }
      const seen = [...snapshot.uids].map((uid, i) => [
        uid,
        snapshot.flagSets[snapshot.flagIds[i] ?? -1]?.system,
      ]);
      assert.deepEqual(
        seen,
        [...model].sort((a, b) => a[0] - b[0]),
      );
    }),
  );
});
