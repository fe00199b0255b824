/** ENABLE and CONDSTORE: who is told MODSEQs from when on, and that no MODSEQ runs ahead of the news. RFC 5161, RFC 7162 §3.1. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startTestServer, type TestClient, type TestServer } from "./harness.ts";

const servers: TestServer[] = [];
after(() => Promise.all(servers.map(server => server.close())));

/** INBOX has messages 1 to `count`, with MODSEQs 2 to `count + 1`. */
async function started(count = 0): Promise<TestServer> {
  const server = await startTestServer();
  servers.push(server);
  for (let i = 1; i <= count; i += 1) server.store.inbox.deliver(`Subject: ${i}\r\n\r\ntext\r\n`);
  return server;
}

async function selected(server: TestServer, ...before: readonly string[]): Promise<TestClient> {
  const client = await server.user();
  for (const command of before) await client.command(command);
  assert.match((await client.command("SELECT INBOX")).at(-1) ?? "", /^OK/u);
  return client;
}

const FLAGGED = { system: 4, keywords: [] };

test("ENABLE tells what it newly enabled, and passes over what it does not know", async () => {
  const { client: connect, user } = await started();
  const stranger = await connect();
  assert.deepEqual(await stranger.command("ENABLE CONDSTORE"), ["BAD Log in first"]);
  const client = await user();
  const answer = async (words: string) => (await client.command(`ENABLE ${words}`))[0];
  assert.equal(await answer("X-UNKNOWN"), "* ENABLED");
  assert.equal(await answer("x-other condstore"), "* ENABLED CONDSTORE");
  assert.equal(await answer("CONDSTORE"), "* ENABLED");
  assert.equal(await answer("CONDSTORE QRESYNC QRESYNC"), "* ENABLED QRESYNC");
  assert.equal(await answer("QRESYNC"), "* ENABLED");
  assert.match((await client.command("ENABLE"))[0] ?? "", /^BAD/u);
  const other = await user();
  assert.equal((await other.command("ENABLE QRESYNC CONDSTORE"))[0], "* ENABLED CONDSTORE QRESYNC");
});

test("ENABLE turns nothing on that is not announced", async () => {
  const { user } = await started();
  const client = await user();
  const [announced] = await client.command("CAPABILITY");
  assert.ok(!announced?.includes("IMAP4rev2"), "this test needs another word");
  assert.equal((await client.command("ENABLE IMAP4rev2"))[0], "* ENABLED");
});

const ENABLING = [
  "ENABLE CONDSTORE",
  "ENABLE QRESYNC",
  "STATUS INBOX (HIGHESTMODSEQ)",
  "FETCH 1 (MODSEQ)",
  "FETCH 1 (FLAGS) (CHANGEDSINCE 1)",
  "UID FETCH 1 (UID) (CHANGEDSINCE 100)",
];

for (const command of ENABLING) {
  test(`from ${command} on FETCH answers tell MODSEQs`, async () => {
    const server = await started(2);
    const client = await selected(server);
    server.store.inbox.setFlags(1, FLAGGED);
    assert.ok((await client.command("NOOP")).includes("* 1 FETCH (UID 1 FLAGS (\\Flagged))"));
    assert.deepEqual(await client.command("FETCH 2 FLAGS"), ["* 2 FETCH (FLAGS ())", "OK FETCH completed"]);
    const told = await client.command(command);
    assert.match(told.at(-1) ?? "", /^OK/u);
    assert.equal(told.filter(line => line.startsWith("* OK [HIGHESTMODSEQ 4]")).length, 1, told.join("\n"));
    server.store.inbox.setFlags(1, { system: 0, keywords: [] });
    assert.ok((await client.command("NOOP")).includes("* 1 FETCH (UID 1 FLAGS () MODSEQ (5))"));
    assert.equal((await client.command("FETCH 2 FLAGS"))[0], "* 2 FETCH (FLAGS () MODSEQ (3))");
    const again = await client.command(command);
    assert.ok(!again.some(line => line.includes("[HIGHESTMODSEQ")), "only once");
  });
}

