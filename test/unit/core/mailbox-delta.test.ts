import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FlagTable } from "../../../src/core/flag-table.ts";
import {
  applyDelta,
  applyDeltaInSteps,
  compactFlags,
  compactFlagsInSteps,
  emptySnapshot,
  type MailboxDelta,
} from "../../../src/core/mailbox-delta.ts";
import {
  CHUNK_MESSAGES,
  firstUnseen,
  flagSetAt,
  indexOfUid,
  lastUid,
  type MailboxSnapshot,
  modseqAt,
  octetsOf,
  uidAt,
  uidsBetween,
} from "../../../src/core/mailbox-snapshot.ts";
import { IDENTITY, messagesOf, uidsOf } from "../../lib/snapshots.ts";

function setUp() {
  const flags = new FlagTable();
  return { flags, empty: emptySnapshot(IDENTITY, flags) };
}

/** A mailbox of messages 1 to `count`, all unseen. */
function filled(count: number, flags: FlagTable): MailboxSnapshot {
  const line = (_: unknown, i: number) => `${i + 1} ${i + 1} 0`;
  const lines = [Array.from({ length: count }, line).join("\n")];
  const delta = { uidNext: count + 1, highestModseq: count, lines, expunged: [] };
  return applyDelta(emptySnapshot(IDENTITY, flags), delta, flags);
}

const change = (base: MailboxSnapshot, what: Partial<MailboxDelta>): MailboxDelta => ({
  uidNext: base.uidNext,
  highestModseq: base.highestModseq + 1,
  lines: [],
  expunged: [],
  ...what,
});

test("applyDelta() adds new messages, changes flags and removes expunged ones in one step", () => {
  const { flags, empty } = setUp();
  const lines = ["1 2 0\n2 3 1", "4 5 0 work spam"];
  const first = applyDelta(empty, { uidNext: 5, highestModseq: 5, lines, expunged: [] }, flags);
  assert.deepEqual(uidsOf(first), [1, 2, 4]);
  assert.deepEqual(flagSetAt(first, 2), { system: 0, keywords: ["spam", "work"] });
  const delta = { uidNext: 7, highestModseq: 9, lines: ["1 8 1\n6 9 4"], expunged: [2] };
  const second = applyDelta(first, delta, flags);
  assert.deepEqual(uidsOf(second), [1, 4, 6]);
  assert.equal(flagSetAt(second, 0).system, 1);
  assert.deepEqual(
    [0, 1, 2].map(index => modseqAt(second, index)),
    [8, 5, 9],
  );
  assert.deepEqual(uidsOf(first), [1, 2, 4], "the older snapshot stays as it was");
  assert.equal(modseqAt(first, 0), 2);
});

test("applyDelta() returns the same object when nothing changed", () => {
  const { flags, empty } = setUp();
  const state = applyDelta(empty, change(empty, { uidNext: 2, lines: ["1 1 0"] }), flags);
  assert.equal(applyDelta(state, { ...change(state, {}), highestModseq: state.highestModseq }, flags), state);
});

test("applyDelta() survives a message that came and went between two reads", () => {
  const { flags, empty } = setUp();
  const state = applyDelta(empty, change(empty, { uidNext: 2, lines: ["1 1 0"] }), flags);
  const next = applyDelta(state, change(state, { uidNext: 4, lines: ["3 3 0"], expunged: [2] }), flags);
  assert.deepEqual(uidsOf(next), [1, 3]);
});

test("applyDelta() makes only the chunk anew in which something changed", () => {
  const { flags } = setUp();
  const base = filled(3 * CHUNK_MESSAGES, flags);
  assert.equal(base.chunks.length, 3);
  const shared = (next: MailboxSnapshot) => next.chunks.map(chunk => base.chunks.indexOf(chunk));
  const flagged = applyDelta(base, change(base, { lines: [`${CHUNK_MESSAGES + 1} 99999 1`] }), flags);
  assert.deepEqual(shared(flagged), [0, -1, 2]);
  const expunged = applyDelta(base, change(base, { expunged: [CHUNK_MESSAGES, 3] }), flags);
  assert.deepEqual(shared(expunged), [-1, 1, 2]);
  const uid = 3 * CHUNK_MESSAGES + 1;
  const added = applyDelta(base, change(base, { uidNext: uid + 1, lines: [`${uid} 99999 0`] }), flags);
  assert.deepEqual(shared(added), [0, 1, 2, -1]);
  // What is not there changes nothing, not even its chunk.
  const gone = applyDelta(added, change(added, { expunged: [uid + 5] }), flags);
  assert.ok(gone.chunks.every((chunk, i) => chunk === added.chunks[i]));
});

