import assert from "node:assert/strict";
import { test } from "node:test";
import { flagChange, keptFlags, readFlags, unusableKeywords } from "../../../src/transfer/imap-flags.ts";

test("readFlags() takes system flags in any case and keywords, not \\Recent", () => {
  const found = readFlags(new Set(["\\SEEN", "\\Recent", "\\XOther", "$Forwarded", "b"]));
  assert.deepEqual(found, { flags: ["\\Seen"], keywords: ["$Forwarded", "b"] });
});

test("keywords that the API would refuse are named and left out", () => {
  const long = "x".repeat(65);
  assert.deepEqual(readFlags(new Set([long, "ok"])).keywords, ["ok"]);
  assert.deepEqual(unusableKeywords(new Set([long, "ok", "\\Seen"])), [long]);
});

test("flagChange() carries over what changed here and leaves what changed there", () => {
  const change = flagChange(["\\Seen", "old"], ["\\Flagged"], ["\\seen", "old", "theirs"]);
  assert.deepEqual(change, { add: ["\\Flagged"], remove: ["\\Seen", "old"] });
  assert.deepEqual(flagChange([], ["\\Seen"], ["\\Seen"]), { add: [], remove: [] });
});

test("keptFlags() follows PERMANENTFLAGS; without them everything is tried", () => {
  const flags = ["\\Seen", "\\Draft", "word"];
  assert.deepEqual(keptFlags(flags, new Set(["\\seen", "\\*"])), ["\\Seen", "word"]);
  assert.deepEqual(keptFlags(flags, new Set(["\\Seen", "\\Draft"])), ["\\Seen", "\\Draft"]);
  assert.deepEqual(keptFlags(flags, undefined), flags);
});