test("SELECT (CONDSTORE) enables it, and HIGHESTMODSEQ is told by every SELECT", async () => {
  const server = await started(1);
  const client = await server.user();
  const plain = await client.command("SELECT INBOX");
  assert.ok(plain.includes("* OK [HIGHESTMODSEQ 2] Highest"));
  assert.equal((await client.command("FETCH 1 FLAGS"))[0], "* 1 FETCH (FLAGS ())");
  const told = await client.command("EXAMINE INBOX (CONDSTORE)");
  assert.deepEqual(
    told.filter(line => line.includes("HIGHESTMODSEQ")),
    ["* OK [HIGHESTMODSEQ 2] Highest"],
  );
  assert.equal((await client.command("FETCH 1 FLAGS"))[0], "* 1 FETCH (FLAGS () MODSEQ (2))");
  assert.equal((await client.command("FETCH 1 RFC822.SIZE"))[0], "* 1 FETCH (RFC822.SIZE 20)");
  assert.equal(
    (await client.command("UID FETCH 1 (RFC822.SIZE MODSEQ)"))[0],
    "* 1 FETCH (UID 1 MODSEQ (2) RFC822.SIZE 20)",
  );
});

test("FETCH (CHANGEDSINCE n) tells what changed above n, of what it names", async () => {
  const server = await started(5);
  const client = await selected(server);
  for (const uid of [2, 4, 5]) server.store.inbox.setFlags(uid, FLAGGED);
  await client.command("NOOP");
  assert.deepEqual(await client.command("UID FETCH 1:* (FLAGS) (CHANGEDSINCE 7)"), [
    "* OK [HIGHESTMODSEQ 9] Highest",
    "* 4 FETCH (UID 4 FLAGS (\\Flagged) MODSEQ (8))",
    "* 5 FETCH (UID 5 FLAGS (\\Flagged) MODSEQ (9))",
    "OK FETCH completed",
  ]);
  assert.deepEqual(await client.command("FETCH 1:4 (UID) (CHANGEDSINCE 6)"), [
    "* 2 FETCH (UID 2 MODSEQ (7))",
    "* 4 FETCH (UID 4 MODSEQ (8))",
    "OK FETCH completed",
  ]);
  assert.deepEqual(await client.command("FETCH 1:* (RFC822.SIZE) (CHANGEDSINCE 8)"), [
    "* 5 FETCH (MODSEQ (9) RFC822.SIZE 20)",
    "OK FETCH completed",
  ]);
  assert.deepEqual(await client.command("FETCH 1:* (FLAGS) (CHANGEDSINCE 9223372036854775807)"), [
    "OK FETCH completed",
  ]);
});

test("while news are held back no MODSEQ is told above what was announced", async () => {
  const server = await started(4);
  const { inbox } = server.store;
  const client = await selected(server, "ENABLE CONDSTORE");
  inbox.expunge(1);
  inbox.setFlags(3, FLAGGED);
  // HIGHESTMODSEQ was 5: message 3 has its old flags with its old MODSEQ, as it was announced.
  assert.deepEqual(await client.command("FETCH 1:* (FLAGS)"), [
    "* 1 FETCH (FLAGS () MODSEQ (2))",
    "* 2 FETCH (FLAGS () MODSEQ (3))",
    "* 3 FETCH (FLAGS () MODSEQ (4))",
    "* 4 FETCH (FLAGS () MODSEQ (5))",
    "OK FETCH completed",
  ]);
  assert.deepEqual(await client.command("FETCH 1:* (FLAGS) (CHANGEDSINCE 5)"), ["OK FETCH completed"]);
  // Flags that are refused are not taken over: there is nothing that the client could pass over.
  assert.equal((await client.command("STORE 3 +FLAGS (\\Seen)")).length, 1);
  assert.deepEqual((await client.command("NOOP")).slice(0, 2), [
    "* 1 EXPUNGE",
    "* 2 FETCH (UID 3 FLAGS (\\Flagged) MODSEQ (7))",
  ]);
});

test("flags that were changed and changed back are told with their MODSEQ, to who follows MODSEQs", async () => {
  const server = await started(3);
  const { inbox } = server.store;
  const following = await selected(server, "ENABLE CONDSTORE");
  const other = await selected(server);
  const uid = inbox.stored[1]?.row.uid ?? 0;
  inbox.setFlags(uid, FLAGGED);
  inbox.setFlags(uid, { system: 0, keywords: [] });
  assert.deepEqual(await other.command("NOOP"), ["OK NOOP completed"]);
  assert.deepEqual(await following.command("NOOP"), [
    `* 2 FETCH (UID ${uid} FLAGS () MODSEQ (6))`,
    "OK NOOP completed",
  ]);
  assert.deepEqual(await following.command("NOOP"), ["OK NOOP completed"]);
});

