/** The index behind SEARCH over a real database: what its job makes, and that no answer differs from reading every message. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { after, before, test } from "node:test";
import { parseMailAddress } from "../../../src/core/envelope.ts";
import { accountId, type MailboxId, mailboxId, messageId } from "../../../src/core/ids.ts";
import { gramsOfNeedle } from "../../../src/core/mail-text/grams.ts";
import { indexVersion } from "../../../src/core/mail-text/limits.ts";
import type { BodyIndex } from "../../../src/core/ports/body-index.ts";
import type { IndexOutcome } from "../../../src/core/ports/imap-texts.ts";
import { headerFieldLines } from "../../../src/delivery/prefix.ts";
import {
  createImapTextHandler,
  IMAP_TEXT_JOB,
  type ImapTextOptions,
} from "../../../src/jobs/handlers/imap-text.ts";
import { JobWorker } from "../../../src/jobs/worker.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { uuid7Generator } from "../../../src/platform/uuid7.ts";
import { DOVECOT } from "../../../src/protocols/imap/profile.ts";
import { createImapServer } from "../../../src/protocols/imap/server.ts";
import { createAccount } from "../../../src/store/accounts.ts";
import { createBodyIndex } from "../../../src/store/body-index.ts";
import { createMessageStore } from "../../../src/store/deliver.ts";
import { createImapTextStore } from "../../../src/store/imap-texts.ts";
import { MailboxHub } from "../../../src/store/mailbox-hub.ts";
import { createMailboxReader } from "../../../src/store/mailboxes.ts";
import { silentLog } from "../../lib/database.ts";
import { ImapTestClient } from "../../lib/imap-client.ts";
import { plainDelivery } from "../../lib/plain-delivery.ts";
import { SeededRandom } from "../../lib/random.ts";
import { needle, oddMail } from "../../lib/search-mail.ts";
import { type Mailroom, ODD_PROCESS, openMailroom } from "../jobs/support.ts";

const VERSION = indexVersion(process.versions.unicode ?? "");
const newId = uuid7Generator();

let room: Mailroom;
let hub: MailboxHub;
const ends: Array<() => void> = [];
before(async () => {
  room = await openMailroom();
  hub = new MailboxHub(() => room.db, room.changes, silentLog);
});
after(async () => {
  for (const end of ends) end();
  hub.close();
  await room.close();
});

/** One run of the job, until there is nothing left to do. */
async function index(
  options: Partial<ImapTextOptions> = {},
  version = VERSION,
): Promise<readonly IndexOutcome[]> {
  const outcomes: IndexOutcome[] = [];
  const handler = createImapTextHandler({
    store: createImapTextStore(room.db, version),
    blobs: room.blobs,
    log: silentLog,
    now: Date.now,
    onMade: outcome => outcomes.push(outcome),
    ...options,
    limits: { lingerMs: 1, ...options.limits },
  });
  let release: () => void = () => undefined;
  const ended = new Promise<void>(resolve => {
    release = resolve;
  });
  const worker = new JobWorker({
    queue: room.queue,
    handlers: [{ kind: handler.kind, concurrency: 1, run: run => handler.run(run).then(release) }],
    owner: `test-${newId()}`,
    log: silentLog,
    random: () => 0,
    limits: { pollMs: 50 },
    backOff: { firstMs: 20, maxMs: 20 },
  });
  worker.start();
  await room.queue.makeDue(IMAP_TEXT_JOB);
  worker.wake();
  await ended;
  const deadline = deadlineAfter(30_000);
  await worker.stop(deadline);
  deadline.dispose();
  return outcomes;
}

