/** What ENABLE IMAP4rev2 changes (RFC 9051), as a session that has it enabled sees it. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { capabilities } from "../../../../src/protocols/imap/capability.ts";
import { parseCommand } from "../../../../src/protocols/imap/command.ts";
import { wireMailbox } from "../../../../src/protocols/imap/encode.ts";
import { DEFAULT_LIMITS } from "../../../../src/protocols/imap/limits.ts";
import { DOVECOT } from "../../../../src/protocols/imap/profile.ts";
import { ImapSyntaxError } from "../../../../src/protocols/imap/syntax-error.ts";
import { startTestServer, type TestServer } from "./harness.ts";

const servers: TestServer[] = [];
after(() => Promise.all(servers.map(server => server.close())));

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

test("where IMAP4rev2 is not told it cannot be enabled: nothing changes for Dovecot", async () => {
  for (const profile of [DOVECOT, { kind: "client" } as const]) {
    const server = await startTestServer({ profile });
    servers.push(server);
    server.store.add("日本");
    const client = await server.user();
    const isClient = profile.kind === "client";
    assert.deepEqual(await client.command("ENABLE IMAP4rev2"), [
      isClient ? "* ENABLED IMAP4rev2" : "* ENABLED",
      "OK ENABLE completed",
    ]);
    const selected = (await client.command("SELECT INBOX")).join("\n");
    assert.equal(/^\* 0 RECENT$/mu.test(selected), !isClient);
    assert.equal(/^\* LIST \(\) "\/" "INBOX"$/mu.test(selected), isClient);
    assert.match((await client.command("SEARCH ALL"))[0] ?? "", isClient ? /^\* ESEARCH/u : /^\* SEARCH/u);
    server.store.inbox.deliver("\r\n");
    assert.deepEqual(await client.command("NOOP"), [
      "* 1 EXISTS",
      ...(isClient ? [] : ["* 0 RECENT"]),
      "OK NOOP completed",
    ]);
    // Whatever tells a name tells it in the same form.
    const name = isClient ? Buffer.from("日本").toString("latin1") : "&ZeVnLA-";
    for (const command of [
      `LIST "" "${name}"`,
      `LSUB "" "${name}"`,
      `STATUS "${name}" (MESSAGES)`,
      `LIST "" "${name}" RETURN (STATUS (MESSAGES))`,
    ]) {
      client.send(`n ${command}\r\n`);
      for (let line = await client.line(); !line.startsWith("n "); line = await client.line())
        assert.ok(line.includes(`"${name}"`), `${command}: ${line}`);
    }
  }
});
