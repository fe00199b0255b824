import assert from "node:assert/strict";
import { test } from "node:test";
import { timelineLines } from "../../../src/cli/timeline.ts";
import { captured } from "./terminal.ts";

const AT = "2026-03-01T12:00:00.000Z";
const ID = "0190a000-0000-7000-8000-00000000000a";

function lineOf(data: Record<string, unknown>): string {
  const event = { at: AT, message_id: ID, queue_id: "Q", kind: "changed", recipient: "u@example.test", data };
  const timeline = { id: ID, matched: "message_id" as const, events: [event], truncated: false };
  return timelineLines(captured(), timeline)[1] ?? "";
}

test("a change of stored mail says what was changed, and by whom", () => {
  const line = lineOf({
    job: "post_receive",
    by: [{ plugin_id: "com.example.sort", hook: "sort", changes: ["tags", "folder"] }],
    tags_added: ["invoice"],
    tags_removed: ["new"],
    flags_set: ["\\Flagged"],
    metadata: ["plugin:com.example.sort:score"],
    moved: { from: "INBOX", to: "Invoices", uid: 7 },
  });
  assert.match(
    line,
    /changed\s+tags \+invoice -new, flags \\Flagged, metadata plugin:com\.example\.sort:score, /u,
  );
  assert.match(line, /moved from INBOX to Invoices \(UID 7\) by sort \(com\.example\.sort\), post_receive/u);
});

test("what a plugin or a mailbox name brings is shown escaped, and odd data breaks nothing", () => {
  assert.ok(!lineOf({ tags_added: ["a\u001b[31m"], moved: { from: "x\ny", to: 1 } }).includes("\u001b[31m"));
  assert.equal(lineOf({ tags_added: 7, by: "x", moved: [] }).includes("7"), false);
});
