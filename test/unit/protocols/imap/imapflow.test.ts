/** The server as an ordinary client library sees it: imapflow over a real socket. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { ImapFlow } from "imapflow";
import { startTestServer, type TestServer } from "./harness.ts";
import { PASSWORD } from "./memory-store.ts";

const servers: TestServer[] = [];
after(() => Promise.all(servers.map(server => server.close())));

async function connected(): Promise<{ server: TestServer; client: ImapFlow }> {
  const server = await startTestServer();
  servers.push(server);
  const auth = { user: server.store.account.address, pass: PASSWORD };
  const client = new ImapFlow({ host: "127.0.0.1", port: server.port, secure: false, auth, logger: false });
  await client.connect();
  return { server, client };
}

function message(i: number): Buffer {
  const body =
    i % 3 === 0 ? Buffer.from([0, 13, 10, 255, 46, 10, 41]) : Buffer.alloc(i * 997, `line ${i}\r\n`);
  return Buffer.concat([Buffer.from(`Subject: message ${i}\r\nFrom: "A ${i}" <a${i}@b.test>\r\n\r\n`), body]);
}

test("imapflow lists, opens, fetches whole messages byte for byte, and searches", async () => {
  const { server, client } = await connected();
  const { store } = server;
  store.add("Sent", "\\Sent");
  store.add("日本/語");
  const prefix = "Return-Path: <>\r\n";
  for (let i = 1; i <= 40; i += 1)
    store.inbox.deliver(message(i), { prefix, flags: { system: i % 2, keywords: [] } });

  const paths = (await client.list({ statusQuery: { messages: true } })).map(box => [
    box.path,
    box.specialUse,
    box.status?.messages,
  ]);
  assert.deepEqual(paths.sort(), [
    ["INBOX", "\\Inbox", 40],
    ["Sent", "\\Sent", 0],
    ["日本", undefined, undefined],
    ["日本/語", undefined, 0],
  ]);
  const box = await client.mailboxOpen("INBOX");
  assert.equal(box.exists, 40);
  assert.equal(box.readOnly, true);
  let seen = 0;
  for await (const fetched of client.fetch("1:*", {
    uid: true,
    source: true,
    size: true,
    envelope: true,
    bodyStructure: true,
    flags: true,
    internalDate: true,
  })) {
    seen += 1;
    const whole = Buffer.concat([Buffer.from(prefix), message(fetched.uid)]);
    assert.ok(fetched.source?.equals(whole), `UID ${fetched.uid}`);
    assert.equal(fetched.size, whole.length);
    assert.equal(fetched.envelope?.subject, `message ${fetched.uid}`);
    assert.equal(fetched.envelope?.from?.[0]?.name, `A ${fetched.uid}`);
    assert.equal(fetched.flags?.has("\\Seen"), fetched.uid % 2 === 1);
    assert.equal(fetched.bodyStructure?.type, "text/plain");
  }
  assert.equal(seen, 40);
  assert.deepEqual(await client.search({ subject: "MESSAGE 7" }, { uid: true }), [7]);
  assert.deepEqual(
    await client.search({ or: [{ from: "a12@" }, { body: "line 13" }] }, { uid: true }),
    [12, 13],
  );
  const part = await client.download("2", "1", { uid: true });
  const chunks: Buffer[] = [];
  for await (const chunk of part.content ?? []) chunks.push(Buffer.from(chunk));
  assert.match(Buffer.concat(chunks).toString(), /^line 2/u);
  await client.logout();
});

test("imapflow hears of new, changed and expunged messages during IDLE", async () => {
  const { server, client } = await connected();
  const { inbox } = server.store;
  for (let i = 1; i <= 3; i += 1) inbox.deliver(message(i));
  await client.mailboxOpen("INBOX");
  const heard: string[] = [];
  const all = new Promise<void>(resolve => {
    const hear = (what: string) => {
      heard.push(what);
      if (heard.length === 3) resolve();
    };
    client.on("exists", event => hear(`exists ${event.count}`));
    client.on("expunge", event => hear(`expunge ${event.seq}`));
    client.on("flags", event => hear(`flags ${event.seq} ${[...(event.flags ?? [])].join(" ")}`));
  });
  const idling = client.idle();
  while (inbox.listeners.size === 0) await new Promise(resolve => setImmediate(resolve));
  inbox.deliver(message(4));
  inbox.expunge(2);
  inbox.setFlags(3, { system: 4, keywords: ["tagged"] });
  await all;
  assert.deepEqual(heard.sort(), ["exists 3", "expunge 2", "flags 2 \\Flagged tagged"]);
  await client.noop();
  await idling;
  await client.logout();
});

test("imapflow is told why a change is refused", async () => {
  const { server, client } = await connected();
  server.store.inbox.deliver(message(1));
  await client.mailboxOpen("INBOX");
  const refusal = await client.append("INBOX", "Subject: x\r\n\r\ny").then(
    () => assert.fail("accepted"),
    (error: unknown) =>
      error instanceof Error && "responseText" in error ? String(error.responseText) : String(error),
  );
  assert.match(refusal, /read-only over IMAP/u);
  await client.logout();
});
