/** A session with IMAP4rev2 enabled, by a bare client and by imapflow (RFC 9051). */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { ImapFlow } from "imapflow";
import { startTestServer, type TestServer } from "./harness.ts";
import { PASSWORD } from "./memory-store.ts";

const servers: TestServer[] = [];
after(() => Promise.all(servers.map(server => server.close())));

async function started(): Promise<TestServer> {
  const server = await startTestServer({ profile: { kind: "client" } });
  servers.push(server);
  server.store.add("日本/A & B", "\\Junk");
  return server;
}

const octets = (text: string) => Buffer.from(text).toString("latin1");

test("ENABLE IMAP4rev2 turns names to UTF-8, and RECENT and UNSEEN are gone", async () => {
  const { store, user } = await started();
  store.inbox.deliver("Subject: a\r\n\r\n");
  const client = await user();
  assert.ok(
    (await client.command('LIST "" "*B"')).includes('* LIST (\\HasNoChildren \\Junk) "/" "&ZeVnLA-/A &- B"'),
  );
  assert.ok((await client.command("SELECT INBOX")).some(line => line.endsWith(" RECENT")));
  assert.deepEqual(await client.command("ENABLE IMAP4rev2"), ["* ENABLED IMAP4rev2", "OK ENABLE completed"]);
  const name = octets("日本/A & B");
  assert.deepEqual(await client.command('LIST "" "*B" RETURN (STATUS (MESSAGES DELETED))'), [
    `* LIST (\\HasNoChildren \\Junk) "/" "${name}"`,
    `* STATUS "${name}" (MESSAGES 0 DELETED 0)`,
    "OK LIST completed",
  ]);
  const selected = await client.command(`SELECT "${name}"`);
  assert.ok(selected.includes(`* LIST () "/" "${name}"`));
  assert.ok(selected.some(line => line.startsWith("* OK [CLOSED]")));
  assert.ok(!selected.some(line => /RECENT|UNSEEN/u.test(line)), selected.join("\n"));
  await client.command("SELECT INBOX");
  store.inbox.deliver("Subject: b\r\n\r\n");
  const news = await client.command("NOOP");
  assert.deepEqual(news, ["* 2 EXISTS", "OK NOOP completed"]);
  const [found] = await client.command("UID SEARCH SUBJECT b");
  assert.match(found ?? "", /^\* ESEARCH \(TAG "[^"]+"\) UID ALL 2$/u);
  assert.match((await client.command("MOVE 1 INBOX")).at(-1) ?? "", /^NO \[NOPERM\]/u);
});

test("imapflow reads a server that announces IMAP4rev2", async () => {
  const { store, port } = await started();
  store.inbox.deliver("Subject: a\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n", {
    threadId: "Tone",
  });
  const auth = { user: store.account.address, pass: PASSWORD };
  const client = new ImapFlow({ host: "127.0.0.1", port, secure: false, auth, logger: false });
  await client.connect();
  assert.ok(client.capabilities.has("IMAP4rev2") || client.capabilities.has("IMAP4REV2"));
  const paths = (await client.list()).map(({ path }) => path).sort();
  assert.deepEqual(paths, ["INBOX", "日本", "日本/A & B"]);
  await client.mailboxOpen("日本/A & B");
  await client.mailboxOpen("INBOX");
  const fetched = await client.fetchOne("1", {
    envelope: true,
    bodyStructure: true,
    threadId: true,
    source: true,
  });
  assert.ok(fetched !== false && fetched !== undefined);
  assert.equal(fetched.envelope?.subject, "a");
  assert.equal(fetched.threadId, "Tone");
  assert.deepEqual(await client.search({ subject: "a" }, { uid: true }), [1]);
  const { content } = await client.download("1", "1");
  assert.ok(content !== undefined);
  const chunks: Buffer[] = [];
  for await (const chunk of content) chunks.push(chunk as Buffer);
  assert.equal(Buffer.concat(chunks).toString(), "hello");
  await client.logout();
});