test("expunges leave no crumbs: small chunks are joined, empty ones go", () => {
  const { flags } = setUp();
  let state = filled(8 * CHUNK_MESSAGES, flags);
  const all = uidsOf(state);
  state = applyDelta(state, change(state, { expunged: all.filter(uid => uid % 50 !== 0) }), flags);
  assert.equal(state.count, Math.floor(all.length / 50));
  assert.equal(state.chunks.length, 1);
  state = applyDelta(state, change(state, { expunged: all }), flags);
  assert.deepEqual(
    [state.count, state.chunks.length, lastUid(state), firstUnseen(state)],
    [0, 0, 0, undefined],
  );
});

/** What a mailbox holds, kept in the simplest way. */
class Model {
  readonly messages = new Map<number, { modseq: number; system: number }>();
  uidNext = 1;
  modseq = 1;

  check(snapshot: MailboxSnapshot): void {
    const expected = [...this.messages].sort((a, b) => a[0] - b[0]);
    assert.equal(snapshot.count, expected.length);
    assert.deepEqual(
      messagesOf(snapshot).map(m => [m.uid, { modseq: m.modseq, system: m.flags.system }]),
      expected,
    );
    const unseen = expected.findIndex(([, { system }]) => (system & 1) === 0);
    assert.equal(firstUnseen(snapshot), unseen < 0 ? undefined : unseen);
    this.#checkChunks(snapshot);
    this.#checkLookUps(snapshot, expected);
  }

  #checkChunks({ chunks, starts, count }: MailboxSnapshot): void {
    assert.equal(starts.length, chunks.length + 1);
    assert.equal(starts.at(-1), count);
    for (const [i, chunk] of chunks.entries()) {
      const { length } = chunk.uids;
      assert.ok(length > 0 && length <= CHUNK_MESSAGES);
      assert.equal(starts[i + 1], (starts[i] ?? 0) + length);
      assert.equal(chunk.maxModseq, Math.max(...chunk.modseqs));
      const neighbour = chunks[i + 1]?.uids.length ?? CHUNK_MESSAGES;
      const small = Math.min(length, neighbour) < CHUNK_MESSAGES / 4;
      assert.ok(!small || length + neighbour > CHUNK_MESSAGES, "two that fit into one chunk");
    }
  }

  #checkLookUps(snapshot: MailboxSnapshot, expected: ReadonlyArray<readonly [uid: number, unknown]>): void {
    const places = [0, expected.length >> 1, expected.length - 1, CHUNK_MESSAGES].filter(
      place => place >= 0 && place < expected.length,
    );
    for (const place of places) {
      const uid = expected[place]?.[0] ?? 0;
      assert.equal(uidAt(snapshot, place), uid);
      assert.equal(indexOfUid(snapshot, uid), place);
      assert.equal(indexOfUid(snapshot, uid + 1), place + 1);
      assert.deepEqual(
        [...uidsBetween(snapshot, place, expected.length)],
        expected.slice(place).map(([each]) => each),
      );
    }
    assert.equal(uidAt(snapshot, expected.length), 0);
    assert.equal(indexOfUid(snapshot, this.uidNext), expected.length);
  }
}

test("any history of mail, flags and expunges in any batches equals a plain map", () => {
  const system = fc.integer({ min: 0, max: 31 });
  const step = fc.record({
    add: fc.oneof(fc.integer({ min: 0, max: 4 }), fc.integer({ min: 0, max: 6000 })),
    change: fc.array(fc.tuple(fc.nat(), system), { maxLength: 4 }),
    // From where on how many are expunged: a few, or most of a chunk.
    expunge: fc.array(fc.tuple(fc.nat(), fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 5000 }))), {
      maxLength: 2,
    }),
    system,
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 6 }), steps => {
      let flags = new FlagTable(8);
      let snapshot = emptySnapshot(IDENTITY, flags);
      const model = new Model();
      for (const { add, change: changes, expunge, system: first } of steps) {
        const touched = new Set<number>();
        const gone: number[] = [];
        const pick = (n: number) => [...model.messages.keys()][n % Math.max(1, model.messages.size)] ?? 0;
        for (const [n, flagsOf] of changes) {
          const uid = pick(n);
          if (!model.messages.has(uid)) continue;
          model.messages.set(uid, { modseq: ++model.modseq, system: flagsOf });
          touched.add(uid);
        }
        for (let i = 0; i < add; i += 1) {
          model.messages.set(model.uidNext, { modseq: ++model.modseq, system: (first + i) % 32 });
          touched.add(model.uidNext++);
        }
        for (const [n, count] of expunge) {
          const from = pick(n);
          for (let uid = from; uid < from + count; uid += 1) {
            if (!model.messages.delete(uid)) continue;
            model.modseq += 1;
            gone.push(uid);
            touched.delete(uid);
          }
        }
        const lines = [...touched]
          .sort((a, b) => a - b)
          .map(uid => `${uid} ${model.messages.get(uid)?.modseq} ${model.messages.get(uid)?.system}`);
        const delta = { uidNext: model.uidNext, highestModseq: model.modseq, lines, expunged: gone };
        ({ snapshot, flags } = compactFlags(applyDelta(snapshot, delta, flags), flags));
        model.check(snapshot);
      }
    }),
    { numRuns: 40 },
  );
});

