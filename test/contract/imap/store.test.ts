/** STORE over the real store: what is changed, who is told, what is refused, and what is said of it. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { MairustError } from "../../../src/core/errors.ts";
import { mailboxId, messageId } from "../../../src/core/ids.ts";
import type { FlagChange, FlagWriter } from "../../../src/core/ports/flag-writer.ts";
import type { MessageChanges } from "../../../src/core/ports/hooks.ts";
import { createMessageAdmin } from "../../../src/store/admin.ts";
import { createFlagWriter } from "../../../src/store/flag-writer.ts";
import { deleteExpired } from "../../../src/store/housekeeping.ts";
import { createStoredMessages } from "../../../src/store/message-changes.ts";
import type { ImapTestClient } from "../../lib/imap-client.ts";
import { NO_CHANGES } from "../jobs/results-rig.ts";
import { type ImapService, PASSWORD, startImapService, USER } from "./service.ts";

const MESSAGE = "From: a@example.org\r\nSubject: plain\r\n\r\ntext\r\n";

let service: ImapService;
/** Runs before each change of flags. */
let meanwhile: (() => Promise<void>) | undefined;

const interrupted = (writer: FlagWriter): FlagWriter => ({
  async change(change) {
    const work = meanwhile;
    meanwhile = undefined;
    await work?.();
    return writer.change(change);
  },
});

before(async () => {
  service = await startImapService({ writable: true, writer: interrupted });
});
after(() => service?.stop());

async function selected(command = "SELECT INBOX"): Promise<ImapTestClient> {
  const client = await service.client();
  await client.command(`LOGIN ${USER} "${PASSWORD}"`);
  assert.match((await client.command(command)).at(-1) ?? "", /^OK/u);
  return client;
}

/** An empty INBOX with new messages. @returns the UID of the first */
async function filled(count: number): Promise<number> {
  await service.db.run`delete from entries`;
  await service.deliver(MESSAGE, count);
  const [row] = await service.db.query<{ uid: number }>`select min(uid) as uid from entries`;
  return row?.uid ?? 0;
}

const stored = async () =>
  (
    await service.db.query<{ text: string }>`
      select concat_ws(' ', flags, array_to_string(keywords, ' ')) as text from entries order by mailbox_id, uid`
  ).map(row => row.text.trim());

const unseen = async () =>
  (await service.db.query<{ n: number }>`select unseen as n from mailboxes where name = 'INBOX'`)[0]?.n;

async function changeElsewhere(uid: number, changes: Partial<MessageChanges>): Promise<void> {
  const [row] = await service.db.query<{ message_id: string }>`
    select message_id from entries e join mailboxes b on b.id = e.mailbox_id where b.name = 'INBOX' and e.uid = ${uid}`;
  assert.ok(row);
  const request = { messageId: messageId(row.message_id), accounts: [service.account], events: [] };
  const messages = createStoredMessages({ db: service.db, changes: service.changes });
  await messages.apply({ ...request, changes: { ...NO_CHANGES, ...changes }, by: [], job: "test" });
}

const last = (answers: readonly string[]) => answers.at(-1) ?? "";

test("SELECT is read-write and says which flags last, EXAMINE is read-only and STORE is refused there", async () => {
  await filled(1);
  const client = await selected();
  const opened = await client.command("SELECT INBOX");
  assert.match(last(opened), /^OK \[READ-WRITE\]/u);
  assert.ok(
    opened.some(line => line.startsWith("* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Seen \\Draft \\*)]")),
  );
  const examined = await client.command("EXAMINE INBOX");
  assert.match(last(examined), /^OK \[READ-ONLY\]/u);
  assert.ok(examined.some(line => line.startsWith("* OK [PERMANENTFLAGS ()]")));
  assert.match(last(await client.command("STORE 1 +FLAGS (\\Seen)")), /^NO \[NOPERM\]/u);
  assert.deepEqual(await stored(), ["0"]);
});

