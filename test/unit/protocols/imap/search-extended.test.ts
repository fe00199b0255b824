/** Extended answers of SEARCH, results that are kept for `$`, and MODSEQs (RFC 4731, RFC 5182, RFC 7162 §3.1.5). */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { ImapParts } from "../../../../src/protocols/imap/context.ts";
import type { ImapLimits } from "../../../../src/protocols/imap/limits.ts";
import { startTestServer, type TestServer } from "./harness.ts";
import type { MemoryMailbox } from "./memory-store.ts";

const servers: TestServer[] = [];
after(() => Promise.all(servers.map(server => server.close())));

/** UIDs 1, 2, 3, 5, 9 with MODSEQs 2, 3, 4, 5, 6; 2, 3 and 9 are flagged. */
function fill(inbox: MemoryMailbox): void {
  for (const uid of [1, 2, 3, 5, 9]) {
    const flags = { system: [2, 3, 9].includes(uid) ? 4 : 0, keywords: uid === 5 ? ["Work"] : [] };
    inbox.deliver(`Subject: number ${uid}\r\n\r\nbody ${uid}\r\n`, { uid, flags });
  }
}

async function mailbox(
  options: { readonly limits?: Partial<ImapLimits>; readonly parts?: Partial<ImapParts> } = {},
) {
  const { limits = {}, parts = {} } = options;
  const server = await startTestServer({ profile: { kind: "client" }, limits, parts: () => parts });
  servers.push(server);
  fill(server.store.inbox);
  const client = await server.user();
  await client.command("SELECT INBOX");
  return { server, client, inbox: server.store.inbox };
}

const DONE = "OK SEARCH completed";

