/** The journal of copies: what wishes come to, and that undoing takes back no more and no less. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  type CopyChange,
  type CopyState,
  copyChanges,
  inherited,
  undoing,
} from "../../../src/core/copy-changes.ts";
import type { HookWish } from "../../../src/core/ports/hook-wish.ts";
import type { MessageChanges } from "../../../src/core/ports/hooks.ts";
import { changeEntry } from "../../../src/store/entry-changes.ts";

const NOTHING = {
  tagsAdd: [],
  tagsRemove: [],
  systemFlags: 0,
  keywords: [],
  folder: undefined,
  metadata: [],
};
const wish = (plugin: string, change: Partial<HookWish>): HookWish => ({
  point: "pre_delivery",
  hook: plugin,
  pluginId: plugin,
  pluginVersion: "1.0.0",
  callId: `call-${plugin}`,
  ...NOTHING,
  ...change,
});
const EMPTY: CopyState = { flags: 0, keywords: [], metadata: {}, mailbox: "INBOX" };

/** As `store/message-changes.ts` does it for the only copy of an account. */
function applied(copy: CopyState, changes: MessageChanges): CopyState {
  const { state } = changeEntry(copy, changes);
  const isHere = changes.undo?.onlyIn === undefined || changes.undo.onlyIn === copy.mailbox;
  return { ...state, mailbox: isHere ? (changes.folder ?? copy.mailbox) : copy.mailbox };
}

/** One request of a plugin about a stored copy. */
function wished(copy: CopyState, one: HookWish, value: number): CopyState {
  const metadata = Object.fromEntries(one.metadata.map(key => [key, value]));
  return applied(copy, { ...one, metadata });
}

test("a delivery's entries say whose wish is what, and who moved it last", () => {
  const wishes = [
    wish("a", { tagsAdd: ["spam", "bulk"], folder: "Junk", metadata: ["plugin:a:score"] }),
    wish("b", { tagsAdd: ["spam"], tagsRemove: ["bulk"], systemFlags: 4, folder: "Later" }),
    wish("c", {}),
  ];
  const after = { flags: 4, keywords: ["spam"], metadata: { "plugin:a:score": 1 }, mailbox: "Later" };
  const found = copyChanges(wishes, EMPTY, after);
  assert.deepEqual(
    found.map(({ wish: { pluginId }, change }) => [pluginId, change]),
    [
      [
        "a",
        {
          ...{ words: ["spam"], added: ["spam"], removed: [], wanted_flags: 0, flags: 0 },
          metadata: { "plugin:a:score": null },
        },
      ],
      [
        "b",
        {
          ...{ words: ["spam"], added: ["spam"], removed: [], wanted_flags: 4, flags: 4 },
          folder: { from: "INBOX", to: "Later" },
          metadata: {},
        },
      ],
    ],
  );
});

test("a tag that another plugin wanted too stays, and goes when that one is undone as well", () => {
  const after = { ...EMPTY, keywords: ["spam"] };
  const made = copyChanges(
    [wish("a", { tagsAdd: ["spam"] }), wish("b", { tagsAdd: ["spam"] })],
    EMPTY,
    after,
  );
  const [a, b] = made.map(one => one.change);
  assert.ok(a && b);
  const first = applied(after, undoing(a, [{ isLater: true, change: b }]));
  assert.deepEqual(first.keywords, ["spam"]);
  assert.deepEqual(applied(first, undoing(b, [])).keywords, []);
});

test("a copy that was moved on stays where it is, a value that was written again stays", () => {
  const moved: CopyChange = {
    ...{ words: [], added: [], removed: [], wanted_flags: 0, flags: 0 },
    folder: { from: "INBOX", to: "Junk" },
    metadata: { "plugin:a:score": null },
  };
  const copy = { ...EMPTY, mailbox: "Archive", metadata: { "plugin:a:score": 2 } };
  assert.equal(applied(copy, undoing(moved, [])).mailbox, "Archive");
  assert.deepEqual(applied(copy, undoing(moved, [])).metadata, {});
  const later = { isLater: true, change: { ...moved, metadata: { "plugin:a:score": 1 } } };
  assert.deepEqual(applied(copy, undoing(moved, [later])).metadata, copy.metadata);
  assert.equal(applied({ ...copy, mailbox: "Junk" }, undoing(moved, [later])).mailbox, "Junk");
});

