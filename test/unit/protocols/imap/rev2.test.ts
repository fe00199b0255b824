/** What ENABLE IMAP4rev2 changes (RFC 9051), as a session that has it enabled sees it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { capabilities } from "../../../../src/protocols/imap/capability.ts";
import { parseCommand } from "../../../../src/protocols/imap/command.ts";
import { wireMailbox } from "../../../../src/protocols/imap/encode.ts";
import { DEFAULT_LIMITS } from "../../../../src/protocols/imap/limits.ts";
import { ImapSyntaxError } from "../../../../src/protocols/imap/syntax-error.ts";

function named(command: string, names: "utf7" | "utf8"): unknown {
  const parsed = parseCommand(Buffer.from(`a1 ${command}`), DEFAULT_LIMITS, names).command;
  if (parsed.kind === "LIST") return parsed.request.patterns;
  return "mailbox" in parsed ? parsed.mailbox : undefined;
}

test("names are UTF-8 once IMAP4rev2 is enabled, where & means itself, and modified UTF-7 before", () => {
  assert.equal(named('SELECT "&ZeVnLIqe-"', "utf7"), "日本語");
  assert.equal(named('SELECT "&ZeVnLIqe-"', "utf8"), "&ZeVnLIqe-");
  assert.equal(named('STATUS "日本語" (MESSAGES)', "utf8"), "日本語");
  assert.equal(named('SUBSCRIBE "Ben & Jerry"', "utf8"), "Ben & Jerry");
  assert.deepEqual(named('LIST "A&" ("%" "e\u0301")', "utf8"), ["A&%", "A&\u00e9"]);
  assert.equal(named("EXAMINE inbox/a", "utf8"), "INBOX/a");
  const broken = Buffer.from('a1 SELECT "\xff"', "latin1");
  assert.throws(() => parseCommand(broken, DEFAULT_LIMITS, "utf8"), ImapSyntaxError);
});

test("names go out as UTF-8 octets, quoted, or in modified UTF-7", () => {
  assert.equal(Buffer.from(wireMailbox('日"\\&', true), "latin1").toString(), '"日\\"\\\\&"');
  assert.equal(wireMailbox("日&", false), '"&ZeU-&-"');
  assert.equal(wireMailbox("a\r\nb", true), '"a??b"');
});

test("IMAP4rev2 and BINARY are told to clients, not to Dovecot", () => {
  const told = (kind: "client" | "dovecot") =>
    capabilities({ account: undefined, secure: true, profile: { kind } }).split(" ");
  for (const word of ["IMAP4rev2", "BINARY", "MOVE"]) {
    assert.ok(told("client").includes(word), word);
    assert.ok(!told("dovecot").includes(word), word);
  }
});
