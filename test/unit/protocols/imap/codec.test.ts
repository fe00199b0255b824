import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { encodeModifiedUtf7 } from "../../../../src/core/modified-utf7.ts";
import { dateTime, flagNames, quoted, wireMailbox } from "../../../../src/protocols/imap/encode.ts";
import { matchesPattern } from "../../../../src/protocols/imap/mailbox-pattern.ts";
import { ImapSyntaxError } from "../../../../src/protocols/imap/syntax-error.ts";
import { decodeUtf7 } from "../../../../src/protocols/imap/utf7.ts";

test("modified UTF-7 matches the examples of RFC 3501", () => {
  assert.equal(encodeModifiedUtf7("~peter/mail/台北/日本語"), "~peter/mail/&U,BTFw-/&ZeVnLIqe-");
  assert.equal(encodeModifiedUtf7("a&b"), "a&-b");
  assert.equal(decodeUtf7(Buffer.from("&Jjo-!")), "☺!");
});

test("modified UTF-7 gives back every name", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(0xffff)), units => {
      const name = String.fromCharCode(...units);
      const wire = encodeModifiedUtf7(name);
      assert.match(wire, /^[\x20-\x7e]*$/u);
      assert.equal(decodeUtf7(Buffer.from(wire)), name);
    }),
  );
});

test("decodeUtf7() takes UTF-8 and refuses what is neither", () => {
  assert.equal(decodeUtf7(Buffer.from("日本")), "日本");
  for (const wire of ["&abc", "&a b-", "\xff\xfe"]) {
    assert.throws(() => decodeUtf7(Buffer.from(wire, "latin1")), ImapSyntaxError, wire);
  }
});

test("values look as RFC 3501 wants them", () => {
  assert.equal(dateTime(new Date("2026-02-01T09:05:07Z")), '" 1-Feb-2026 09:05:07 +0000"');
  assert.equal(quoted('a"\\\r\n\0é'), '"a\\"\\\\????"');
  assert.equal(wireMailbox('"日', false), '"\\"&ZeU-"');
  assert.equal(
    flagNames({ system: 31, keywords: ["ok", "no good", "x]", "é"] }),
    "\\Seen \\Answered \\Flagged \\Deleted \\Draft ok",
  );
});

test("matchesPattern() is the same as a regular expression", () => {
  const char = fc.constantFrom("a", "b", "/", "日");
  const pattern = fc.array(fc.oneof(char, fc.constantFrom("*", "%"))).map(all => all.join(""));
  const name = fc.array(char).map(all => all.join(""));
  fc.assert(
    fc.property(pattern, name, (wanted, given) => {
      const source = wanted.replace(/[*%]+|./gu, run =>
        run.includes("*") ? ".*" : run.startsWith("%") ? "[^/]*" : run,
      );
      assert.equal(
        matchesPattern(wanted, given),
        new RegExp(`^${source}$`, "u").test(given),
        `${wanted} ${given}`,
      );
    }),
  );
});

test("matchesPattern() takes INBOX in any case", () => {
  for (const pattern of ["inbox", "InBox*", "INBOX/%", "inbox%"]) {
    assert.equal(matchesPattern(pattern, "INBOX"), !pattern.includes("/"), pattern);
  }
  assert.equal(matchesPattern("inbox/%", "INBOX/x"), true);
  assert.equal(matchesPattern("inboxes", "INBOXes"), false);
});

test("matchesPattern() stays quick for hostile patterns", () => {
  const startedAt = process.cpuUsage().user;
  assert.equal(matchesPattern("*a".repeat(500), "a".repeat(499)), false);
  assert.ok(process.cpuUsage().user - startedAt < 500_000);
});