test("STATUS of the selected mailbox tells no HIGHESTMODSEQ that was not announced", async () => {
  const server = await started(2);
  const client = await selected(server);
  server.store.add("Other");
  server.store.inbox.expunge(1);
  assert.deepEqual(await client.command("STATUS INBOX (HIGHESTMODSEQ)"), [
    '* STATUS "INBOX" (HIGHESTMODSEQ 3)',
    "* OK [HIGHESTMODSEQ 3] Highest",
    "* 1 EXPUNGE",
    "OK STATUS completed",
  ]);
  assert.equal(
    (await client.command("STATUS INBOX (HIGHESTMODSEQ)"))[0],
    '* STATUS "INBOX" (HIGHESTMODSEQ 4)',
  );
  assert.equal(
    (await client.command("STATUS Other (HIGHESTMODSEQ)"))[0],
    '* STATUS "Other" (HIGHESTMODSEQ 1)',
  );
});

test("numbers in a UID SEARCH mean what was announced when they were written", async () => {
  const server = await started(5);
  const { inbox } = server.store;
  const client = await selected(server);
  inbox.expunge(1);
  assert.deepEqual(await client.command("UID SEARCH 2:3"), [
    "* SEARCH 2 3",
    "* 1 EXPUNGE",
    "OK SEARCH completed",
  ]);
  inbox.expunge(2);
  assert.deepEqual(await client.command("UID SEARCH OR SEEN NOT (2:3 ALL)"), [
    "* SEARCH 2 5",
    "* 1 EXPUNGE",
    "OK SEARCH completed",
  ]);
  inbox.expunge(3);
  assert.deepEqual(await client.command("UID SEARCH UID 3:5"), [
    "* 1 EXPUNGE",
    "* SEARCH 4 5",
    "OK SEARCH completed",
  ]);
});

test("the FLAGS answer has a bound, and keywords beyond it are shown with their messages", async () => {
  const server = await started();
  const { inbox } = server.store;
  const keywords = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, i) => `k${String(from + i).padStart(4, "0")}`);
  inbox.deliver("a: b\r\n\r\n", { flags: { system: 0, keywords: keywords(0, 480) } });
  const client = await selected(server);
  const flags = (lines: readonly string[]) =>
    lines.find(line => line.startsWith("* FLAGS"))?.split(" ").length;
  const system = 5;
  inbox.setFlags(1, { system: 0, keywords: keywords(0, 490) });
  assert.equal(flags(await client.command("NOOP")), 2 + system + 490);
  inbox.setFlags(1, { system: 0, keywords: keywords(0, 700) });
  const told = await client.command("NOOP");
  assert.equal(flags(told), 2 + system + 500);
  assert.match(told.find(line => line.includes("FETCH")) ?? "", /k0699/u);
  inbox.setFlags(1, { system: 0, keywords: keywords(0, 900) });
  assert.equal(flags(await client.command("NOOP")), undefined);
  const long = "x".repeat(9000);
  const other = server.store.add("Other");
  other.deliver("a: b\r\n\r\n", { flags: { system: 0, keywords: [`${long}1`, `${long}2`] } });
  const [line] = await client
    .command("SELECT Other")
    .then(lines => lines.filter(each => /^\* FLAGS/u.test(each)));
  assert.ok((line ?? "").length > 9000 && (line ?? "").length < 10_000);
});

test("many flag sets are rendered right, whatever is kept of them", async () => {
  const server = await started();
  const { inbox } = server.store;
  const long = "k".repeat(4000);
  for (let i = 0; i < 300; i += 1)
    inbox.deliver("a: b\r\n\r\n", { flags: { system: 0, keywords: [`${long}${i % 290}`] } });
  const client = await selected(server);
  const answers = await client.command("FETCH 1:* (FLAGS)");
  assert.deepEqual(
    answers.slice(0, -1),
    Array.from({ length: 300 }, (_, i) => `* ${i + 1} FETCH (FLAGS (${long}${i % 290}))`),
  );
});
