/** Lines of the egress ledger: they read back, and what a crash leaves is told apart from what was written. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeLines, encodeLine } from "../../../src/hooks/ledger-lines.ts";
import { entryOf } from "./ledger.ts";

const entries = [entryOf(1, { hook: "日本 \u0000\n\u2028" }), entryOf(2), entryOf(3)];
const lines = Buffer.concat(entries.map(encodeLine));

test("lines read back as they were, also in front of zeros", () => {
  for (const bytes of [lines, Buffer.concat([lines, Buffer.alloc(4096)])])
    assert.deepEqual(decodeLines(bytes), { entries, consumed: lines.length, damaged: 0 });
});

test("a last line that is cut anywhere is left out, and the others are not", () => {
  const last = lines.length - encodeLine(entryOf(3)).length;
  for (let end = last; end < lines.length; end++) {
    for (const tail of [0, 100]) {
      const cut = Buffer.concat([lines.subarray(0, end), Buffer.alloc(tail)]);
      assert.deepEqual(decodeLines(cut), { entries: entries.slice(0, 2), consumed: last, damaged: 0 });
    }
  }
});

test("a line in the middle that is not what was written is counted, and the next one is read", () => {
  for (const at of [0, 9, 20]) {
    const bytes = Buffer.from(lines);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    const { entries: found, damaged } = decodeLines(bytes);
    assert.deepEqual([found, damaged], [entries.slice(1), 1]);
  }
});
