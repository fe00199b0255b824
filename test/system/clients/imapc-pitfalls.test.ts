/**
 * What goes wrong between imapc and a server behind it, as the service and `dovecot/stage-store.conf` answer for it: lost
 * connections, an outage, a message that cannot be read, private `\Seen`, long lists of UIDs, capabilities that must not be announced.
 */
import assert from "node:assert/strict";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { dateOf, flagsOf, generated } from "../../lib/clients/messages.ts";
import { RawImap } from "../../lib/clients/raw-imap.ts";
import { type ClientSite, PASSWORD, startClientSite, USER } from "../../lib/clients/site.ts";

const MESSAGES = 40;
/** More UIDs than imapc asks for at once; as a list of commas longer than 64 KiB. */
const LONG_LIST = Array.from({ length: 14_000 }, (_, i) => 2 * i + 1).join(",");

let site: ClientSite;

before(async () => {
  site = await startClientSite();
  assert.equal((await site.sidecar.mairust(["account", "add", USER])).code, 0);
  for (let i = 0; i < MESSAGES; i++) {
    const place = { account: USER, mailbox: "INBOX" };
    await site.api.addAll([{ ...place, bytes: generated(i), flags: flagsOf(i), date: dateOf(i) }]);
  }
});
after(() => site?.stop());

/** A session at Dovecot. */
async function withDovecot(work: (client: RawImap) => Promise<void>): Promise<void> {
  const client = await RawImap.open(site.dovecot.imapPort);
  try {
    assert.equal((await client.command(`LOGIN ${USER} ${PASSWORD}`)).status, "OK");
    await work(client);
  } finally {
    await client.close();
  }
}

/** A session of the master user at the service itself. */
async function withService(work: (client: RawImap) => Promise<void>): Promise<void> {
  const client = await RawImap.open(site.sidecar.imapPort);
  const plain = Buffer.from(`${USER}\0dovecot\0${site.sidecar.masterPassword}`).toString("base64");
  try {
    assert.equal((await client.command(`AUTHENTICATE PLAIN ${plain}`)).status, "OK");
    await work(client);
  } finally {
    await client.close();
  }
}

test("a line of 14 000 UIDs is one command, answered for those that are there", () =>
  withService(async client => {
    assert.ok(LONG_LIST.length > 65_536);
    await client.command("SELECT INBOX");
    const { status, lines } = await client.command(`UID FETCH ${LONG_LIST} (RFC822.SIZE)`);
    assert.equal(status, "OK");
    assert.equal(lines.length, MESSAGES / 2);
  }));

test("what Dovecot 2.3 gets wrong when it is announced is not announced", () =>
  withService(async client => {
    const { lines } = await client.command("CAPABILITY");
    const words = (lines[0] ?? "").split(" ");
    assert.deepEqual(
      words.filter(word => ["ESEARCH", "IMAP4rev2", "MOVE"].includes(word)),
      [],
    );
    for (const needed of ["WITHIN", "IDLE", "UIDPLUS", "NAMESPACE", "UNSELECT", "ID"]) {
      assert.ok(words.includes(needed), needed);
    }
  }));

test("THREAD by references, which ends the session in Dovecot 2.3 with imapc, is not announced by it", () =>
  withDovecot(async client => {
    const { lines } = await client.command("CAPABILITY");
    const words = (lines[0] ?? "").split(" ");
    assert.ok(words.includes("THREAD=ORDEREDSUBJECT") && words.includes("ACL"), lines[0]);
    assert.ok(!words.includes("THREAD=REFERENCES") && !words.includes("THREAD=REFS"), lines[0]);
  }));