/** An account with an INBOX of its own, and clients that search it with an index and without. */
async function inbox(name: string) {
  const address = `${name}@example.test`;
  const { id } = await room.db.begin(tx => createAccount(tx, parseMailAddress(address)));
  const account = accountId(id);
  const store = createMessageStore({
    db: room.db,
    changes: room.changes,
    log: silentLog,
    redeliveryWindowS: () => 60,
    confirmBlob: digest => room.blobs.confirm(digest),
    onCommit: () => undefined,
  });
  const client = async (bodyIndex?: BodyIndex) => {
    const server = createImapServer({
      config: { hostname: "mail.test", connections: 10, connectionsPerUser: 10 },
      reader: createMailboxReader(() => room.db, hub),
      blobs: room.blobs,
      authenticator: {
        login: async () => ({
          id: account,
          address,
          domain: "example.test",
          quotaBytes: 0,
          usedBytes: 0,
          usedMessages: 0,
        }),
      },
      ...(bodyIndex === undefined ? {} : { bodyIndex }),
      log: silentLog,
      metrics: { command() {}, connection() {}, unreadable() {}, loginFailed() {} },
    });
    const listener = createServer(socket => server.handleConnection(socket, DOVECOT));
    listener.listen(0, "127.0.0.1");
    await once(listener, "listening");
    const opened = new ImapTestClient((listener.address() as AddressInfo).port);
    ends.push(() => {
      opened.close();
      void server.close();
      listener.close();
    });
    await opened.line();
    await opened.command(`LOGIN ${address} x`);
    await opened.command("SELECT INBOX");
    return opened;
  };
  return {
    account,
    client,
    async deliver(bytes: Buffer, prefix = "Return-Path: <sender@example.net>\r\n"): Promise<string> {
      const stage = room.blobs.stage();
      await stage.write(bytes);
      const staged = await stage.finish();
      const blob = await staged.persist();
      await staged.discard();
      const id = messageId(newId());
      const delivery = plainDelivery({ id, account, recipient: address, blob, bytes });
      const targets = delivery.targets.map(target => ({ ...target, prefix: Buffer.from(prefix) }));
      await store.deliver({ ...delivery, targets });
      return id;
    },
  };
}

const literal = (text: string) => {
  const octets = Buffer.from(text);
  return `{${octets.length}+}\r\n${octets.toString("latin1")}`;
};

const PREFIXES = [
  "Return-Path: <sender@example.net>\r\nDelivered-To: taro@example.test\r\nReceived: from mx.example.net (192.0.2.1)\r\n\tby mail.example.test with LMTP id 0198;\r\n\tSat, 21 Nov 2026 01:02:03 +0000\r\n",
  // Each alone: one odd field makes the whole prefix odd.
  headerFieldLines([["X-Odd", "会議のお知らせ 第3回"]]),
  headerFieldLines([["X-Odd", "The quarterly figures"]]),
  headerFieldLines([["X-Spaced", "  two  spaces \\ backslash"]]),
  "",
];
const PREFIX_NEEDLES = [
  "example.net (192",
  "id 0198;\tSat",
  "TARO@",
  "会議",
  "x-spaced: two",
  "\\ backslash",
  "quarterly",
  "Odd: The",
];

test("no answer differs from reading every message, with the index absent, half made, whole, and of another version", async () => {
  const random = new SeededRandom(11);
  const box = await inbox("hanako");
  const ids: string[] = [];
  for (let i = 0; i < 60; i += 1) ids.push(await box.deliver(oddMail(random), random.pick(PREFIXES)));
  const plain = await box.client();
  let indexed = await box.client(
    createBodyIndex(
      () => room.db,
      () => undefined,
      VERSION,
    ),
  );
  let found = 0;
  const compare = async (state: string) => {
    for (let i = 0; i < 40; i += 1) {
      const text = random.chance(0.3) ? random.pick(PREFIX_NEEDLES) : needle(random);
      const field = random.pick([
        "BODY",
        "TEXT",
        "SUBJECT",
        "HEADER x-odd",
        "HEADER received",
        "HEADER X-Spaced",
      ]);
      const key = `${random.chance(0.2) ? "NOT " : ""}${field} ${literal(text)}`;
      const expected = await plain.command(`UID SEARCH ${key}`);
      assert.deepEqual(await indexed.command(`UID SEARCH ${key}`), expected, `${state}: ${key}`);
      if (expected[0] !== "* SEARCH") found += 1;
    }
  };
  await compare("absent");
  const made = await index();
  assert.equal(made.length, 60);
  assert.ok(made.filter(outcome => outcome === "complete").length > 40, made.join());
  await compare("whole");
  const spoil = [
    (id: string) => room.db.run`delete from imap_texts where message_id = ${id}::uuid`,
    (id: string) =>
      room.db
        .run`update imap_texts set version = ${VERSION - 1}::smallint, grams = '{}' where message_id = ${id}::uuid`,
    (id: string) =>
      room.db.run`update imap_texts set complete = false, grams = '{}' where message_id = ${id}::uuid`,
    async () => 0,
  ];
  for (const id of ids) await random.pick(spoil)(id);
  // What one node saw indexed stays so while it runs; this is another one.
  indexed = await box.client(
    createBodyIndex(
      () => room.db,
      () => undefined,
      VERSION,
    ),
  );
  await compare("half");
  assert.ok(found > 30, `${found}`);
});

