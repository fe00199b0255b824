/** What IMAP may hold of the database: clients that keep it busy do not keep mail from being delivered. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { MairustError } from "../../../src/core/errors.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { imapShare, shareOf } from "../../../src/store/db-share.ts";
import type { ImapTestClient } from "../../lib/imap-client.ts";
import { type ImapService, PASSWORD, startImapService, USER } from "./service.ts";

const MESSAGE = "From: a@example.org\r\nSubject: plain\r\n\r\ntext\r\n";
/** More than the pool has connections. */
const CLIENTS = 24;

let service: ImapService;

before(async () => {
  service = await startImapService({ writable: true });
});
after(() => service?.stop());

const loggedIn = (): Promise<ImapTestClient[]> =>
  Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      const client = await service.client();
      await client.command(`LOGIN ${USER} "${PASSWORD}"`);
      return client;
    }),
  );

async function selected(user: string): Promise<ImapTestClient> {
  const client = await service.client();
  await client.command(`LOGIN ${user} "${PASSWORD}"`);
  await client.command("SELECT INBOX");
  return client;
}

/** Resolves when so many statements were sent for IMAP. */
async function sent(count: number): Promise<void> {
  while (service.statements.length < count) await new Promise(resolve => setImmediate(resolve));
}

/** Resolves when so many turns began. */
async function started(count: number): Promise<void> {
  while (service.operations.length < count) await new Promise(resolve => setImmediate(resolve));
}

/** Holds the subscriptions, which delivering does not look at, so that whoever asks for them waits with its connection. */
const holdSubscriptions = () => hold("lock table subscriptions in access exclusive mode");

async function hold(what: string): Promise<() => Promise<void>> {
  const other = await service.openDb();
  const events = new EventTarget();
  const held = once(events, "held");
  const released = once(events, "released");
  const holding = other.begin(async tx => {
    await tx.script(what);
    events.dispatchEvent(new Event("held"));
    await released;
  });
  await held;
  return async () => {
    events.dispatchEvent(new Event("released"));
    await holding;
  };
}

test("mail is delivered while one user's connections wait in the database", async () => {
  const clients = await loggedIn();
  const release = await holdSubscriptions();
  service.statements.length = 0;
  const answers = clients.map((client, i) => client.command(`SUBSCRIBE box${i}`));
  await sent(imapShare(10));
  try {
    assert.equal(service.db.counts.busy, imapShare(10));
    await service.deliver(MESSAGE, 3);
    assert.equal(service.statements.length, imapShare(10), "the others wait outside of the database");
  } finally {
    await release();
  }
  for (const answer of await Promise.all(answers)) assert.match(answer.at(-1) ?? "", /^OK/u);
  for (const client of clients) client.close();
});

/** Of one account, and what each third of them does: all at once, more than the share takes. */
const CROWD = 30;
const HEAVY = ["FETCH 1:* (ENVELOPE)", "SEARCH SUBJECT nothing", "STORE 1:* FLAGS.SILENT (\\Seen)"];
const SORT = "SORT (ARRIVAL) UTF-8 ALL";
/** Unlike any other number that is bound to a statement. */
const FIRST_MAILBOX = 5_000_000;

/** What one of another account asks, and how many of the crowd's turns there are for it. */
const WAITING = [
  { command: "NOOP", heavy: HEAVY, turns: imapShare(10) },
  { command: "FETCH 1 (ENVELOPE)", heavy: HEAVY, turns: imapShare(10) },
  { command: SORT, heavy: [SORT], turns: 2 },
];

