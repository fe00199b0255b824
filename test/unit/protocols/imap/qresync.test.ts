/** QRESYNC: what a client is told that comes back, and how expunges are told to it. RFC 7162 §3.2. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { atOnce } from "../../../../src/core/steps.ts";
import { lastSameUid } from "../../../../src/protocols/imap/resync.ts";
import { sequenceSet } from "../../../lib/sequence-sets.ts";
import { snapshotOf } from "../../../lib/snapshots.ts";
import { startTestServer, type TestClient, type TestServer } from "./harness.ts";

const VALIDITY = 1_700_000_000;
const FLAGGED = { system: 4, keywords: [] };

const servers: TestServer[] = [];
after(() => Promise.all(servers.map(server => server.close())));

/** INBOX has messages 1 to `count`, with MODSEQs 2 to `count + 1`. */
async function started(count: number): Promise<TestServer> {
  const server = await startTestServer();
  servers.push(server);
  for (let i = 1; i <= count; i += 1) server.store.inbox.deliver(`Subject: ${i}\r\n\r\ntext\r\n`);
  return server;
}

async function resyncing({ user }: TestServer): Promise<TestClient> {
  const client = await user();
  await client.command("ENABLE QRESYNC");
  return client;
}

/** What comes behind the lines of every SELECT. */
async function missed(client: TestClient, qresync: string): Promise<readonly string[]> {
  const lines = await client.command(`SELECT INBOX (QRESYNC (${qresync}))`);
  assert.equal(lines.at(-1), "OK [READ-ONLY] SELECT completed");
  return lines.slice(lines.findIndex(line => line.includes("[MAILBOXID")) + 1, -1);
}

test("a client that comes back is told its expunges, then what changed or came, and no more", async () => {
  const server = await started(8);
  const { inbox } = server.store;
  inbox.expunge(2, 3, 4, 7);
  inbox.setFlags(5, FLAGGED);
  inbox.deliver("Subject: new\r\n\r\n");
  const client = await resyncing(server);
  assert.deepEqual(await missed(client, `${VALIDITY} 9`), [
    "* VANISHED (EARLIER) 2:4,7",
    "* 2 FETCH (UID 5 FLAGS (\\Flagged) MODSEQ (14))",
    "* 5 FETCH (UID 9 FLAGS () MODSEQ (15))",
  ]);
  assert.deepEqual(await missed(client, `${VALIDITY} 11`), [
    "* VANISHED (EARLIER) 4,7",
    "* 2 FETCH (UID 5 FLAGS (\\Flagged) MODSEQ (14))",
    "* 5 FETCH (UID 9 FLAGS () MODSEQ (15))",
  ]);
  assert.deepEqual(await missed(client, `${VALIDITY} 15`), []);
  assert.deepEqual(await missed(client, `${VALIDITY} 9 3:6`), [
    "* VANISHED (EARLIER) 3:4",
    "* 2 FETCH (UID 5 FLAGS (\\Flagged) MODSEQ (14))",
  ]);
  assert.deepEqual(await missed(client, `${VALIDITY} 9 7:9,1 (1,3 1,3)`), [
    "* VANISHED (EARLIER) 7",
    "* 5 FETCH (UID 9 FLAGS () MODSEQ (15))",
  ]);
  assert.deepEqual(await missed(client, `${VALIDITY + 1} 9`), [], "of another UIDVALIDITY nothing is known");
  const all = await missed(client, `${VALIDITY} 1000`);
  assert.deepEqual(all.slice(0, 2), ["* VANISHED (EARLIER) 2:4,7", "* 1 FETCH (UID 1 FLAGS () MODSEQ (2))"]);
  assert.equal(all.length, 6, "a MODSEQ that was never given tells nothing");
});