/** Asks one index about the UIDs up to `count` of an account's INBOX. */
async function asking(box: Awaited<ReturnType<typeof inbox>>, hitsMax?: number) {
  const [row] = await room.db.query<{ id: number }>`
    select id from mailboxes where account_id = ${box.account} and name = 'INBOX'`;
  const bodyIndex = createBodyIndex(
    () => room.db,
    () => undefined,
    VERSION,
    hitsMax,
  );
  const { signal } = new AbortController();
  return async (folded: string, where: "body" | "text" | "header", count: number, from = 1) => {
    const uids = Uint32Array.from({ length: count - from + 1 }, (_, i) => i + from);
    const found = await bodyIndex.candidates(mailboxId(row?.id ?? 0), uids, { folded, where }, signal);
    return found === undefined ? undefined : [...found];
  };
}

const mail = (i: number) =>
  Buffer.from(
    `Subject: number ${1000 + i}\r\n\r\n${i % 30 === 0 ? "platypus and 会議" : "a wombat"} ${i}\r\n`,
  );

test("the index names few of many messages, and only of the mailbox that is asked about", async () => {
  const box = await inbox("jiro");
  const other = await inbox("saburo");
  for (let i = 1; i <= 40; i += 1) await box.deliver(mail(i));
  await other.deliver(mail(30));
  await index();
  const ask = await asking(box);
  assert.deepEqual(await ask("platypus", "body", 40), [30]);
  assert.deepEqual(await ask("platypus", "body", 40, 31), []);
  assert.deepEqual(await ask("会議", "text", 40), [30]);
  assert.deepEqual(await ask("number 1030", "header", 40), [30]);
  assert.deepEqual(await ask("number", "body", 40), []);
  assert.deepEqual(await ask("echidna", "text", 40), []);
  assert.equal((await ask("sender@example.net", "text", 40))?.length, 40, "put in front of each");
  assert.equal(await ask("会", "body", 40), undefined);
  assert.equal(await ask("a w", "body", 40), undefined);
});

test("a word of many messages elsewhere finds all of a small mailbox", async () => {
  const [box, other] = [await inbox("nao"), await inbox("mei")];
  for (let i = 1; i <= 30; i += 1) await other.deliver(mail(i));
  for (let i = 28; i <= 31; i += 1) await box.deliver(mail(i));
  await index();
  const ask = await asking(box, 6);
  assert.deepEqual(await ask("wombat", "body", 4), [1, 2, 4]);
  assert.deepEqual(await ask("platypus", "body", 4), [3], "few by the index");
  assert.deepEqual(await ask("number 10", "text", 3), [1, 2, 3]);
});

test("what deliveries put in front is in the index; an entry that got something else later may hold any text", async () => {
  const box = await inbox("nanako");
  const first = await box.deliver(mail(1), "X-Odd: none\r\n");
  for (let i = 2; i <= 20; i += 1)
    await box.deliver(mail(i), i === 7 ? "X-Odd: =?UTF-8?B?5Lya6K2w?=\r\n" : "");
  const late = Buffer.from("Delivered-To: quokka@example.test\r\n");
  await room.db.run`
    insert into relay_copies (message_id, kind, account_id, address, domain, mailbox, flags, keywords, internal_date, prefix, metadata, wishes)
    values (${first}::uuid, 'mirror', ${box.account}, 'nanako@example.test', 'example.test', 'INBOX', 0, '{}', now(), ${late}, '{}', '[]')`;
  await index();
  const become = (prefix: Buffer) => room.db.run`
    insert into entries (mailbox_id, uid, modseq, message_id, internal_date, prefix, size_bytes)
    select m.id, m.uidnext, m.highest_modseq + 1, ${first}::uuid, now(), ${prefix}, 1000
    from mailboxes m where m.account_id = ${box.account} and m.name = 'INBOX'`;
  await become(late);
  await become(Buffer.from("Delivered-To: numbat@example.test\r\n"));
  const ask = await asking(box);
  assert.deepEqual(await ask("会議", "header", 22), [7, 22]);
  assert.deepEqual(await ask("quokka", "text", 22), [1, 21, 22]);
  assert.deepEqual(await ask("numbat", "text", 22), [22]);
  assert.deepEqual(await ask("quokka", "header", 22), [1, 21, 22], "with what is remembered");
});

