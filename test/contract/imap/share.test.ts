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

/** Resolves when so many statements were sent for IMAP. */
async function sent(count: number): Promise<void> {
  while (service.statements.length < count) await new Promise(resolve => setImmediate(resolve));
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
});

test("who waits for a turn too long is told to come again, and leaves the line", async () => {
  const share = shareOf(service.db, 1, 20);
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
