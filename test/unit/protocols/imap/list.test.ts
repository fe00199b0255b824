import assert from "node:assert/strict";
import { after, test } from "node:test";
import { FLAG_DELETED } from "../../../../src/core/ports/store.ts";
import { startTestServer, type TestServer } from "./harness.ts";

const servers: TestServer[] = [];
after(() => Promise.all(servers.map(server => server.close())));

async function started(): Promise<TestServer> {
  const server = await startTestServer();
  servers.push(server);
  server.store.add("Junk", "\\Junk");
  server.store.add("Work/2026/May");
  server.store.add("日本語");
  server.store.subscribed.delete("Junk");
  server.store.subscribed.add("Gone/child");
  return server;
}

test("LIST shows the tree with attributes and in modified UTF-7", async () => {
  const { user } = await started();
  const client = await user();
  const list = async (rest: string) => (await client.command(`LIST ${rest}`)).slice(0, -1);
  assert.deepEqual(await list('"" ""'), ['* LIST (\\Noselect) "/" ""']);
  assert.deepEqual(await list('"" "*"'), [
    '* LIST (\\HasNoChildren) "/" "INBOX"',
    '* LIST (\\HasNoChildren \\Junk) "/" "Junk"',
    '* LIST (\\Noselect \\NonExistent \\HasChildren) "/" "Work"',
    '* LIST (\\Noselect \\NonExistent \\HasChildren) "/" "Work/2026"',
    '* LIST (\\HasNoChildren) "/" "Work/2026/May"',
    '* LIST (\\HasNoChildren) "/" "&ZeVnLIqe-"',
  ]);
  assert.deepEqual(await list('"" inbox'), ['* LIST (\\HasNoChildren) "/" "INBOX"']);
  assert.deepEqual(await list("Work/ %"), [
    '* LIST (\\Noselect \\NonExistent \\HasChildren) "/" "Work/2026"',
  ]);
  assert.deepEqual(await list('"" &ZeVnLIqe-'), ['* LIST (\\HasNoChildren) "/" "&ZeVnLIqe-"']);
  assert.deepEqual(await list('(SPECIAL-USE) "" *'), ['* LIST (\\HasNoChildren \\Junk) "/" "Junk"']);
});

test("extended LIST selects by subscription and tells status", async () => {
  const { user, store } = await started();
  store.inbox.deliver("a: b\r\n\r\nxyz");
  const client = await user();
  const list = async (rest: string) => (await client.command(`LIST ${rest}`)).slice(0, -1);
  assert.deepEqual(await list('(SUBSCRIBED) "" *'), [
    '* LIST (\\HasNoChildren \\Subscribed) "/" "INBOX"',
    '* LIST (\\Noselect \\NonExistent \\HasNoChildren \\Subscribed) "/" "Gone/child"',
    '* LIST (\\HasNoChildren \\Subscribed) "/" "Work/2026/May"',
    '* LIST (\\HasNoChildren \\Subscribed) "/" "&ZeVnLIqe-"',
  ]);
  assert.deepEqual(await list('(SUBSCRIBED RECURSIVEMATCH) "" (Work G%)'), [
    '* LIST (\\Noselect \\NonExistent \\HasNoChildren) "/" "Gone" ("CHILDINFO" ("SUBSCRIBED"))',
    '* LIST (\\Noselect \\NonExistent \\HasChildren) "/" "Work" ("CHILDINFO" ("SUBSCRIBED"))',
  ]);
  assert.deepEqual(await list('"" (INBOX Junk) RETURN (SUBSCRIBED STATUS (MESSAGES UNSEEN SIZE RECENT))'), [
    '* LIST (\\HasNoChildren \\Subscribed) "/" "INBOX"',
    '* STATUS "INBOX" (MESSAGES 1 UNSEEN 1 SIZE 11 RECENT 0)',
    '* LIST (\\HasNoChildren \\Junk) "/" "Junk"',
    '* STATUS "Junk" (MESSAGES 0 UNSEEN 0 SIZE 0 RECENT 0)',
  ]);
});

test("LSUB, SUBSCRIBE and UNSUBSCRIBE keep subscriptions, also of mailboxes that are gone", async () => {
  const { user, store } = await started();
  const client = await user();
  const lsub = async (pattern: string) => (await client.command(`LSUB "" ${pattern}`)).slice(0, -1);
  assert.deepEqual(await lsub("*"), [
    '* LSUB () "/" "INBOX"',
    '* LSUB () "/" "Gone/child"',
    '* LSUB () "/" "Work/2026/May"',
    '* LSUB () "/" "&ZeVnLIqe-"',
  ]);
  assert.deepEqual(await lsub("%"), [
    '* LSUB () "/" "INBOX"',
    '* LSUB (\\Noselect) "/" "Gone"',
    '* LSUB (\\Noselect) "/" "Work"',
    '* LSUB () "/" "&ZeVnLIqe-"',
  ]);
  assert.deepEqual(await client.command("UNSUBSCRIBE &ZeVnLIqe-"), ["OK UNSUBSCRIBE completed"]);
  assert.deepEqual(await client.command('SUBSCRIBE "Junk"'), ["OK SUBSCRIBE completed"]);
  assert.ok(store.subscribed.has("Junk") && !store.subscribed.has("日本語"));
});

