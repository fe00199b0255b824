import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { InvalidState } from "../../../../src/core/errors.ts";
import { FlagTable } from "../../../../src/core/flag-table.ts";
import { applyDelta, compactFlags } from "../../../../src/core/mailbox-delta.ts";
import type { MailboxSnapshot, SnapshotChunk } from "../../../../src/core/mailbox-snapshot.ts";
import { compareViews, type ViewChange } from "../../../../src/protocols/imap/view.ts";
import { messagesOf, snapshotOf } from "../../../lib/snapshots.ts";

type Message = readonly [uid: number, system: number];

function snapshot(messages: readonly Message[], table = new FlagTable(4)): MailboxSnapshot {
  return snapshotOf(
    messages.map(([uid, system]) => ({ uid, flags: { system, keywords: [] } })),
    table,
  );
}

const told = (view: MailboxSnapshot): Message[] => messagesOf(view).map(m => [m.uid, m.flags.system]);

function compared(old: MailboxSnapshot, next: MailboxSnapshot, byModseq = false): ViewChange {
  const steps = compareViews(old, next, byModseq);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** The indexes in half-open ranges, which must ascend. */
function indexesIn(ranges: readonly number[]): number[] {
  const indexes: number[] = [];
  for (let i = 0; i < ranges.length; i += 2) {
    assert.ok((ranges[i] ?? 0) > (ranges[i - 1] ?? -1) && (ranges[i] ?? 0) < (ranges[i + 1] ?? 0));
    for (let index = ranges[i] ?? 0; index < (ranges[i + 1] ?? 0); index += 1) indexes.push(index);
  }
  return indexes;
}

/** What a client holds that applies what is announced. */
function followed(old: MailboxSnapshot, next: MailboxSnapshot): Message[] {
  const change = compared(old, next);
  const client = told(old);
  for (const index of indexesIn(change.expunged).reverse()) {
    assert.ok(index < client.length);
    client.splice(index, 1);
  }
  assert.equal(client.length + change.added, next.count);
  const now = told(next);
  client.push(...now.slice(client.length));
  for (const index of indexesIn(change.flagged)) client[index] = now[index] ?? [0, 0];
  return client;
}

/** MODSEQs that a client holds which is told them with the flags. */
function followedModseqs(old: MailboxSnapshot, next: MailboxSnapshot): number[] {
  const { expunged, flagged } = compared(old, next, true);
  const gone = new Set(indexesIn(expunged));
  const client = messagesOf(old).flatMap(({ modseq }, index) => (gone.has(index) ? [] : [modseq]));
  const now = messagesOf(next).map(({ modseq }) => modseq);
  client.push(...now.slice(client.length));
  for (const index of indexesIn(flagged)) {
    assert.notEqual(client[index], now[index], "told without need");
    client[index] = now[index] ?? 0;
  }
  return client;
}

test("a client that applies what is announced holds the new state, whatever chunks the two states share", () => {
  const system = fc.nat(7);
  const step = fc.record({
    added: fc.array(system, { maxLength: 5 }),
    changed: fc.array(fc.tuple(fc.nat(), system), { maxLength: 3 }),
    expunged: fc.array(fc.nat(), { maxLength: 6 }),
  });
  // Some more than one chunk, so that states share some and not others.
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 9000 }), fc.array(step, { maxLength: 4 }), (first, steps) => {
      let table = new FlagTable(4);
      const old = snapshot(
        Array.from({ length: first }, (_, i) => [i + 1, i % 8]),
        table,
      );
      let next = old;
      for (const { added, changed, expunged } of steps) {
        const pick = (n: number) => 1 + (n % Math.max(1, next.uidNext - 1));
        const gone = [...new Set(expunged.map(pick))];
        const kept = new Map(changed.map(([n, flags]) => [pick(n), flags]));
        for (const uid of gone) kept.delete(uid);
        for (const [i, flags] of added.entries()) kept.set(next.uidNext + i, flags);
        const modseq = next.highestModseq + 1;
        const lines = [...kept]
          .sort((a, b) => a[0] - b[0])
          .map(([uid, flags]) => `${uid} ${modseq} ${flags}`);
        const uidNext = next.uidNext + added.length;
        const delta = { uidNext, highestModseq: modseq, lines, expunged: gone };
        ({ snapshot: next, flags: table } = compactFlags(applyDelta(next, delta, table), table));
      }
      assert.deepEqual(followed(old, next), told(next));
      assert.deepEqual(
        followedModseqs(old, next),
        messagesOf(next).map(({ modseq }) => modseq),
      );
    }),
    { numRuns: 60 },
  );
});

test("a client follows between any two states", () => {
  const system = fc.nat(3);
  fc.assert(
    fc.property(
      fc.array(fc.tuple(system, fc.boolean(), system), { maxLength: 20 }),
      fc.array(system, { maxLength: 5 }),
      (known, added) => {
        const table = new FlagTable();
        const old = snapshot(
          known.map(([flags], i) => [i + 1, flags]),
          table,
        );
        const kept = known.flatMap(([, stays, flags], i) => (stays ? [[i + 1, flags] as const] : []));
        const next = snapshot([...kept, ...added.map((flags, i) => [100 + i, flags] as const)], table);
        assert.deepEqual(followed(old, next), told(next));
      },
    ),
  );
});

test("compareViews() looks into no chunk that both states share", () => {
  const table = new FlagTable();
  const old = snapshot(
    Array.from({ length: 10_000 }, (_, i) => [i + 1, 0]),
    table,
  );
  const delta = { uidNext: 10_001, highestModseq: 2, lines: ["10000 2 1"], expunged: [] };
  const next = applyDelta(old, delta, table);
  // Both states hold the first two chunks; here nobody can read them.
  const unread = {
    get uids(): never {
      throw new Error("looked into a chunk that both states share");
    },
  };
  const chunks: SnapshotChunk[] = [Object.create(unread), Object.create(unread)];
  const hidden = (view: MailboxSnapshot) => ({ ...view, chunks: [...chunks, ...view.chunks.slice(2)] });
  assert.ok(old.chunks.length > 2 && chunks.every((_, i) => old.chunks[i] === next.chunks[i]));
  assert.deepEqual(compared(hidden(old), hidden(next)), { expunged: [], added: 0, flagged: [9999, 10_000] });
});

test("compareViews() tells flags that are as they were to those that follow MODSEQs alone", () => {
  const table = new FlagTable();
  const old = snapshot(
    [
      [1, 0],
      [2, 1],
    ],
    table,
  );
  const next = applyDelta(old, { uidNext: 3, highestModseq: 3, lines: ["2 3 1"], expunged: [] }, table);
  assert.deepEqual(compared(old, next), { expunged: [], added: 0, flagged: [] });
  assert.deepEqual(compared(old, next, true), { expunged: [], added: 0, flagged: [1, 2] });
});

test("compareViews() tells no flags when only their table was made anew", () => {
  const table = new FlagTable(2);
  const old = snapshot(
    [
      [1, 0],
      [2, 1],
    ],
    table,
  );
  for (const system of [2, 3, 4, 5]) table.id(String(system));
  const next = compactFlags(old, table).snapshot;
  assert.notEqual(next.flags, old.flags);
  assert.deepEqual(compared(old, next), { expunged: [], added: 0, flagged: [] });
});

test("compareViews() refuses a message that appears below a known UID", () => {
  assert.throws(
    () =>
      compared(
        snapshot([[5, 0]]),
        snapshot([
          [4, 0],
          [5, 0],
        ]),
      ),
    InvalidState,
  );
});