test("where the log of expunges does not reach back, all that is missing is told", async () => {
  const server = await started(9);
  const { inbox } = server.store;
  inbox.expunge(2, 3, 6, 9);
  inbox.expungedFloor = inbox.modseq;
  const client = await resyncing(server);
  assert.deepEqual(await missed(client, `${VALIDITY} 10`), ["* VANISHED (EARLIER) 2:3,6,9"]);
  assert.deepEqual(await missed(client, `${VALIDITY} 10 3:7,9:4000000000`), ["* VANISHED (EARLIER) 3,6,9"]);
  // Message 5 was number 5 for it and is 3 now; message 1 is where it was.
  assert.deepEqual(await missed(client, `${VALIDITY} 10 1:9 (1,5,9 1,5,9)`), [
    "* VANISHED (EARLIER) 2:3,6,9",
  ]);
  assert.deepEqual(await missed(client, `${VALIDITY} 10 1:9 (1:3 1,4:5)`), ["* VANISHED (EARLIER) 6,9"]);
  assert.deepEqual(await client.command("UID FETCH 6:* (FLAGS) (CHANGEDSINCE 10 VANISHED)"), [
    "* VANISHED (EARLIER) 6,9",
    "OK FETCH completed",
  ]);
  assert.deepEqual(await missed(client, `${VALIDITY} 14`), []);
});

test("lastSameUid() finds the last pair that holds, in sets of any form", () => {
  const view = snapshotOf([1, 2, 5, 6, 7, 20, 21].map(uid => ({ uid })));
  const same = (numbers: string, uids: string) =>
    atOnce(lastSameUid(view, { numbers: sequenceSet(numbers), uids: sequenceSet(uids) }));
  assert.equal(same("1:7", "1:2,5:7,20:21"), 21);
  assert.equal(same("1:7", "1:2,5:8,20"), 7);
  assert.equal(same("1,4,9", "1,6,30"), 6);
  assert.equal(same("3", "4"), 0);
  assert.equal(same("7:1", "21:20,7:5,2:1"), 21, "in any order: both ascend in the mailbox");
  assert.equal(same("1:4294967295", "1:4294967295"), 2);
  assert.equal(same("1:2", "1"), 1, "what has no partner is passed over");
});

test("QRESYNC is BAD before it is enabled, and leaves the selected mailbox selected", async () => {
  const { user } = await started(1);
  const client = await user();
  await client.command("SELECT INBOX");
  assert.match((await client.command(`SELECT INBOX (QRESYNC (${VALIDITY} 1))`))[0] ?? "", /^BAD/u);
  assert.match((await client.command("UID FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)"))[0] ?? "", /^BAD/u);
  assert.match((await client.command("FETCH 1 FLAGS")).at(-1) ?? "", /^OK/u);
  await client.command("ENABLE QRESYNC");
  for (const broken of [
    "SELECT INBOX ()",
    "SELECT INBOX (UNKNOWN)",
    "SELECT INBOX (CONDSTORE CONDSTORE)",
    "SELECT INBOX (QRESYNC)",
    "SELECT INBOX (QRESYNC (1))",
    "SELECT INBOX (QRESYNC (1 x))",
    "SELECT INBOX (QRESYNC (1 9223372036854775808))",
    "SELECT INBOX (QRESYNC (1 1 1:*))",
    "SELECT INBOX (QRESYNC (1 1 1:2 (1:* 1)))",
    "SELECT INBOX (QRESYNC (1 1 1:2 (1)))",
    "SELECT INBOX (QRESYNC (1 1 1:2 (1 1) 3))",
    "SELECT INBOX (QRESYNC (1 1) CONDSTORE",
    "FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)",
    "UID FETCH 1 FLAGS (VANISHED)",
    "UID FETCH 1 FLAGS (CHANGEDSINCE)",
    "UID FETCH 1 FLAGS (CHANGEDSINCE 1 CHANGEDSINCE 2)",
    "UID FETCH 1 FLAGS ()",
  ]) {
    assert.match((await client.command(broken))[0] ?? "", /^BAD/u, broken);
    await client.command("NOOP");
  }
  assert.match((await client.command("FETCH 1 FLAGS")).at(-1) ?? "", /^OK/u);
});