test("what came since the last search may hold any text until it is indexed; so may all once another version is made", async () => {
  const box = await inbox("rokuro");
  for (let i = 1; i <= 20; i += 1) await box.deliver(mail(i));
  await index();
  const ask = await asking(box);
  assert.deepEqual(await ask("platypus", "body", 20), []);
  for (let i = 21; i <= 40; i += 1) await box.deliver(mail(i));
  const added = Array.from({ length: 20 }, (_, i) => i + 21);
  assert.deepEqual(await ask("platypus", "body", 40), added);
  assert.deepEqual(await ask("platypus", "body", 40), added);
  assert.deepEqual(await ask("wombat", "body", 25, 24), [24, 25]);
  await index();
  assert.deepEqual(await ask("platypus", "body", 40), [30]);
  await room.db.run`update imap_texts set version = ${VERSION + 1}::smallint`;
  await room.db.run`update imap_text_progress set version = ${VERSION + 1}::smallint`;
  assert.equal((await ask("platypus", "body", 40))?.length, 40);
  await room.db.run`update imap_texts set version = ${VERSION}::smallint`;
  await room.db.run`update imap_text_progress set version = ${VERSION}::smallint`;
});

test("each message gets its grams and its preview; what cannot be read or takes too long may hold any text", async () => {
  const box = await inbox("shiro");
  const good = await box.deliver(Buffer.from("Subject: x\r\n\r\nSee  you\r\nat the 会議\r\n"));
  const html = await box.deliver(
    Buffer.from("Content-Type: text/html\r\n\r\n<style>p{}</style><p>Hello <b>you</b></p>\r\n"),
  );
  const hanging = await box.deliver(Buffer.from("Subject: y\r\n\r\nplease hang\r\n"));
  const front = await box.deliver(Buffer.from(" goes on\r\nSubject: z\r\n\r\nbody\r\n"));
  const outcomes = await index({ processEntry: ODD_INDEX, limits: { deadlineMs: 3_000, lingerMs: 1 } });
  assert.deepEqual([...outcomes].sort(), ["complete", "complete", "failed", "incomplete"]);
  const of = async (id: string) =>
    (
      await room.db.query<{ complete: boolean; preview: string | null; grams: number[] }>`
        select complete, preview, grams from imap_texts where message_id = ${id}::uuid`
    )[0];
  assert.deepEqual(
    { ...(await of(good)), grams: undefined },
    { complete: true, preview: "See you at the 会議", grams: undefined },
  );
  for (const gram of gramsOfNeedle("会議", "body")) assert.ok((await of(good))?.grams.includes(gram));
  assert.equal((await of(html))?.preview, "Hello you");
  assert.deepEqual(await of(hanging), { complete: false, preview: null, grams: [] });
  assert.deepEqual(await of(front), { complete: false, preview: "body", grams: [] });
  assert.deepEqual(await index(), [], "nothing is made twice");
});

test("what a newer version made is neither made again nor relied on; a newer version makes all again", async () => {
  const box = await inbox("goro");
  const id = await box.deliver(Buffer.from("Subject: x\r\n\r\nnumbat\r\n"));
  await index();
  assert.ok((await index({}, VERSION + 1)).length > 0);
  assert.deepEqual(await index({}, VERSION), []);
  const [row] = await room.db.query<{ version: number }>`
    select version from imap_texts where message_id = ${id}::uuid`;
  assert.equal(row?.version, VERSION + 1);
});

/** As `ODD_PROCESS`, for the index. */
const ODD_INDEX = new URL(ODD_PROCESS.href.replace("odd-process", "odd-index-process"));

test("accounts take turns at the index: nobody waits behind all that another one searches for", async () => {
  const [crowd, other] = [accountId(1), accountId(2)];
  const others = mailboxId(2000);
  const turns: unknown[] = [];
  const dbOf = (account: unknown) => {
    turns.push(account);
    return room.db;
  };
  const ownerOf = (mailbox: MailboxId) => (mailbox === others ? other : crowd);
  const searches = createBodyIndex(dbOf, ownerOf, VERSION);
  const never = new AbortController().signal;
  const ask = (mailbox: MailboxId) =>
    searches.candidates(mailbox, Uint32Array.of(1), { folded: "nothing", where: "body" }, never);
  await Promise.all([...Array.from({ length: 20 }, (_, i) => ask(mailboxId(i + 1000))), ask(others)]);
  assert.equal(turns.length, 21);
  // Two at a time; of those that wait, one of the crowd was first.
  assert.equal(turns.indexOf(other), 3);
});