const word = fc.constantFrom("a", "b", "c", "d");
const words = fc.uniqueArray(word, { maxLength: 3 });
const anyWish = fc.record({
  plugin: fc.constantFrom("p", "q", "r"),
  tagsAdd: words,
  tagsRemove: words,
  systemFlags: fc.constantFrom(0, 1, 4, 5),
  keywords: fc.uniqueArray(fc.constantFrom("$x", "$y"), { maxLength: 2 }),
  folder: fc.option(fc.constantFrom("INBOX", "Junk", "Later"), { nil: undefined }),
  metadata: fc.uniqueArray(fc.constantFrom("k", "l"), { maxLength: 2 }),
});
const start = fc.record(
  {
    flags: fc.constantFrom(0, 1, 4),
    keywords: words.map(list => [...list].sort()),
    metadata: fc.constant({}),
    mailbox: fc.constantFrom("INBOX", "Junk"),
  },
  { noNullPrototype: true },
);

/** Wishes one after the other about a stored copy, each in a request of its own. */
function history(from: CopyState, list: readonly (Partial<HookWish> & { readonly plugin: string })[]) {
  const journal: CopyChange[] = [];
  const copy = list.reduce((before, { plugin, ...change }, i) => {
    const one = wish(plugin, {
      ...change,
      metadata: (change.metadata ?? []).map(key => `plugin:${plugin}:${key}`),
    });
    const after = wished(before, one, i);
    journal.push(...copyChanges([one], before, after).map(made => made.change));
    return after;
  }, from);
  return { copy, journal };
}

test("undoing everything, newest first, gives the copy as it was", () => {
  fc.assert(
    fc.property(start, fc.array(anyWish, { maxLength: 5 }), (from, list) => {
      const { copy, journal } = history(from, list);
      const undone = journal.reduceRight(
        (now, change, i) =>
          applied(
            now,
            undoing(
              change,
              journal.slice(0, i).map(one => ({ isLater: false, change: one })),
            ),
          ),
        copy,
      );
      assert.deepEqual(undone, from);
    }),
    { numRuns: 2000 },
  );
});

test("undoing everything in any order gives the copy as it was, where nobody else took away what was there", () => {
  const adding = anyWish.map(one => ({ ...one, tagsRemove: [] }));
  fc.assert(
    fc.property(
      start,
      fc.array(adding, { maxLength: 5 }),
      fc.infiniteStream(fc.nat()),
      (from, list, dice) => {
        const { copy, journal } = history(from, list);
        let left = journal.map((change, id) => ({ id, change }));
        let now = copy;
        for (const roll of dice) {
          const one = left[roll % left.length];
          if (one === undefined) break;
          const others = left
            .filter(({ id }) => id !== one.id)
            .map(({ id, change }) => ({ id, change, isLater: id > one.id }))
            .reverse();
          now = applied(now, undoing(one.change, others));
          const heirs = inherited(one.change, others);
          left = others.map(other => ({ id: other.id, change: heirs.get(other) ?? other.change })).reverse();
        }
        assert.deepEqual(now, from);
      },
    ),
    { numRuns: 2000 },
  );
});

test("a null that another plugin wrote is a value: undoing leaves it", () => {
  const change = {
    ...{ words: [], added: [], removed: [], wanted_flags: 0, flags: 0 },
    metadata: { k: null },
  };
  const copy = { ...EMPTY, metadata: { k: 1, "plugin:b:x": null } };
  assert.deepEqual(applied(copy, undoing(change, [])).metadata, { "plugin:b:x": null });
});
