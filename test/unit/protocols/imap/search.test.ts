import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startTestServer, type TestClient, type TestServer } from "./harness.ts";

const servers: TestServer[] = [];
after(() => Promise.all(servers.map(server => server.close())));

const JAPANESE_UTF8 = Buffer.from("会議のお知らせ");
/** The same in ISO-2022-JP. */
const JAPANESE_JIS = Buffer.from("1b244232713544244e242a434e2469243b1b2842", "hex");

async function mailbox(): Promise<{ server: TestServer; client: TestClient }> {
  const server = await startTestServer();
  servers.push(server);
  const { inbox } = server.store;
  inbox.deliver(
    "From: Ann <ann@a.test>\r\nTo: bob@b.test\r\nSubject: =?utf-8?q?Caf=C3=A9?= au lait\r\nDate: Fri, 21 Nov 1997 23:55:06 -0600\r\n\r\nplain body\r\n",
    {
      prefix: "Return-Path: <bounce@x.test>\r\n",
      internalDate: new Date("2026-02-01T23:59:59Z"),
      flags: { system: 1, keywords: ["Work"] },
    },
  );
  inbox.deliver(
    `From: carol@c.test\r\nCc: ann@a.test\r\nDate: 5 Jan 2026 00:00:00 +0900\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\npreamble\r\n--x\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n${JAPANESE_UTF8.toString("base64")}\r\n--x\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nsoft=\r\nbreak =E3=81=82\r\n--x\r\nContent-Type: image/png; name=picture.png\r\nContent-Transfer-Encoding: base64\r\n\r\n${Buffer.from("hidden in an image").toString("base64")}\r\n--x\r\nContent-Type: message/rfc822\r\n\r\nSubject: =?utf-8?b?5YaF5YG0?=\r\n\r\ninner text\r\n--x--\r\n`,
    { internalDate: new Date("2026-02-02T00:00:00Z"), flags: { system: 6, keywords: [] } },
  );
  inbox.deliver(
    Buffer.concat([
      Buffer.from("Subject: old\r\nX-Empty:\r\nContent-Type: text/plain; charset=ISO-2022-JP\r\n\r\n"),
      JAPANESE_JIS,
      Buffer.from("\r\n"),
    ]),
    { internalDate: new Date("2020-01-01T12:00:00Z"), uid: 9 },
  );
  const client = await server.user();
  await client.command("SELECT INBOX");
  return { server, client };
}

test("SEARCH answers every kind of key exactly", async () => {
  const { client } = await mailbox();
  const utf8 = (text: string) => {
    const octets = Buffer.from(text);
    return `{${octets.length}+}\r\n${octets.toString("latin1")}`;
  };
  const cases: ReadonlyArray<readonly [key: string, uids: string]> = [
    ["ALL", "1 2 9"],
    ["SEEN", "1"],
    ["UNSEEN", "2 9"],
    ["FLAGGED ANSWERED", "2"],
    ["NEW", ""],
    ["OLD", "1 2 9"],
    ["KEYWORD wORK", "1"],
    ["UNKEYWORD work", "2 9"],
    ["2:*", "2 9"],
    ["UID 3:*", "9"],
    ["NOT UID 1:2", "9"],
    ["ON 1-Feb-2026", "1"],
    ["BEFORE 1-Feb-2026", "9"],
    ["SINCE 29-Feb-2024 BEFORE 31-Jan-2026", ""],
    ["SINCE 1-Feb-2026", "1 2"],
    ["SENTON 21-Nov-1997", "1"],
    ["SENTSINCE 1-Jan-2026", "2"],
    ["SENTBEFORE 1-Jan-2026", "1"],
    ["LARGER 300", "2"],
    ["SMALLER 300", "1 9"],
    ["OLDER 100", "1 2 9"],
    ["YOUNGER 100", ""],
    ["FROM ANN", "1"],
    ["CC ann", "2"],
    ["TO bob", "1"],
    ["BCC x", ""],
    [`SUBJECT ${utf8("CAFÉ AU")}`, "1"],
    [`SUBJECT ${utf8("cafe\u0301")}`, "1"],
    ["HEADER return-path bounce", "1"],
    ['HEADER x-empty ""', "9"],
    ['HEADER subject ""', "1 9"],
    ["BODY plain", "1"],
    ["BODY bounce", ""],
    ["TEXT bounce", "1"],
    ["TEXT lait", "1"],
    ["BODY lait", ""],
    [`BODY ${utf8("会議")}`, "2 9"],
    [`CHARSET UTF-8 BODY ${utf8("お知らせ")}`, "2 9"],
    [`CHARSET ISO-2022-JP BODY {${JAPANESE_JIS.length}+}\r\n${JAPANESE_JIS.toString("latin1")}`, "2 9"],
    ["BODY softbreak", "2"],
    [`BODY ${utf8("break あ")}`, "2"],
    ['BODY "hidden in"', ""],
    ["BODY picture.png", ""],
    [`BODY ${utf8("内側")}`, "2"],
    ['BODY "inner text"', "2"],
    ["BODY preamble", ""],
    ['BODY ""', "1 2 9"],
    ["OR BODY plain SUBJECT old", "1 9"],
    ["NOT BODY plain", "2 9"],
    ["OR (SEEN BODY nowhere) NOT (OR UNSEEN FROM nobody)", "1"],
  ];
  for (const [key, uids] of cases) {
    const expected = uids === "" ? "* SEARCH" : `* SEARCH ${uids}`;
    assert.deepEqual(await client.command(`UID SEARCH ${key}`), [expected, "OK SEARCH completed"], key);
  }
  assert.deepEqual(await client.command("SEARCH UID 9"), ["* SEARCH 3", "OK SEARCH completed"]);
  assert.equal(
    (await client.command("SEARCH CHARSET KOI8-R ALL"))[0],
    "NO [BADCHARSET (US-ASCII UTF-8 ISO-2022-JP)] Search text must be in one of these",
  );
});

