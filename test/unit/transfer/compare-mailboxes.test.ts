import assert from "node:assert/strict";
import { test } from "node:test";
import { compareMailboxes } from "../../../src/transfer/compare-mailboxes.ts";

const box = (flags: string) => ({
  uidValidity: 1,
  messages: [{ uid: 1, flags, date: 0, sizeBytes: 1, digest: "a" }],
});
const same = (here: string, there: string, ignoreMarks: boolean) =>
  compareMailboxes(
    { mailbox: "INBOX", there: "INBOX" },
    box(here),
    box(there),
    { ignoreUids: true, ignoreDates: true, ignoreTrace: true, ignoreMarks },
    () => undefined,
  ).flags_differ === 0;

test("marks that hooks set here are no difference where they are to be ignored, flags that lack here are one", () => {
  assert.ok(!same("\\seen marked", "\\seen", false));
  assert.ok(same("\\seen marked", "\\seen", true));
  assert.ok(same("marked", "", true));
  assert.ok(same("", "", true));
  assert.ok(!same("marked", "\\seen", true));
  assert.ok(!same("", "\\seen", true));
});