test("STATUS and NAMESPACE answer what imapc asks", async () => {
  const { user, store } = await started();
  store.inbox.deliver("a: b\r\n\r\nxyz", { uid: 7 });
  const client = await user();
  assert.deepEqual(
    await client.command("STATUS inbox (MESSAGES UIDNEXT UIDVALIDITY UNSEEN HIGHESTMODSEQ SIZE)"),
    [
      '* STATUS "INBOX" (MESSAGES 1 UIDNEXT 8 UIDVALIDITY 1700000000 UNSEEN 1 HIGHESTMODSEQ 2 SIZE 11)',
      "OK STATUS completed",
    ],
  );
  assert.deepEqual(await client.command("STATUS Work (MESSAGES)"), ["NO [NONEXISTENT] no such mailbox"]);
  assert.deepEqual(await client.command("NAMESPACE"), [
    '* NAMESPACE (("" "/")) NIL NIL',
    "OK NAMESPACE completed",
  ]);
});

test("LIST does not announce a read-only mailbox as the one for sent mail, drafts or trash", async () => {
  const { store, user } = await started();
  for (const use of ["Sent", "Drafts", "Trash", "Archive"]) store.add(use, `\\${use}`);
  const client = await user();
  const lines = (await client.command('LIST "" "*"')).join("\n");
  assert.match(lines, /\(\\HasNoChildren \\Archive\) "\/" "Archive"/u);
  for (const use of ["Sent", "Drafts", "Trash"]) {
    assert.match(lines, new RegExp(`\\(\\\\HasNoChildren\\) "/" "${use}"`, "u"));
  }
});

test("a client without Dovecot is told which mailbox is for what", async () => {
  const server = await startTestServer({ profile: { kind: "client" } });
  servers.push(server);
  server.store.add("Sent", "\\Sent");
  const client = await server.user();
  const expected = '* LIST (\\HasNoChildren \\Sent) "/" "Sent"';
  assert.ok((await client.command('LIST "" "*"')).includes(expected));
  assert.ok((await client.command('LIST (SPECIAL-USE) "" "*"')).includes(expected));
});

test("RECURSIVEMATCH shows parents of what is selected, by subscription and by special use", async () => {
  const { user, store } = await started();
  store.add("Work/Spam", "\\Junk");
  store.subscribed.add("Work");
  const client = await user();
  const list = async (rest: string) => (await client.command(`LIST ${rest}`)).slice(0, -1);
  assert.deepEqual(await list('(SPECIAL-USE RECURSIVEMATCH) "" (%)'), [
    '* LIST (\\HasNoChildren \\Junk) "/" "Junk"',
    '* LIST (\\Noselect \\NonExistent \\HasChildren) "/" "Work" ("CHILDINFO" ("SPECIAL-USE"))',
  ]);
  assert.deepEqual(await list('(SUBSCRIBED RECURSIVEMATCH) "" Work'), [
    '* LIST (\\Noselect \\NonExistent \\HasChildren \\Subscribed) "/" "Work" ("CHILDINFO" ("SUBSCRIBED"))',
  ]);
});

test("STATUS tells DELETED, and counts it only when it is asked for", async () => {
  const { user, store } = await started();
  store.inbox.deliver("a: b\r\n\r\n", { flags: { system: FLAG_DELETED, keywords: [] } });
  const client = await user();
  assert.equal((await client.command("STATUS INBOX (DELETED)"))[0], '* STATUS "INBOX" (DELETED 1)');
  assert.equal(
    (await client.command('LIST "" INBOX RETURN (STATUS (DELETED MESSAGES))'))[1],
    '* STATUS "INBOX" (DELETED 1 MESSAGES 1)',
  );
});

test("LIST of many names and long patterns lets others have their turn", async () => {
  const { user, store } = await started();
  for (let i = 0; i < 40; i += 1) store.add(`${"a".repeat(200)}${i}`);
  const client = await user();
  const startedAt = performance.now();
  let turns = 0;
  const count = setInterval(() => {
    turns += 1;
  }, 1);
  await client.command(`LIST "" (${Array.from({ length: 20 }, () => "*a".repeat(300)).join(" ")})`);
  clearInterval(count);
  const ms = performance.now() - startedAt;
  assert.ok(turns > ms / 60, `${turns} turns in ${ms} ms`);
});