test("SEARCH decodes parts however the blob comes in pieces", async () => {
  const { client, server } = await mailbox();
  const octets = Buffer.from("会議のお知らせ");
  for (const chunkBytes of [1, 3, 64]) {
    server.store.blobs.chunkBytes = chunkBytes;
    const answers = await client.command(
      `UID SEARCH BODY {${octets.length}+}\r\n${octets.toString("latin1")}`,
    );
    assert.deepEqual(answers, ["* SEARCH 2 9", "OK SEARCH completed"]);
  }
});

test("SEARCH reads rows only for messages that flags cannot decide, and blobs only for those that headers cannot", async () => {
  const { client, server } = await mailbox();
  const { store } = server;
  let reads = 0;
  const get = store.blobs.get.bind(store.blobs);
  store.blobs.get = (digest, range) => {
    reads += 1;
    return get(digest, range);
  };
  const run = async (key: string) => {
    store.rowRequests.length = 0;
    reads = 0;
    await client.command(`UID SEARCH ${key}`);
    return { rows: store.rowRequests.map(request => request.count), reads };
  };
  assert.deepEqual(await run("OR SEEN UID 2"), { rows: [], reads: 0 });
  assert.deepEqual(await run("UNSEEN SMALLER 300"), { rows: [2], reads: 0 });
  assert.deepEqual(await run("SEEN BODY x"), { rows: [1], reads: 1 });
  assert.deepEqual(await run("BODY x SUBJECT nothing"), { rows: [3], reads: 0 });
});

test("SEARCH of a message that cannot be read gives the others and a NO", async () => {
  const { client, server } = await mailbox();
  const lost = server.store.inbox.stored[1]?.row.blob;
  assert.ok(lost !== undefined);
  server.store.blobs.remove(lost);
  assert.deepEqual(await client.command("UID SEARCH BODY plain"), [
    "* SEARCH 1",
    "NO [CORRUPTION] The message cannot be read: its data is missing",
  ]);
  assert.deepEqual(server.recorded.unreadable, ["refused"]);
});

test("SEARCH finds text in a big message that comes in many pieces", async () => {
  const server = await startTestServer();
  servers.push(server);
  const lines = `${"lorem ipsum dolor sit amet ".repeat(3)}\r\n`.repeat(12_000);
  server.store.inbox.deliver(`Subject: big\r\n\r\n${lines}nee\u00adDLE\r\n${lines}NEEDLE\r\n`);
  server.store.blobs.chunkBytes = 10_007;
  const client = await server.user();
  await client.command("SELECT INBOX");
  assert.equal((await client.command("SEARCH BODY needle"))[0], "* SEARCH 1");
  assert.equal((await client.command("SEARCH BODY nothing"))[0], "* SEARCH");
});