test("flags and keywords are set, taken away and replaced, counted, and told to the client", async () => {
  const uid = await filled(3);
  const client = await selected();
  const set = await client.command("STORE 1:2 +FLAGS (\\Seen Invoice)");
  assert.match(set[0] ?? "", /^\* FLAGS \(.*Invoice\)$/u);
  assert.match(set[1] ?? "", /^\* 1 FETCH \(.*FLAGS \(\\Seen Invoice\)/u);
  assert.match(set[2] ?? "", /^\* 2 FETCH \(.*FLAGS \(\\Seen Invoice\)/u);
  assert.equal(set.length, 4);
  assert.match(last(set), /^OK/u);
  assert.deepEqual(await stored(), ["1 Invoice", "1 Invoice", "0"]);
  assert.equal(await unseen(), 1);
  // Keywords are the same in any case, and spelled as they were first.
  await client.command(`UID STORE ${uid + 2} FLAGS (invoice \\Flagged)`);
  await client.command("STORE 1 -FLAGS (INVOICE)");
  await client.command("STORE 2 +FLAGS (inVoice)");
  assert.deepEqual(await stored(), ["1", "1 Invoice", "4 Invoice"]);
  await client.command("STORE 1:* FLAGS ()");
  assert.deepEqual(await stored(), ["0", "0", "0"]);
  assert.equal(await unseen(), 3);
  assert.match((await client.command("FETCH 1 (BODY[])"))[0] ?? "", /^\* 1 FETCH/u);
  assert.deepEqual(await stored(), ["0", "0", "0"], "reading sets nothing");
});

test("\\Deleted is never changed, and replacing flags leaves it as it is", async () => {
  const uid = await filled(2);
  await service.db.run`update entries set flags = 8, modseq = modseq + 100 where uid = ${uid}`;
  const client = await selected();
  for (const command of ["+FLAGS (\\Seen \\Deleted)", "FLAGS (\\deleted)", "-FLAGS.SILENT \\Deleted"])
    assert.match(last(await client.command(`STORE 1:2 ${command}`)), /^NO \[NOPERM\] \\Deleted/u);
  assert.deepEqual(await stored(), ["8", "0"]);
  await client.command("STORE 1:2 FLAGS (\\Seen)");
  assert.deepEqual(await stored(), ["9", "1"]);
  for (const command of ["COPY 1 Archive", "EXPUNGE", "UID EXPUNGE 1", "CREATE x"])
    assert.match(last(await client.command(command)), /^NO \[NOPERM\].*only flags can be changed/u);
});

test("what cannot be a flag is BAD, too many or too long keywords are NO, and nothing is changed", async () => {
  await filled(2);
  const client = await selected();
  for (const flags of ["(\\Recent)", "(\\Seen \\Nonsense)"])
    assert.match(last(await client.command(`STORE 1 FLAGS ${flags}`)), /^BAD/u);
  assert.match(last(await client.command("STORE 9 +FLAGS (\\Seen)")), /^BAD/u);
  assert.match(last(await client.command(`STORE 1 +FLAGS (${"x".repeat(65)})`)), /^NO \[LIMIT\]/u);
  const words = (from: number, count: number) =>
    Array.from({ length: count }, (_, i) => `w${from + i}`).join(" ");
  assert.match(last(await client.command(`STORE 1 +FLAGS (${words(0, 65)})`)), /^NO \[LIMIT\]/u);
  assert.deepEqual(await stored(), ["0", "0"]);
  await client.command(`STORE 1 +FLAGS.SILENT (${words(0, 64)})`);
  await client.command(`STORE 1 +FLAGS.SILENT (${words(64, 64)})`);
  // One message of the two has no room: neither is changed.
  assert.match(last(await client.command("STORE 1:2 +FLAGS (more)")), /^NO \[LIMIT\].*128/u);
  assert.equal((await stored())[1], "0");
  assert.match(last(await client.command("STORE 1:2 -FLAGS.SILENT (w1 w2)")), /^OK/u);
});

test("a silent client is told nothing of its own change, and all that others changed meanwhile, once", async () => {
  const uid = await filled(3);
  const client = await selected();
  assert.deepEqual(await client.command("STORE 1:3 +FLAGS.SILENT (\\Answered)"), ["OK STORE completed"]);
  assert.deepEqual(await client.command("NOOP"), ["OK NOOP completed"]);
  meanwhile = async () => {
    await changeElsewhere(uid, { tagsAdd: ["theirs"] });
    await changeElsewhere(uid + 2, { tagsAdd: ["theirs"] });
  };
  const answers = await client.command("STORE 1:2 +FLAGS.SILENT (\\Seen)");
  assert.match(answers[0] ?? "", /^\* FLAGS .*theirs/u);
  assert.match(answers[1] ?? "", /^\* 1 FETCH \(.*FLAGS \(\\Seen \\Answered theirs\)/u);
  assert.match(answers[2] ?? "", /^\* 3 FETCH \(.*FLAGS \(\\Answered theirs\)/u);
  assert.equal(answers.length, 4);
  assert.deepEqual(await client.command("NOOP"), ["OK NOOP completed"]);
  // The other way round: what was asked for and is not what came of it.
  meanwhile = () => changeElsewhere(uid + 1, { tagsAdd: ["mine"] });
  const same = await client.command("STORE 2 +FLAGS.SILENT (mine)");
  assert.match(same[0] ?? "", /^\* FLAGS .*mine/u);
  assert.deepEqual(same.slice(1), ["OK STORE completed"], "it came to what the client takes for granted");
});

test("a client that is answered is told each message once, changed by it, by others or not at all", async () => {
  const uid = await filled(3);
  const client = await selected();
  await client.command("STORE 2 +FLAGS.SILENT (\\Seen)");
  meanwhile = () => changeElsewhere(uid + 2, { tagsAdd: ["late"] });
  const answers = await client.command("STORE 1:2 +FLAGS (\\Seen)");
  assert.deepEqual(
    answers.flatMap(line => /^\* (\d) FETCH/u.exec(line)?.[1] ?? []),
    ["1", "2", "3"],
  );
  assert.deepEqual(await client.command("NOOP"), ["OK NOOP completed"]);
});

test("others see the change at once, in IDLE too, and mail that came or went is announced after the STORE", async () => {
  const uid = await filled(2);
  const [client, watcher] = [await selected(), await selected()];
  watcher.send("i1 IDLE\r\n");
  assert.match(await watcher.line(), /^\+/u);
  await client.command("STORE 2 +FLAGS.SILENT (\\Flagged)");
  assert.match(await watcher.line(), /^\* 2 FETCH \(.*FLAGS \(\\Flagged\)/u);
  meanwhile = () => service.deliver(MESSAGE, 1);
  assert.deepEqual(await client.command("STORE 2 -FLAGS.SILENT (\\Flagged)"), ["OK STORE completed"]);
  assert.ok((await client.command("NOOP")).includes("* 3 EXISTS"));
  meanwhile = async () => {
    await service.db.run`delete from entries where uid = ${uid}`;
  };
  const answers = await client.command("STORE 1:2 +FLAGS.SILENT (\\Seen)");
  assert.deepEqual(answers, ["NO [EXPUNGEISSUED] Some messages were expunged"]);
  assert.deepEqual(await stored(), ["1", "0"]);
  assert.ok((await client.command("NOOP")).includes("* 1 EXPUNGE"));
  meanwhile = async () => {
    await service.db.run`delete from entries where uid = ${uid + 1}`;
  };
  assert.match(last(await client.command(`UID STORE ${uid + 1}:* +FLAGS.SILENT (\\Draft)`)), /^OK/u);
});

test("UNCHANGEDSINCE leaves alone what changed since, and names it", async () => {
  const uid = await filled(5);
  const client = await selected();
  const [row] = await service.db.query<{
    m: number;
  }>`select highest_modseq as m from mailboxes where name = 'INBOX'`;
  const since = row?.m ?? 0;
  for (const changed of [uid + 1, uid + 2, uid + 4]) await changeElsewhere(changed, { tagsAdd: ["x"] });
  await client.command("NOOP");
  const answers = await client.command(`STORE 1:* (UNCHANGEDSINCE ${since}) +FLAGS.SILENT (\\Seen)`);
  assert.match(last(answers), /^OK \[MODIFIED 2:3,5\]/u);
  assert.deepEqual(await stored(), ["1", "0 x", "0 x", "1", "0 x"]);
  const byUid = await client.command(`UID STORE ${uid}:* (UNCHANGEDSINCE ${since}) FLAGS ()`);
  assert.match(last(byUid), new RegExp(`^OK \\[MODIFIED ${uid}:${uid + 4}\\]`, "u"));
  assert.match(last(await client.command("STORE 1 (UNCHANGEDSINCE 0) FLAGS ()")), /^OK \[MODIFIED 1\]/u);
  meanwhile = async () => {
    await service.db.run`delete from entries where uid = ${uid}`;
  };
  const gone = await client.command(`STORE 1:2 (UNCHANGEDSINCE ${since}) FLAGS ()`);
  assert.match(last(gone), /^NO \[MODIFIED 2\]/u);
});

test("thousands of messages are changed page by page, mail comes in between, and a failure says how far it came", async () => {
  await filled(2500);
  const client = await selected();
  let pages = 0;
  const between = async (): Promise<void> => {
    pages += 1;
    await service.deliver(MESSAGE, 1);
    meanwhile = between;
  };
  meanwhile = between;
  assert.deepEqual(await client.command("STORE 1:* +FLAGS.SILENT (\\Seen)"), ["OK STORE completed"]);
  meanwhile = undefined;
  assert.equal(pages, 3);
  assert.equal(await unseen(), 3);
  await client.command("NOOP");
  meanwhile = async () => {
    meanwhile = async () => {
      throw new MairustError("store_unavailable", "Cannot reach it", {
        publicText: "mail storage is not available",
      });
    };
  };
  const half = await client.command("STORE 1:* FLAGS.SILENT (\\Flagged)");
  assert.match(
    last(half),
    /^NO \[UNAVAILABLE\] What was named is changed up to message 1000, the rest is not/u,
  );
  const [{ n } = { n: 0 }] = await service.db.query<{
    n: number;
  }>`select count(*)::int as n from entries where flags = 4`;
  assert.equal(n, 1000);
  assert.deepEqual(await client.command("NOOP"), ["OK NOOP completed"]);
  const [first] = await client.command("FETCH 1 (FLAGS)");
  assert.match(first ?? "", /FLAGS \(\\Flagged\)/u);
});

test("mail is delivered while a client changes a large mailbox, and no delivery waits for all of it", async () => {
  const uid = await filled(1);
  await service.db.query`
    insert into entries (mailbox_id, uid, modseq, message_id, internal_date, size_bytes)
    select e.mailbox_id, e.uid + n, m.highest_modseq + n, e.message_id, e.internal_date, e.size_bytes
    from entries e join mailboxes m on m.id = e.mailbox_id, generate_series(1, 19999) n where e.uid = ${uid}`;
  const client = await selected();
  let isDone = false;
  const storing = client.command("STORE 1:* +FLAGS.SILENT (\\Seen)").finally(() => {
    isDone = true;
  });
  // A delivery that gets no turn is refused after a few seconds.
  let delivered = 0;
  for (; !isDone; delivered += 1) await service.deliver(MESSAGE, 1);
  assert.match(last(await storing), /^OK/u);
  assert.ok(delivered >= 10, `${delivered} in the time of 20 pages`);
  assert.equal(await unseen(), delivered);
});

test("a mailbox that was replaced, and one that somebody holds, are left as they are", async () => {
  const uid = await filled(1);
  const client = await selected();
  const [box] = await service.db.query<{ id: number; v: number }>`
    select id, uidvalidity as v from mailboxes where name = 'INBOX'`;
  const change: FlagChange = {
    ...{
      mailbox: mailboxId(box?.id ?? 0),
      uidValidity: (box?.v ?? 0) + 1,
      uids: Uint32Array.of(uid),
      op: "add",
    },
    ...{ flags: { system: 1, keywords: [] }, unchangedSince: undefined, by: { peer: "x", user: "y" } },
  };
  await assert.rejects(
    createFlagWriter(
      () => service.db,
      () => undefined,
      service.changes,
    ).change(change),
    { code: "not_found" },
  );
  await service.db.begin(async tx => {
    await tx.query`select 1 as one from mailboxes where id = ${box?.id ?? 0} for no key update`;
    assert.match(last(await client.command("STORE 1 +FLAGS (\\Seen)")), /^NO \[UNAVAILABLE\].*busy/u);
  });
  assert.deepEqual(await stored(), ["0"]);
  assert.match(last(await client.command("STORE 1 +FLAGS (\\Seen)")), /^OK/u);
});

test("a change is one event of all its messages: their timelines tell it, and it goes with them", async () => {
  const uid = await filled(3);
  const client = await selected();
  await service.db.run`delete from flag_changes`;
  await client.command("STORE 1:2 +FLAGS (\\Seen work)");
  await client.command("STORE 1:2 +FLAGS (\\Seen work)");
  const rows = await service.db.query`select 1 as one from flag_changes`;
  assert.equal(rows.length, 1, "what changes nothing is no event");
  const [row] = await service.db.query<{
    id: string;
  }>`select message_id as id from entries where uid = ${uid + 1}`;
  const told = async () =>
    (await createMessageAdmin(service.db).timeline(row?.id ?? "")).events.filter(
      event => event.kind === "changed",
    );
  const [event] = await told();
  assert.equal(event?.recipient, USER);
  assert.deepEqual(event?.data.tags_added, ["work"]);
  assert.deepEqual(event?.data.flags_set, ["\\Seen"]);
  assert.match(String(event?.data.by), /^imap user@example\.test from /u);
  await changeElsewhere(uid + 1, { folder: "Sorted" });
  assert.equal((await told()).length, 2, "it is told of the place where the message was");
  await service.db.run`update flag_changes set at = now() - interval '91 days'`;
  assert.equal((await deleteExpired(service.db, { eventsDays: 90, redeliveryWindowS: 60 })).flagChanges, 1);
});