test("expunges are VANISHED once QRESYNC is enabled, and EXPUNGE for others", async () => {
  const server = await started(9);
  const { inbox } = server.store;
  const [client, plain] = [await resyncing(server), await server.user()];
  await client.command("SELECT INBOX");
  await plain.command("SELECT INBOX");
  inbox.expunge(1, 3, 4, 5, 9);
  inbox.setFlags(6, FLAGGED);
  assert.deepEqual(await client.command("FETCH 6 (UID)"), ["* 6 FETCH (UID 6)", "OK FETCH completed"]);
  assert.deepEqual(await client.command("SEARCH UNFLAGGED UID 3:6"), [
    "* SEARCH 3 4 5 6",
    "OK SEARCH completed",
  ]);
  assert.deepEqual(await client.command("NOOP"), [
    "* VANISHED 1,3:5,9",
    "* 2 FETCH (UID 6 FLAGS (\\Flagged) MODSEQ (16))",
    "OK NOOP completed",
  ]);
  assert.deepEqual((await plain.command("NOOP")).slice(0, -2), [
    "* 9 EXPUNGE",
    "* 5 EXPUNGE",
    "* 4 EXPUNGE",
    "* 3 EXPUNGE",
    "* 1 EXPUNGE",
  ]);
  client.send("i IDLE\r\n");
  await client.line();
  inbox.expunge(7);
  assert.equal(await client.line(), "* VANISHED 7");
  client.send("DONE\r\n");
  assert.equal(await client.line(), "i OK IDLE completed");
  inbox.expunge(8);
  // Told as news first, and as what was asked for.
  assert.deepEqual(await client.command("UID FETCH 1:* (FLAGS) (CHANGEDSINCE 17 VANISHED)"), [
    "* VANISHED 8",
    "* VANISHED (EARLIER) 8",
    "OK FETCH completed",
  ]);
});

test("the mailbox that another SELECT closes is told to be closed, also by one that fails", async () => {
  const { user, store } = await started(1);
  store.add("Other");
  const client = await user();
  const isClosed = async (command: string) => {
    const lines = await client.command(command);
    const at = lines.findIndex(line => line.startsWith("* OK [CLOSED]"));
    return at < 0 ? "no" : at === 0 ? "first" : "late";
  };
  assert.equal(await isClosed("SELECT INBOX"), "no");
  assert.equal(await isClosed("SELECT Other"), "first");
  assert.equal(await isClosed("EXAMINE nowhere"), "first");
  assert.equal(await isClosed("SELECT INBOX"), "no");
  assert.equal(await isClosed("UNSELECT"), "no");
  assert.equal(await isClosed("SELECT INBOX"), "no");
});

test("UIDs without end come in lines of bounded length", async () => {
  const server = await started(1);
  const { inbox } = server.store;
  const client = await resyncing(server);
  inbox.deliver("a: b\r\n\r\n", { uid: 20_000 });
  for (let uid = 20_002; uid <= 26_000; uid += 2) inbox.deliver("a: b\r\n\r\n", { uid });
  await client.command("SELECT INBOX");
  inbox.expunge(...inbox.stored.map(({ row }) => row.uid).filter(uid => uid > 20_000));
  const lines = (await client.command("NOOP")).filter(line => line.startsWith("* VANISHED "));
  assert.ok(lines.length > 1 && lines.every(line => line.length < 8100));
  const uids = lines.flatMap(line => line.slice("* VANISHED ".length).split(","));
  assert.deepEqual(
    uids,
    Array.from({ length: 3000 }, (_, i) => String(20_002 + 2 * i)),
  );
});

test("a mailbox that was removed or replaced ends the session with a clear text, also in IDLE", async () => {
  const server = await started(1);
  const { inbox } = server.store;
  const [idling, asking] = [await server.user(), await server.user()];
  for (const client of [idling, asking]) await client.command("SELECT INBOX");
  idling.send("i IDLE\r\n");
  assert.equal(await idling.line(), "+ idling");
  inbox.uidValidity += 1;
  inbox.changed();
  assert.equal(await idling.line(), "i NO [NONEXISTENT] The selected mailbox was removed or replaced");
  assert.match(await idling.line(), /^\* BYE /u);
  assert.deepEqual(await asking.command("NOOP"), [
    "NO [NONEXISTENT] The selected mailbox was removed or replaced",
  ]);
  assert.match(await asking.line(), /^\* BYE /u);
  assert.ok(!server.recorded.logs.some(line => line.startsWith("error")), "it is no fault of ours");
});
