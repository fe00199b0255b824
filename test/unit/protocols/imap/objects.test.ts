/** What identifies messages and mailboxes, and what lists show of them: OBJECTID (RFC 8474), PREVIEW (RFC 8970). */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startTestServer, type TestServer } from "./harness.ts";

const servers: TestServer[] = [];
after(() => Promise.all(servers.map(server => server.close())));

async function started(): Promise<TestServer> {
  const server = await startTestServer();
  servers.push(server);
  return server;
}

test("EMAILID and THREADID are told and searched for, MAILBOXID is told by STATUS, LIST and SELECT", async () => {
  const { store, user } = await started();
  const id = (uid: number) => store.inbox.row(uid)?.emailId ?? "";
  store.inbox.deliver("Subject: a\r\n\r\n", { threadId: "Tone" });
  store.inbox.deliver("Subject: b\r\n\r\n");
  store.inbox.deliver("Subject: c\r\n\r\n", { threadId: "Tone" });
  const client = await user();
  assert.ok((await client.command("SELECT INBOX")).includes("* OK [MAILBOXID (F1)] Of this mailbox"));
  assert.deepEqual((await client.command("FETCH 1:2 (EMAILID THREADID)")).slice(0, -1), [
    `* 1 FETCH (EMAILID (${id(1)}) THREADID (Tone))`,
    `* 2 FETCH (EMAILID (${id(2)}) THREADID NIL)`,
  ]);
  const search = async (keys: string) => (await client.command(`SEARCH ${keys}`))[0];
  assert.equal(await search(`EMAILID ${id(2)}`), "* SEARCH 2");
  assert.equal(await search("THREADID Tone"), "* SEARCH 1 3");
  assert.equal(await search(`NOT THREADID Tone OR EMAILID ${id(2)} SUBJECT x`), "* SEARCH 2");
  assert.equal(await search(`EMAILID ${id(2).toLowerCase()}`), "* SEARCH");
  assert.match((await search("EMAILID (a)")) ?? "", /^BAD/u);
  assert.equal((await client.command("STATUS INBOX (MAILBOXID)"))[0], '* STATUS "INBOX" (MAILBOXID (F1))');
  assert.equal(
    (await client.command('LIST "" INBOX RETURN (STATUS (MAILBOXID))'))[1],
    '* STATUS "INBOX" (MAILBOXID (F1))',
  );
});

const HTML = "Content-Type: text/html; charset=utf-8\r\n\r\n";

test("PREVIEW is the stored one, else made from the first text, and NIL only where LAZY finds none", async () => {
  const { store, user } = await started();
  const messages = [
    ['Subject: a\r\n\r\n \r\nHello\r\n  "you" \\ there\r\n', '"Hello \\"you\\" \\\\ there"'],
    [`${HTML}<style>x</style><p>Gr\xc3\xbc\xc3\x9fe&amp;</p>`, "{8}\r\nGr\xc3\xbc\xc3\x9fe&"],
    [
      "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<b>no</b>\r\n--b\r\n" +
        "Content-Transfer-Encoding: base64\r\n\r\ncGxhaW4=\r\n--b--\r\n",
      '"plain"',
    ],
    ["Content-Type: multipart/encrypted; boundary=b\r\n\r\n--b\r\n\r\nVersion: 1\r\n--b--\r\n", '""'],
    ["Content-Type: image/png\r\n\r\nxyz", '""'],
    ["Subject: no body", '""'],
  ] as const;
  for (const [message] of messages) store.inbox.deliver(message);
  store.inbox.deliver("\r\nother", { preview: "stored" });
  store.inbox.deliver("\r\nother", { preview: "" });
  const client = await user();
  await client.command("SELECT INBOX");
  const made = (await client.command("FETCH 1:* PREVIEW")).slice(0, -1);
  const wanted = [...messages.map(([, preview]) => preview), '"stored"', '""'];
  assert.deepEqual(
    made,
    wanted.map((preview, i) => `* ${i + 1} FETCH (PREVIEW ${preview})`),
  );
  assert.equal((await client.command("FETCH 1 PREVIEW (LAZY)"))[0], "* 1 FETCH (PREVIEW NIL)");
  assert.equal(
    (await client.command("FETCH 7 (PREVIEW (lazy) UID)"))[0],
    '* 7 FETCH (UID 7 PREVIEW "stored")',
  );
  assert.ok(store.rowRequests.at(-1)?.fields.structure !== true, "LAZY reads what it does not need");
});

test("PREVIEW of a large message reads only its start", async () => {
  const { store, user } = await started();
  const uid = store.inbox.deliver(`Subject: a\r\n\r\n${"word ".repeat(1_000_000)}`);
  const row = store.inbox.row(uid);
  assert.ok(row !== undefined);
  store.blobs.damagedAfter.set(row.blob, 300_000);
  const client = await user();
  await client.command("SELECT INBOX");
  assert.equal(
    (await client.command("FETCH 1 PREVIEW"))[0],
    `* 1 FETCH (PREVIEW "${"word ".repeat(40).trim()}")`,
  );
});
