import assert from "node:assert/strict";
import { test } from "node:test";
import { FlagTable } from "../../../src/core/flag-table.ts";
import { applyDelta, compactFlags, emptySnapshot } from "../../../src/core/mailbox-delta.ts";
import { deltaLine, IDENTITY } from "../../lib/snapshots.ts";

/** One message that gets other keywords again and again, and the most that its table ever held. */
function most(changes: number, keywordsOf: (i: number) => readonly string[]) {
  let flags = new FlagTable();
  let snapshot = emptySnapshot(IDENTITY, flags);
  let [octets, keywords] = [0, 0];
  for (let modseq = 2; modseq < changes; modseq += 1) {
    const line = deltaLine({ uid: 1, modseq, flags: { system: 0, keywords: keywordsOf(modseq) } });
    const delta = { uidNext: 2, highestModseq: modseq, lines: [line], expunged: [] };
    ({ snapshot, flags } = compactFlags(applyDelta(snapshot, delta, flags), flags));
    octets = Math.max(octets, flags.octets);
    keywords = Math.max(keywords, flags.keywords.length);
  }
  return { octets, keywords };
}

test("a client that goes through many large flag sets on few messages does not fill the memory", () => {
  const words = Array.from({ length: 60 }, (_, i) => `${"x".repeat(60)}${i}`);
  // Subsets, of the bits of a number.
  const { octets } = most(3000, i => words.filter((_, bit) => bit > 12 || (i & (1 << bit)) !== 0));
  assert.ok(octets < 10_000_000, `${octets} octets`);
});

test("a client that goes through many keywords does not make every session hear of all of them", () => {
  const { keywords } = most(10_000, i => [`k${i}`]);
  assert.ok(keywords <= 2000, `${keywords} keywords`);
});