test("\\Seen stays in Dovecot over sessions; STATUS and mixed searches show the service's own flags", async () => {
  await withDovecot(async client => {
    await client.command("SELECT INBOX");
    await client.command("STORE 1,3:4 +FLAGS (\\Seen)");
    await client.command("LOGOUT");
  });
  await withDovecot(async client => {
    await client.command("SELECT INBOX");
    assert.deepEqual((await client.command("SEARCH SEEN")).lines, ["* SEARCH 1 3 4"]);
    // With a text the service is asked, and there 2, 3 and 6 are \Seen.
    const mixed = (await client.command("SEARCH SEEN TEXT many 1:6")).lines;
    assert.deepEqual(mixed, ["* SEARCH 2 3 6"]);
  });
  await withDovecot(async client => {
    const unseen = Array.from({ length: MESSAGES }, (_, i) => i).filter(i => !flagsOf(i).includes("\\Seen"));
    const { lines } = await client.command("STATUS INBOX (UNSEEN)");
    assert.deepEqual(lines, [`* STATUS INBOX (UNSEEN ${unseen.length})`]);
  });
});

test("connections to the service that break are opened again: FETCH goes on, the same UIDs", () =>
  withDovecot(async client => {
    await client.command("SELECT INBOX");
    await client.command("FETCH 1 (BODY.PEEK[])");
    site.upstream.cut();
    const { status, lines } = await client.command("FETCH 2:3 (UID BODY.PEEK[])");
    assert.equal(status, "OK");
    assert.equal(lines.length, 2);
    assert.match(lines[0] ?? "", /^\* 2 FETCH \(UID 2 BODY\[\] \{\d+\}\)$/u);
  }));

test("an outage: the open mailbox is left with BYE, other sessions get NO and keep Local/; afterwards all is as before", async () => {
  let before = "";
  await withDovecot(async client => {
    const { lines } = await client.command("SELECT INBOX");
    before = lines.filter(line => /EXISTS|UIDVALIDITY/u.test(line)).join();
    await site.sidecar.kill();
    client.send("f FETCH 5 (BODY.PEEK[])");
    await client.line(/^\* BYE |^f NO /u);
  });
  await withDovecot(async client => {
    const select = await client.command("SELECT INBOX");
    assert.equal(select.status, "NO");
    assert.match(select.text, /^\[(?:SERVERBUG|UNAVAILABLE)\]/u);
    assert.equal((await client.command("SELECT Local/Drafts")).status, "OK");
    const saved = await client.command("APPEND Local/Drafts {14}", "Subject: a\r\n\r\n");
    assert.equal(saved.status, "OK");
  });
  await site.sidecar.restart();
  await withDovecot(async client => {
    const { lines } = await client.command("SELECT INBOX");
    assert.equal(lines.filter(line => /EXISTS|UIDVALIDITY/u.test(line)).join(), before);
    assert.equal((await client.command("FETCH 5 (BODY.PEEK[])")).status, "OK");
  });
});

test("a message whose content is lost: the service says NO and sends the others; Dovecot's session ends, the next one works", async () => {
  const blobs = join(site.sidecar.dir, "data", "blobs");
  const uid = MESSAGES + 1;
  const place = { account: USER, mailbox: "INBOX" };
  const known = new Set(await readdir(blobs, { recursive: true }));
  await site.api.addAll([{ ...place, bytes: generated(9999), flags: [], date: dateOf(0) }]);
  const entries = await readdir(blobs, { recursive: true, withFileTypes: true });
  const added = entries
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name))
    .filter(path => !known.has(path.slice(blobs.length + 1)));
  assert.equal(added.length, 1, added.join());
  await rm(added[0] ?? "");

  await withService(async client => {
    await client.command("SELECT INBOX");
    const { status, lines } = await client.command(`UID FETCH ${uid - 1}:${uid} (BODY.PEEK[])`);
    assert.equal(status, "NO");
    assert.equal(lines.length, 1);
    assert.equal((await client.command("NOOP")).status, "OK");
  });
  await withDovecot(async client => {
    await client.command("SELECT INBOX");
    client.send(`f UID FETCH ${uid} (BODY.PEEK[])`);
    assert.match(await client.line(/^\* BYE |^f /u), /^\* BYE /u);
  });
  await withDovecot(async client => {
    await client.command("SELECT INBOX");
    const { status } = await client.command(`UID FETCH 1:${MESSAGES} (BODY.PEEK[])`);
    assert.equal(status, "OK");
  });
});
