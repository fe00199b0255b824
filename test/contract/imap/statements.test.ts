/**
 * What each IMAP command costs at the database: statements are counted as they are sent to a real PostgreSQL. One at most, but for
 * pages of a long FETCH or SEARCH; none for what the shared snapshot knows.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { FETCH_PAGE } from "../../../src/core/ports/mailboxes.ts";
import type { ImapTestClient } from "../../lib/imap-client.ts";
import { type ImapService, MASTER, PASSWORD, startImapService, USER } from "./service.ts";

const MESSAGE = "From: a@example.org\r\nSubject: plain\r\nContent-Type: text/plain\r\n\r\nneedle\r\n";
/** One more than a page. */
const MESSAGES = FETCH_PAGE + 1;

let service: ImapService;
before(async () => {
  service = await startImapService();
  await service.deliver(MESSAGE, MESSAGES);
});
after(() => service?.stop());

type Row = readonly [command: string, statements: number, answer?: "OK" | "NO"];

async function assertStatements(client: ImapTestClient, table: readonly Row[]): Promise<void> {
  for (const [command, expected, answer = "OK"] of table) {
    service.statements.length = 0;
    const answers = await client.command(command);
    assert.match(answers.at(-1) ?? "", new RegExp(`^${answer} `, "u"), command);
    const sent = service.statements.map(text => text.replace(/\s+/gu, " ").trim());
    assert.equal(sent.length, expected, `${command}: ${sent.join("\n")}`);
  }
}

async function loggedIn(): Promise<ImapTestClient> {
  const client = await service.client();
  assert.match((await client.command(`LOGIN ${USER} "${PASSWORD}"`)).at(-1) ?? "", /^OK/u);
  return client;
}

const plain = (authorize: string, user: string, password: string) =>
  `AUTHENTICATE PLAIN ${Buffer.from(`${authorize}\0${user}\0${password}`).toString("base64")}`;

test("a login is one statement, right or wrong; the master user's next one for the same account is none", async () => {
  const cases: readonly Row[] = [
    [`LOGIN ${USER} "${PASSWORD}"`, 1],
    // Read again each time: a password that was taken away counts at once.
    [`LOGIN ${USER} "${PASSWORD}"`, 1],
    [`LOGIN ${USER} wrong`, 1, "NO"],
    ["LOGIN nobody@example.test wrong", 1, "NO"],
    [plain("", USER, PASSWORD), 1],
    [plain(USER, MASTER.user, MASTER.password), 1],
    [plain(USER, MASTER.user, MASTER.password), 0],
    [plain(USER, MASTER.user, "wrong"), 0, "NO"],
    [plain("nobody@example.test", MASTER.user, MASTER.password), 1, "NO"],
    [plain("nobody@elsewhere.test", MASTER.user, MASTER.password), 1, "NO"],
  ];
  for (const row of cases) {
    const client = await service.client();
    await assertStatements(client, [["CAPABILITY", 0], ['ID ("name" "test")', 0], row]);
    client.close();
  }
});

test("a command about mailboxes by name is one statement", async () => {
  await assertStatements(await loggedIn(), [
    ["NOOP", 0],
    ["NAMESPACE", 0],
    ['LIST "" ""', 0],
    ['LSUB "" ""', 0],
    ['LIST "" "*"', 1],
    ['LIST (SUBSCRIBED) "" "*" RETURN (CHILDREN)', 1],
    ['LIST "" "*" RETURN (SUBSCRIBED STATUS (MESSAGES UNSEEN UIDNEXT))', 1],
    ['LSUB "" "*"', 1],
    ["STATUS INBOX (MESSAGES UIDNEXT UIDVALIDITY UNSEEN HIGHESTMODSEQ SIZE)", 1],
    ["STATUS Nosuch (MESSAGES)", 1, "NO"],
    ["SUBSCRIBE Later", 1],
    ["UNSUBSCRIBE Later", 1],
    ["CREATE x", 0, "NO"],
  ]);
});

test("SELECT is one statement: of a mailbox that nobody opened yet, of one that is known, of none", async () => {
  await assertStatements(await loggedIn(), [
    ["SELECT Nosuch", 1, "NO"],
    ["SELECT Archive", 1],
    ["SELECT Archive", 1],
    ["EXAMINE Archive", 1],
    ["UNSELECT", 0],
    ["SELECT Archive", 1],
    ["CLOSE", 0],
  ]);
});

test("many that open a mailbox at once read its rows once", async () => {
  const clients = await Promise.all(Array.from({ length: 8 }, loggedIn));
  service.statements.length = 0;
  const answers = await Promise.all(clients.map(client => client.command("EXAMINE Sent")));
  for (const answer of answers) assert.match(answer.at(-1) ?? "", /^OK/u);
  // The first read, then one or two for all others together: who came after a read began must see what came after it.
  assert.ok(service.statements.length <= 3, String(service.statements.length));
});

