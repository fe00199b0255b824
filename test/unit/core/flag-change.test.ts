import assert from "node:assert/strict";
import { test } from "node:test";
import { changeFlags, type FlagOp, spelledAsKnown } from "../../../src/core/flag-change.ts";
import { KeywordRoom } from "../../../src/core/keyword-room.ts";
import { FLAG_DELETED, FLAG_FLAGGED, FLAG_SEEN, type FlagSet } from "../../../src/core/ports/store.ts";
import { snapshotOf } from "../../lib/snapshots.ts";

const set = (system: number, ...keywords: readonly string[]): FlagSet => ({ system, keywords });

test("flags are added, taken away and replaced; \\Deleted stays as it is", () => {
  const before = set(FLAG_SEEN | FLAG_DELETED, "a", "b");
  const of = (op: FlagOp, wanted: FlagSet) => changeFlags(before, op, wanted);
  assert.deepEqual(
    of("add", set(FLAG_FLAGGED, "c")),
    set(FLAG_SEEN | FLAG_FLAGGED | FLAG_DELETED, "a", "b", "c"),
  );
  assert.deepEqual(of("remove", set(FLAG_SEEN | FLAG_DELETED, "a")), set(FLAG_DELETED, "b"));
  assert.deepEqual(of("replace", set(FLAG_FLAGGED, "c")), set(FLAG_FLAGGED | FLAG_DELETED, "c"));
  assert.deepEqual(changeFlags(set(0), "add", set(FLAG_DELETED)), set(0));
});

test("what changes nothing is the same object", () => {
  const before = set(FLAG_SEEN, "a");
  assert.equal(changeFlags(before, "add", set(FLAG_SEEN, "A")), before);
  assert.equal(changeFlags(before, "remove", set(FLAG_FLAGGED, "z")), before);
  assert.equal(changeFlags(before, "replace", set(FLAG_SEEN, "a")), before);
});

test("keywords are the same in any case, and keep the spelling that they have", () => {
  const before = set(0, "Invoice", "invoice");
  assert.deepEqual(changeFlags(before, "remove", set(0, "INVOICE")), set(0));
  assert.deepEqual(changeFlags(set(0, "Invoice"), "replace", set(0, "invoice", "x")), set(0, "Invoice", "x"));
  assert.deepEqual(spelledAsKnown(["work", "WORK", "new"], ["Home", "Work", "work"]), ["Work", "new"]);
});

test("a keyword that no client can be shown outlives that a client replaces the flags", () => {
  assert.deepEqual(changeFlags(set(0, "a", "ä", "x y"), "replace", set(0)), set(0, "ä", "x y"));
});

function roomOf(state: ReturnType<typeof snapshotOf>, limits: { keywords: number; listsOctets: number }) {
  const steps = KeywordRoom.of(state, limits);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

const NO_END = Number.MAX_SAFE_INTEGER;

test("a mailbox takes only so many keywords; those it has, and none, always fit", () => {
  const messages = ["a", "b", "c"].map((word, i) => ({ uid: i + 1, flags: set(0, word) }));
  const room = roomOf(snapshotOf(messages), { keywords: 4, listsOctets: NO_END });
  assert.ok(room.takes(set(0), set(1)));
  assert.ok(room.takes(set(0, "a"), set(0, "b")));
  assert.ok(room.takes(set(0, "a"), set(0, "a", "b")));
  assert.ok(room.takes(set(0), set(0, "d")));
  assert.ok(!room.takes(set(0), set(0, "e")));
  assert.ok(room.takes(set(0, "x", "y"), set(1, "x", "y")), "its keywords do not change");
  assert.ok(room.takes(set(0, "x", "y"), set(1)), "they go");
});

test("a mailbox takes only so many lists, however few keywords they are made of", () => {
  const words = Array.from({ length: 12 }, (_, i) => `w${i}`);
  const messages = Array.from({ length: 40 }, (_, i) => ({
    uid: i + 1,
    flags: set(0, ...words.filter((_, bit) => ((i + 1) & (1 << bit)) !== 0)),
  }));
  const state = snapshotOf(messages);
  const room = roomOf(state, { keywords: NO_END, listsOctets: 40 * 300 });
  let taken = 0;
  for (let i = 100; i < 4000; i += 1)
    if (room.takes(set(0), set(0, ...words.filter((_, bit) => (i & (1 << bit)) !== 0)))) taken += 1;
  assert.ok(taken < 40, `${taken} more lists`);
});

test("what no message has any more makes room again", () => {
  const many = Array.from({ length: 50 }, (_, i) => ({ uid: i + 1, flags: set(0, `old${i}`) }));
  const table = snapshotOf(many).flags;
  const state = { ...snapshotOf(many), flags: table };
  assert.ok(!roomOf(state, { keywords: 50, listsOctets: NO_END }).takes(set(0), set(0, "new")));
  const emptied = { ...state, chunks: [], count: 0, starts: new Uint32Array(1) };
  assert.ok(roomOf(emptied, { keywords: 50, listsOctets: NO_END }).takes(set(0), set(0, "new")));
});
