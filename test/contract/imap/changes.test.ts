/** What jobs change of stored mail, as a client sees it that has the mailbox selected: flags, keywords, and mail that moves away. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { messageId } from "../../../src/core/ids.ts";
import type { MessageChanges } from "../../../src/core/ports/hooks.ts";
import { FLAG_FLAGGED } from "../../../src/core/ports/store.ts";
import { createStoredMessages } from "../../../src/store/message-changes.ts";
import type { ImapTestClient } from "../../lib/imap-client.ts";
import { NO_CHANGES } from "../jobs/results-rig.ts";
import { type ImapService, PASSWORD, startImapService, USER } from "./service.ts";

const MESSAGE = "From: a@example.org\r\nSubject: plain\r\n\r\ntext\r\n";

let service: ImapService;
before(async () => {
  service = await startImapService();
  await service.deliver(MESSAGE, 3);
});
after(() => service?.stop());

async function selected(mailbox: string): Promise<ImapTestClient> {
  const client = await service.client();
  await client.command(`LOGIN ${USER} "${PASSWORD}"`);
  assert.match((await client.command(`SELECT ${mailbox}`)).at(-1) ?? "", /^OK/u);
  return client;
}

/** Of the message that has this UID in INBOX. */
async function change(uid: number, changes: Partial<MessageChanges>): Promise<void> {
  const [row] = await service.db.query<{ message_id: string }>`
    select e.message_id from entries e join mailboxes b on b.id = e.mailbox_id where b.name = 'INBOX' and e.uid = ${uid}`;
  assert.ok(row);
  const request = { messageId: messageId(row.message_id), accounts: [service.account], events: [] };
  const stored = createStoredMessages({ db: service.db, changes: service.changes });
  const [result] = await stored.apply({
    ...request,
    changes: { ...NO_CHANGES, ...changes },
    by: [],
    job: "test",
  });
  assert.equal(result?.outcome, "changed");
}

test("a session in IDLE is told of new flags, and of mail that moves away", async () => {
  const client = await selected("INBOX");
  client.send("i1 IDLE\r\n");
  assert.match(await client.line(), /^\+/u);
  await change(2, { tagsAdd: ["invoice"], systemFlags: FLAG_FLAGGED });
  // A keyword that the mailbox did not have is announced first.
  assert.match(await client.line(), /^\* FLAGS \(.*invoice\)$/u);
  assert.match(await client.line(), /^\* 2 FETCH \(.*FLAGS \((?=[^)]*\\Flagged)(?=[^)]*invoice)/u);
  await change(1, { folder: "Sorted", tagsAdd: ["away"] });
  assert.equal(await client.line(), "* 1 EXPUNGE");
  client.send("DONE\r\n");
  assert.match(await client.line(), /^i1 OK/u);
  assert.match((await client.command("UID SEARCH ALL"))[0] ?? "", /^\* SEARCH 2 3$/u);
});

test("a session of the folder that it moves to sees it arrive, with its tags, a new UID and the same bytes", async () => {
  const folder = await selected("Sorted");
  await change(3, { folder: "Sorted", tagsAdd: ["moved"] });
  const noop = await folder.command("NOOP");
  assert.ok(noop.includes("* 2 EXISTS"), noop.join("\n"));
  const [fetched] = await folder.command("UID FETCH 2 (FLAGS BODY.PEEK[TEXT] RFC822.SIZE)");
  assert.match(fetched ?? "", /FLAGS \([^)]*moved/u);
  assert.match(fetched ?? "", /text\r\n/u);
  const [status] = await folder.command("STATUS INBOX (MESSAGES UIDNEXT)");
  assert.match(status ?? "", /MESSAGES 1 UIDNEXT 4/u);
});