test("an extended SEARCH answers what it was asked for, as numbers or UIDs, in ranges", async () => {
  const { client } = await mailbox();
  const cases: ReadonlyArray<readonly [command: string, result: string]> = [
    ["SEARCH RETURN (MIN MAX COUNT ALL) FLAGGED", " MIN 2 MAX 5 COUNT 3 ALL 2:3,5"],
    ["SEARCH RETURN () FLAGGED", " ALL 2:3,5"],
    ["UID SEARCH RETURN (ALL) ALL", " UID ALL 1:3,5,9"],
    ["uid search return (count min) charset utf-8 2:*", " UID MIN 2 COUNT 4"],
    ["SEARCH RETURN (MAX) BODY body", " MAX 5"],
    ["SEARCH RETURN (MIN MAX ALL COUNT) DELETED", " COUNT 0"],
    ["UID SEARCH RETURN (MIN MAX) DELETED", " UID"],
  ];
  for (const [command, result] of cases) {
    const [answer = "", ...rest] = await client.command(command);
    assert.equal(answer.replace(/\(TAG "[^"]+"\)/u, "(TAG)"), `* ESEARCH (TAG)${result}`, command);
    assert.deepEqual(rest, [DONE], command);
  }
  client.send("a'b] SEARCH RETURN (COUNT) SEEN\r\n");
  assert.equal(await client.line(), `* ESEARCH (TAG "a'b]") COUNT 0`);
  await client.line();
  for (const broken of [
    "RETURN (FOO) ALL",
    "RETURN ALL",
    "RETURN (MIN",
    "RETURN (MIN)",
    "RETURN",
    "RETURN (MIN  MAX)ALL",
  ])
    assert.match((await client.command(`SEARCH ${broken}`)).at(-1) ?? "", /^BAD /u, broken);
});

test("Dovecot, which is not told of ESEARCH, is refused RETURN", async () => {
  const server = await startTestServer();
  servers.push(server);
  const client = await server.user();
  await client.command("SELECT INBOX");
  assert.deepEqual(await client.command("SEARCH RETURN (ALL) ALL"), ["BAD RETURN is not supported here"]);
  assert.doesNotMatch((await client.command("CAPABILITY")).join(), /ESEARCH|SEARCHRES/u);
});

test("$ names what was found, by UID, in every command that takes messages", async () => {
  const { client, inbox } = await mailbox();
  assert.match((await client.command("CAPABILITY")).join(), / ESEARCH SEARCHRES/u);
  assert.deepEqual(await client.command("FETCH $ (UID)"), ["OK FETCH completed"]);
  assert.deepEqual(await client.command("SEARCH RETURN (SAVE) FLAGGED"), [DONE]);
  assert.deepEqual(await client.command("UID FETCH $ (UID)"), [
    "* 2 FETCH (UID 2)",
    "* 3 FETCH (UID 3)",
    "* 5 FETCH (UID 9)",
    "OK FETCH completed",
  ]);
  assert.deepEqual(await client.command("SEARCH $ SUBJECT 3"), ["* SEARCH 3", DONE]);
  assert.deepEqual(await client.command("UID SEARCH OR UID $ 1"), ["* SEARCH 1 2 3 9", DONE]);
  assert.deepEqual(await client.command("UID SEARCH NOT $"), ["* SEARCH 1 5", DONE]);
  inbox.expunge(2);
  await client.command("NOOP");
  assert.deepEqual(await client.command("FETCH $ (UID)"), [
    "* 2 FETCH (UID 3)",
    "* 4 FETCH (UID 9)",
    "OK FETCH completed",
  ]);
  // Its own keys still mean what was kept before.
  assert.match((await client.command("UID SEARCH RETURN (SAVE ALL) $ 3:*"))[0] ?? "", / UID ALL 9$/u);
  assert.deepEqual(await client.command("FETCH $ (UID)"), ["* 4 FETCH (UID 9)", "OK FETCH completed"]);
  await client.command("SELECT INBOX");
  assert.deepEqual(await client.command("FETCH $ (UID)"), ["OK FETCH completed"]);
});

test("MIN and MAX alone keep what they tell; a search that fails keeps nothing, one that is not understood changes nothing", async () => {
  const { client, inbox, server } = await mailbox({ limits: { savedMessages: 3 } });
  const kept = async () => {
    const answers = await client.command("UID FETCH $ (UID)");
    return answers.slice(0, -1).map(line => Number(/UID (\d+)/u.exec(line)?.[1]));
  };
  const after = async (command: string) => {
    await client.command(command);
    return kept();
  };
  assert.deepEqual(await after("SEARCH RETURN (SAVE MIN) FLAGGED"), [2]);
  assert.deepEqual(await after("SEARCH RETURN (MAX SAVE) FLAGGED"), [9]);
  assert.deepEqual(await after("SEARCH RETURN (MIN MAX SAVE) ALL"), [1, 9]);
  assert.deepEqual(await after("SEARCH RETURN (MIN COUNT SAVE) FLAGGED"), [2, 3, 9]);
  assert.deepEqual(await after("SEARCH RETURN (MIN MAX SAVE) UID 5"), [5]);
  assert.deepEqual(await after("SEARCH RETURN (MIN SAVE) NOSUCHKEY"), [5]);
  assert.deepEqual(await after("SEARCH RETURN (MIN) FLAGGED"), [5]);
  assert.deepEqual(await after("SEARCH RETURN (SAVE) CHARSET KOI8-R ALL"), []);
  await client.command("SEARCH RETURN (SAVE) FLAGGED");
  assert.deepEqual(await client.command("SEARCH RETURN (SAVE) ALL"), [
    "NO [NOTSAVED] Too many messages to save",
  ]);
  assert.deepEqual(await kept(), []);
  await client.command("SEARCH RETURN (SAVE) FLAGGED");
  const lost = inbox.row(9)?.blob;
  assert.ok(lost !== undefined);
  server.store.blobs.remove(lost);
  assert.match(
    (await client.command("SEARCH RETURN (SAVE COUNT) FLAGGED BODY body")).at(-1) ?? "",
    /^NO \[CORRUPTION\]/u,
  );
  assert.deepEqual(await kept(), []);
});

test("a search for MODSEQs finds what changed, tells the highest, and begins to tell MODSEQs", async () => {
  const { client, inbox } = await mailbox();
  assert.deepEqual(await client.command("SEARCH MODSEQ 4"), [
    "* OK [HIGHESTMODSEQ 6] Highest",
    "* SEARCH 3 4 5 (MODSEQ 6)",
    DONE,
  ]);
  assert.deepEqual(await client.command('UID SEARCH MODSEQ "/flags/\\\\draft" all 4 UNKEYWORD work 1:4'), [
    "* SEARCH 3 (MODSEQ 4)",
    DONE,
  ]);
  assert.deepEqual(await client.command("UID SEARCH MODSEQ 7"), ["* SEARCH", DONE]);
  assert.deepEqual(await client.command("UID SEARCH NOT MODSEQ 9223372036854775807 1"), [
    "* SEARCH 1 (MODSEQ 2)",
    DONE,
  ]);
  inbox.setFlags(1, { system: 1, keywords: [] });
  await client.command("NOOP");
  const extended = async (returns: string) => {
    const [answer = ""] = await client.command(`UID SEARCH RETURN (${returns}) MODSEQ 4`);
    return answer.replace(/^.*\) UID/u, "");
  };
  assert.equal(await extended("MIN"), " MIN 1 MODSEQ 7");
  assert.equal(await extended("MAX"), " MAX 9 MODSEQ 6");
  assert.equal(await extended("MIN MAX"), " MIN 1 MAX 9 MODSEQ 7");
  assert.equal(await extended("MAX COUNT"), " MAX 9 COUNT 4 MODSEQ 7");
  for (const broken of [
    "MODSEQ",
    "MODSEQ x",
    "MODSEQ 9223372036854775808",
    'MODSEQ "/flags/x" 4',
    'MODSEQ "/flags/x" own 4',
  ])
    assert.match((await client.command(`SEARCH ${broken}`)).at(-1) ?? "", /^BAD /u, broken);
});