test("a mailbox with another name, or another of the same name, is opened as what it is now", async () => {
  const client = await loggedIn();
  const open = async (name: string) => (await client.command(`EXAMINE ${name}`)).at(-1)?.slice(0, 2);
  const uidValidity = async (name: string) =>
    /UIDVALIDITY (\d+)/u.exec((await client.command(`EXAMINE ${name}`)).join())?.[1];
  const { db, account } = service;
  assert.equal(await open("Drafts"), "OK");
  const before = await uidValidity("Drafts");
  await db.run`update mailboxes set name = 'Moved' where account_id = ${account} and name = 'Drafts'`;
  assert.equal(await open("Drafts"), "NO");
  assert.equal(await uidValidity("Moved"), before);
  await db.run`insert into mailboxes (account_id, name, uidvalidity) values (${account}, 'Drafts', 77)`;
  assert.equal(await uidValidity("Drafts"), "77");
  await db.run`update mailboxes set uidvalidity = 78 where account_id = ${account} and name = 'Drafts'`;
  assert.equal(await uidValidity("Drafts"), "78");
  await db.run`delete from mailboxes where account_id = ${account} and name = 'Drafts'`;
  assert.equal(await open("Drafts"), "NO");
  assert.equal(await open("Moved"), "OK");
});

test("FETCH of flags is no statement, of anything else one for each page", async () => {
  const client = await loggedIn();
  await client.command("SELECT INBOX");
  const commas = Array.from({ length: 300 }, (_, i) => i + 1).join(",");
  await assertStatements(client, [
    ["UID FETCH 1:* (FLAGS)", 0],
    ["FETCH 1:* (UID FLAGS)", 0],
    ["UID FETCH 99999 (ENVELOPE)", 0],
    ["FETCH 1 (ENVELOPE)", 1],
    [`UID FETCH 1:${FETCH_PAGE} (ENVELOPE)`, 1],
    ["UID FETCH 1:* (ENVELOPE)", 2],
    [`UID FETCH ${commas} (UID RFC822.SIZE INTERNALDATE)`, 1],
    [`UID FETCH ${commas} (BODY.PEEK[HEADER.FIELDS (SUBJECT)])`, 1],
    ["FETCH 1:9 (BODYSTRUCTURE BODY.PEEK[HEADER])", 1],
    ["FETCH 1:9 (FLAGS BODY.PEEK[] BODY.PEEK[1] BODY[TEXT]<0.3>)", 1],
    ["FETCH 1 FULL", 1],
  ]);
});

test("SEARCH of flags and numbers is no statement, of anything else one for each page", async () => {
  const client = await loggedIn();
  await client.command("SELECT INBOX");
  await assertStatements(client, [
    ["UID SEARCH ALL", 0],
    ["UID SEARCH UNSEEN KEYWORD work", 0],
    ["SEARCH 1:9 NOT UID 3", 0],
    // Nothing can match, or everything does: no row is asked for.
    ["UID SEARCH SEEN SUBJECT plain", 0],
    ["UID SEARCH OR UNSEEN SUBJECT plain", 0],
    [`UID SEARCH UID 1:${FETCH_PAGE} SUBJECT plain`, 1],
    ["UID SEARCH SUBJECT plain", 2],
    ["UID SEARCH 1:9 SINCE 1-Jan-2025 LARGER 3 FROM a@example.org", 1],
    ["UID SEARCH 1:9 OR TEXT needle SENTON 1-Jan-2025", 1],
  ]);
});

test("NOOP and CHECK ask once whether there is news; refusals and leaving ask nothing", async () => {
  const client = await loggedIn();
  await client.command("SELECT INBOX");
  await assertStatements(client, [
    // How a client polls: it must see what any node stored, be its notification late or lost.
    ["NOOP", 1],
    ["CHECK", 1],
    ["STORE 1 +FLAGS (\\Seen)", 0, "NO"],
    ["UID COPY 1 Archive", 0, "NO"],
    ["EXPUNGE", 0, "NO"],
    ["LOGOUT", 0],
  ]);
});

test("IDLE asks once when it begins, and new mail once for all sessions that wait", async () => {
  const clients = [await loggedIn(), await loggedIn(), await loggedIn()];
  for (const client of clients) {
    await client.command("SELECT INBOX");
    service.statements.length = 0;
    client.send("i IDLE\r\n");
    assert.equal(await client.line(), "+ idling");
    // The line goes out before the question: a command that follows shows that it was asked.
    client.send("DONE\r\n");
    assert.match(await client.line(), /^i OK/u);
    assert.equal(service.statements.length, 1);
    client.send("i IDLE\r\n");
    await client.line();
    // The second IDLE asks too: answered, it hears only what comes from now on.
    const end = performance.now() + 60_000;
    while ((service.statements.length < 2 || service.unanswered() > 0) && performance.now() < end)
      await new Promise(resolve => setTimeout(resolve, 10));
    assert.equal(service.statements.length, 2);
  }
  service.statements.length = 0;
  await service.deliver(MESSAGE);
  for (const client of clients) assert.match(await client.line(), /^\* \d+ EXISTS$/u);
  assert.equal(service.statements.length, 1);
  for (const client of clients) {
    assert.equal(await client.line(), "* 0 RECENT");
    client.send("DONE\r\n");
    assert.match(await client.line(), /^i OK/u);
  }
  assert.equal(service.statements.length, 1);
});