for (const { command, heavy, turns } of WAITING) {
  test(`${command} waits for a turn of an account with ${CROWD} connections, not for all that they ask for`, async () => {
    await service.deliver(MESSAGE, 3);
    const crowd = await Promise.all(Array.from({ length: CROWD }, () => selected(USER)));
    const recipient = `${command.split(" ")[0]?.toLowerCase()}@example.test`;
    await service.db.query`
      select setval(pg_get_serial_sequence('mailboxes', 'id'), greatest(${FIRST_MAILBOX}, (select max(id) from mailboxes)))`;
    const account = await service.addAccount(recipient);
    await service.deliver(MESSAGE, 2, new Date(), { account, recipient });
    const other = await selected(recipient);
    const [box] = await service.db.query<{
      id: number;
    }>`select id from mailboxes where account_id = ${account} and name = 'INBOX'`;
    const release = await hold("lock table entries in access exclusive mode");
    service.operations.length = 0;
    const answers = crowd.map((client, i) => client.command(heavy[i % heavy.length] ?? ""));
    // Who is greeted after them comes after them.
    (await service.client()).close();
    answers.push(other.command(command));
    (await service.client()).close();
    await started(turns);
    assert.equal(service.operations.length, turns, "all turns are taken, and are not over");
    await release();
    for (const answer of await Promise.all(answers)) assert.match(answer.at(-1) ?? "", /^OK/u);
    for (const client of [...crowd, other]) client.close();
    const turn = service.operations.findIndex(values => values.includes(box?.id));
    // The crowd was there before: the first turn that ends is followed by one of it.
    const line = service.operations
      .slice(0, turn + 1)
      .map(values => values.join(" "))
      .join("\n");
    assert.equal(turn, turns + 1, line);
  });
}

test("each login has a turn of its own beside an account whose connections wait, not one for all of them", async () => {
  const names = ["first", "second", "third"];
  for (const name of names) await service.addAccount(`${name}-login@example.test`);
  const crowd = await loggedIn();
  const others = await Promise.all(names.map(() => service.client()));
  const release = await holdSubscriptions();
  service.operations.length = 0;
  const answers = crowd.map((client, i) => client.command(`SUBSCRIBE box${i}`));
  (await service.client()).close();
  answers.push(
    ...names.map((name, i) =>
      (others[i] as ImapTestClient).command(`LOGIN ${name}-login@example.test "${PASSWORD}"`),
    ),
  );
  (await service.client()).close();
  await started(imapShare(10));
  await release();
  for (const answer of await Promise.all(answers)) assert.match(answer.at(-1) ?? "", /^OK/u);
  for (const client of [...crowd, ...others]) client.close();
  const isLogin = (values: readonly unknown[]) => values.some(value => String(value).endsWith("-login"));
  const turns = service.operations.flatMap((values, i) => (isLogin(values) ? [i] : []));
  // Behind those that run, and one of the crowd, which was there before.
  const first = imapShare(10) + 1;
  assert.deepEqual(turns, [first, first + 1, first + 2]);
});

test("changes of one mailbox wait for each other with one connection", async () => {
  await service.deliver(MESSAGE);
  const clients = await loggedIn();
  for (const client of clients) await client.command("SELECT INBOX");
  const release = await hold("select from mailboxes for no key update");
  service.statements.length = 0;
  const answers = clients.map(client => client.command("STORE 1 +FLAGS (\\Flagged)"));
  try {
    await sent(2);
    // Each has its turn on this side of the network by now.
    for (const client of await loggedIn()) client.close();
    assert.equal(service.unanswered(), 1);
  } finally {
    await release();
  }
  for (const answer of await Promise.all(answers)) assert.match(answer.at(-1) ?? "", /^OK/u);
  for (const client of clients) client.close();
});

test("who waits for a turn too long is told to come again, and leaves the line", async () => {
  const share = shareOf(service.db, 1, 20)(undefined);
  const release = await holdSubscriptions();
  const first = share.query`select count(*) from subscriptions`;
  try {
    const error = await share.query`select 1 as one`.then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    assert.ok(error instanceof MairustError && error.code === "store_unavailable", String(error));
    assert.equal(error.publicText, "mail storage is busy, try again");
  } finally {
    await release();
  }
  await first;
  const wait = deadlineAfter(5_000);
  assert.deepEqual(await share.begin(tx => tx.query`select 1 as one`, {}, wait), [{ one: 1 }]);
  wait.dispose();
});

test("IMAP has half of the connections, and always one", () => {
  assert.deepEqual([1, 2, 3, 10, 200].map(imapShare), [1, 1, 1, 5, 100]);
});
