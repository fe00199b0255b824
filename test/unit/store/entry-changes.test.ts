import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_ENTRY_KEYWORDS } from "../../../src/core/flag-change.ts";
import type { MessageChanges } from "../../../src/core/ports/hooks.ts";
import { FLAG_FLAGGED, FLAG_SEEN } from "../../../src/core/ports/store.ts";
import { changeEntry, type EntryState, MAX_ENTRY_METADATA_BYTES } from "../../../src/store/entry-changes.ts";

const NOTHING: MessageChanges = {
  tagsAdd: [],
  tagsRemove: [],
  systemFlags: 0,
  keywords: [],
  folder: undefined,
  metadata: {},
};
const EMPTY: EntryState = { flags: 0, keywords: [], metadata: {} };
const change = (before: Partial<EntryState>, changes: Partial<MessageChanges>) =>
  changeEntry({ ...EMPTY, ...before }, { ...NOTHING, ...changes });

test("changeEntry() unites tags and keywords, and applies removals last", () => {
  const { state, what } = change(
    { keywords: ["z", "old"] },
    { tagsAdd: ["a", "b"], keywords: ["$K"], tagsRemove: ["old", "b"] },
  );
  assert.deepEqual(state.keywords, ["$K", "a", "z"]);
  assert.deepEqual(what, { tags_added: ["$K", "a"], tags_removed: ["old"] });
});

test("changeEntry() only ever sets flags, and adds metadata to what is there", () => {
  const { state, what } = change(
    { flags: FLAG_SEEN, metadata: { a: 1, b: { c: 2 } } },
    { systemFlags: FLAG_SEEN | FLAG_FLAGGED, metadata: { b: { c: 2 }, d: [3] } },
  );
  assert.equal(state.flags, FLAG_SEEN | FLAG_FLAGGED);
  assert.deepEqual(state.metadata, { a: 1, b: { c: 2 }, d: [3] });
  assert.deepEqual(what, { flags_set: ["\\Flagged"], metadata: ["d"] });
});

test("changeEntry() finds nothing to do when all of it is so already, in whatever order", () => {
  const before = { flags: FLAG_SEEN, keywords: ["b", "a"], metadata: { m: { x: 1, y: [0] } } };
  const { what } = change(before, {
    tagsAdd: ["a"],
    keywords: ["b"],
    tagsRemove: ["never"],
    systemFlags: FLAG_SEEN,
    metadata: { m: { y: [-0], x: 1 } },
  });
  assert.deepEqual(what, {});
});

test("changeEntry() keeps each copy's keywords and metadata within their limits, and says what it left out", () => {
  const keywords = Array.from({ length: MAX_ENTRY_KEYWORDS }, (_, i) => `k${i}`);
  const full = change({ keywords }, { tagsAdd: ["one-more"], tagsRemove: [], systemFlags: FLAG_SEEN });
  assert.deepEqual(full.what, { flags_set: ["\\Seen"] });
  assert.match(full.notApplicable.join(), /more than 128/u);
  assert.deepEqual(change({ keywords }, { tagsAdd: ["one-more"], tagsRemove: ["k0"] }).notApplicable, []);
  const large = change({}, { metadata: { a: "x".repeat(MAX_ENTRY_METADATA_BYTES) } });
  assert.deepEqual([large.what, large.state.metadata], [{}, {}]);
  assert.match(large.notApplicable.join(), /octets/u);
});