test("flag sets may be as many as there are messages, and dead ones are left behind", () => {
  const flags = new FlagTable();
  const sets = 70_000;
  const lines = Array.from({ length: sets }, (_, i) => `${i + 1} 1 0 k${i}`);
  const empty = emptySnapshot(IDENTITY, flags);
  const delta = { uidNext: sets + 1, highestModseq: 2, lines: [lines.join("\n")], expunged: [] };
  const many = applyDelta(empty, delta, flags);
  assert.deepEqual(flagSetAt(many, sets - 1), { system: 0, keywords: [`k${sets - 1}`] });
  const same = compactFlags(many, flags);
  assert.equal(same.flags, flags, "all of them live");
  assert.equal(flags.crowded, false, "nobody looks again until as many more came");
  const seen = Array.from({ length: sets }, (_, i) => `${i + 1} 3 1 k${i % 3}`);
  const next = applyDelta(many, { ...delta, highestModseq: 3, lines: [seen.join("\n")] }, flags);
  for (let i = 0; i < 200_000 && !flags.crowded; i += 1) flags.id(`0 more${i}`);
  const compacted = compactFlags(next, flags);
  assert.equal(compacted.flags.sets.length, 3);
  assert.deepEqual([...compacted.flags.keywords], ["k0", "k1", "k2"]);
  assert.equal(flagSetAt(compacted.snapshot, 4), flagSetAt(next, 4), "the same object in both tables");
  assert.equal(compacted.flags.id("1 k1"), compacted.snapshot.chunks[0]?.flagIds[1]);
  assert.deepEqual(flagSetAt(many, 4), { system: 0, keywords: ["k4"] }, "the old state stays as it was");
});

test("a large mailbox is read in steps of one text or one chunk, so that others may have their turn between them", () => {
  const { flags, empty } = setUp();
  const texts = 5;
  const perText = CHUNK_MESSAGES + 7;
  const line = (uid: number) => `${uid} ${uid} ${uid % 3} k${uid % 5}`;
  const lines = Array.from({ length: texts }, (_, text) =>
    Array.from({ length: perText }, (_, i) => line(text * perText + i + 1)).join("\n"),
  );
  const count = texts * perText;
  const delta = { uidNext: count + 1, highestModseq: count, lines, expunged: [] };
  const steps = [...applyDeltaInSteps(empty, delta, flags)].length;
  assert.ok(steps >= 2 * texts + Math.ceil(count / CHUNK_MESSAGES), `${steps} steps`);
  const state = applyDelta(empty, delta, flags);
  const everyOther = Array.from({ length: state.chunks.length }, (_, i) => i * CHUNK_MESSAGES + 1);
  const changes = [...applyDeltaInSteps(state, change(state, { expunged: everyOther }), flags)].length;
  assert.ok(changes >= state.chunks.length, `${changes} steps`);
  const crowded = new FlagTable(1);
  const small = applyDelta(empty, delta, crowded);
  assert.ok([...compactFlagsInSteps(small, crowded)].length >= small.chunks.length);
});

test("the memory of a state is told: its messages, and every flag set with its words", () => {
  const { flags, empty } = setUp();
  const state = applyDelta(empty, change(empty, { uidNext: 3, lines: ["1 1 0\n2 1 0"] }), flags);
  const large = filled(3 * CHUNK_MESSAGES, new FlagTable());
  assert.ok(octetsOf(state) < 2000, String(octetsOf(state)));
  assert.ok(octetsOf(large) >= 3 * CHUNK_MESSAGES * 16);
  assert.ok(octetsOf(large) < 3 * CHUNK_MESSAGES * 17);
  const before = flags.octets;
  flags.id(`0 ${"w".repeat(60)} ${"x".repeat(60)}`);
  assert.ok(flags.octets >= before + 4 * 120);
  const after = flags.octets;
  flags.id(`0 ${"w".repeat(60)} ${"x".repeat(60)}`);
  assert.equal(flags.octets, after);
});
