import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { dateTime, flagNames, quoted, wireMailbox } from "../../../../src/protocols/imap/encode.ts";
import { fold, StreamMatcher } from "../../../../src/protocols/imap/fold.ts";
import { matchesPattern } from "../../../../src/protocols/imap/mailbox-pattern.ts";
import { ImapSyntaxError } from "../../../../src/protocols/imap/syntax-error.ts";
import { transferDecoder } from "../../../../src/protocols/imap/transfer-decoder.ts";
import { decodeUtf7, encodeUtf7 } from "../../../../src/protocols/imap/utf7.ts";

test("modified UTF-7 matches the examples of RFC 3501", () => {
  assert.equal(encodeUtf7("~peter/mail/台北/日本語"), "~peter/mail/&U,BTFw-/&ZeVnLIqe-");
  assert.equal(encodeUtf7("a&b"), "a&-b");
  assert.equal(decodeUtf7(Buffer.from("&Jjo-!")), "☺!");
});

test("modified UTF-7 gives back every name", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(0xffff)), units => {
      const name = String.fromCharCode(...units);
      const wire = encodeUtf7(name);
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

test("StreamMatcher finds a text however it is cut, in any case and form", () => {
  const text = "x".repeat(100) + "Ünïcode ＡＢＣ パーティー e\u0301t".repeat(3);
  for (const needle of ["ünïcode", "ABC", "abc パーティー", "é"]) {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }), cuts => {
        const matcher = new StreamMatcher([fold(needle)]);
        for (let at = 0, i = 0; at < text.length; i += 1) {
          const size = cuts[i % cuts.length] ?? 1;
          matcher.add(text.slice(at, at + size));
          at += size;
        }
        assert.ok(matcher.has(fold(needle)), needle);
      }),
      { numRuns: 30 },
    );
  }
});

test("StreamMatcher finds nothing across a cut", () => {
  const matcher = new StreamMatcher(["ab"]);
  matcher.add("a");
  matcher.cut();
  matcher.add("b");
  assert.equal(matcher.done, false);
});

test("transfer decoders give the same octets for every way of cutting the input", () => {
  const bytes = fc.uint8Array({ maxLength: 200 });
  fc.assert(
    fc.property(bytes, fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }), (plain, cuts) => {
      const base64 = Buffer.from(plain).toString("base64").replace(/.{20}/gu, "$&\r\n");
      const printable = [...plain]
        .map(octet => `=${octet.toString(16).padStart(2, "0").toUpperCase()}`)
        .join("=\r\n");
      for (const [encoding, text] of [
        ["BASE64", base64],
        ["quoted-printable ", printable],
        ["8bit", Buffer.from(plain).toString("latin1")],
      ] as const) {
        const decoder = transferDecoder(encoding);
        const decoded: Buffer[] = [];
        for (let at = 0, i = 0; at < text.length; i += 1) {
          const size = cuts[i % cuts.length] ?? 1;
          decoded.push(decoder.add(Buffer.from(text.slice(at, at + size), "latin1")));
          at += size;
        }
        const expected = encoding === "BASE64" ? base64.replace(/=+$/u, "") : undefined;
        const got = Buffer.concat(decoded);
        // An unpadded rest of base64 is decoded when its padding comes.
        if (expected === undefined || plain.length % 3 === 0 || text.endsWith("="))
          assert.deepEqual(got, Buffer.from(plain));
      }
    }),
  );
});
