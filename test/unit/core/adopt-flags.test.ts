import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { adoptFlags } from "../../../src/core/adopt-flags.ts";
import { FlagTable } from "../../../src/core/flag-table.ts";
import { applyDelta, compactFlags } from "../../../src/core/mailbox-delta.ts";
import { CHUNK_MESSAGES, type MailboxSnapshot } from "../../../src/core/mailbox-snapshot.ts";
import { deltaLine, messagesOf, snapshotOf, type TestMessage, uidsOf } from "../../lib/snapshots.ts";

function adopted(old: MailboxSnapshot, next: MailboxSnapshot, byModseq = false) {
  const steps = adoptFlags(old, next, byModseq);
  for (let count = 0; ; count += 1) {
    const step = steps.next();
    if (step.done === true) return { ...step.value, steps: count };
  }
}

/** A newer state: some are changed, some are gone, some are new. */
function changed(
  base: MailboxSnapshot,
  flags: FlagTable,
  { set, gone, added }: { set: readonly TestMessage[]; gone: readonly number[]; added: number },
): MailboxSnapshot {
  const modseq = base.highestModseq + 1;
  const there = set.filter(({ uid }) => !gone.includes(uid));
  const fresh = Array.from({ length: added }, (_, i) => ({ uid: base.uidNext + i, modseq }));
  const delta = {
    uidNext: base.uidNext + added,
    highestModseq: modseq,
    lines: [[...there.map(one => ({ ...one, modseq })), ...fresh].map(deltaLine).join("\n")],
    expunged: gone,
  };
  return applyDelta(base, delta, flags);
}

const flagsOf = (system: number) => ({ system, keywords: [] });

test("the older messages get the newer flags, whatever came and went, and changes are named once", () => {
  const uid = fc.integer({ min: 1, max: 30 });
  fc.assert(
    fc.property(
      fc.uniqueArray(uid, { minLength: 1, maxLength: 20 }),
      fc.array(fc.tuple(uid, fc.integer({ min: 0, max: 3 })), { maxLength: 10 }),
      fc.uniqueArray(uid, { maxLength: 6 }),
      fc.integer({ min: 0, max: 3 }),
      fc.boolean(),
      (uids, sets, goners, added, isCompacted) => {
        const messages = uids.sort((a, b) => a - b).map(one => ({ uid: one, flags: flagsOf(one % 2) }));
        const table = new FlagTable(1);
        const old = snapshotOf(messages, table);
        const wanted = new Map(sets.filter(([one]) => uids.includes(one)));
        const set = [...wanted]
          .sort(([a], [b]) => a - b)
          .map(([one, f]) => ({ uid: one, flags: flagsOf(f) }));
        const gone = goners.filter(one => uids.includes(one));
        let next = changed(old, table, { set, gone, added });
        if (isCompacted) next = compactFlags(next, table).snapshot;
        const { state, changed: indexes } = adopted(old, next);
        const { changed: renumbered } = adopted(old, next, true);
        assert.deepEqual(uidsOf(state), uidsOf(old));
        const newest = new Map(messagesOf(next).map(one => [one.uid, one]));
        const before = messagesOf(old);
        for (const [i, now] of messagesOf(state).entries()) {
          const known = newest.get(now.uid);
          assert.deepEqual(now, known ?? before[i]);
          const isChanged = known !== undefined && known.flags.system !== before[i]?.flags.system;
          assert.equal(indexes.includes(i), isChanged, `UID ${now.uid}`);
          assert.equal(renumbered.includes(i), now.modseq !== before[i]?.modseq, `MODSEQ of UID ${now.uid}`);
        }
        if (gone.length === 0 && added === 0) assert.equal(state, next);
        else assert.equal(state.highestModseq, old.highestModseq);
      },
    ),
    { numRuns: 300 },
  );
});

test("what both states share is not looked at", () => {
  const table = new FlagTable();
  const messages = Array.from({ length: 4 * CHUNK_MESSAGES }, (_, i) => ({ uid: i + 1 }));
  const old = snapshotOf(messages, table);
  const next = changed(old, table, { set: [{ uid: 5, flags: flagsOf(1) }], gone: [], added: 0 });
  const { state, changed: indexes, steps } = adopted(old, next);
  assert.equal(state, next);
  assert.deepEqual(indexes, [4]);
  assert.equal(steps, 1);
});
