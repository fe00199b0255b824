/** The IMAP server over the real store: PostgreSQL, blobs in files, and every statement that is sent for IMAP written down. */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseMailAddress } from "../../../src/core/envelope.ts";
import { messageId } from "../../../src/core/ids.ts";
import type { BlobStore } from "../../../src/core/ports/blobs.ts";
import type { FlagWriter } from "../../../src/core/ports/flag-writer.ts";
import { uuid7Generator } from "../../../src/platform/uuid7.ts";
import { DOVECOT } from "../../../src/protocols/imap/profile.ts";
import { createImapServer } from "../../../src/protocols/imap/server.ts";
import { createAccount } from "../../../src/store/accounts.ts";
import { openFsBlobs } from "../../../src/store/blobs-fs.ts";
import { MailboxChanges } from "../../../src/store/changes.ts";
import type { Db, Queryable } from "../../../src/store/db.ts";
import { type DbOf, imapShare, type OwnerOf, shareOf } from "../../../src/store/db-share.ts";
import { statementOf } from "../../../src/store/db-values.ts";
import { createMessageStore } from "../../../src/store/deliver.ts";
import { StoreDirectory } from "../../../src/store/directory.ts";
import { createFlagWriter } from "../../../src/store/flag-writer.ts";
import { createAuthenticator } from "../../../src/store/login.ts";
import { MailboxHub } from "../../../src/store/mailbox-hub.ts";
import { createMailboxReader } from "../../../src/store/mailboxes.ts";
import { createMessageKeyStore } from "../../../src/store/message-keys.ts";
import { createMessageOrder } from "../../../src/store/message-order.ts";
import { createUserPasswords, hashPassword } from "../../../src/store/passwords.ts";
import { silentLog, startTestDatabase } from "../../lib/database.ts";
import { ImapTestClient } from "../../lib/imap-client.ts";
import { plainDelivery } from "../../lib/plain-delivery.ts";

export const USER = "user@example.test";
export const PASSWORD = "pass word";
/** Connections of the test database. */
const POOL = 10;
export const MASTER = { user: "dovecot", password: "master" };

export type ImapService = Awaited<ReturnType<typeof startImapService>>;

/** What a database was asked for. */
interface Written {
  readonly statements: string[];
  /** What was bound to each statement outside of a transaction; nothing: a transaction. */
  readonly operations: (readonly unknown[])[];
  under: number;
}

/** A database that writes down each statement before it goes on its way, those of transactions too. */
function written(db: Db, notes: Written): Db {
  const answered = async <T>(answer: Promise<T>): Promise<T> => {
    notes.under += 1;
    try {
      return await answer;
    } finally {
      notes.under -= 1;
    }
  };
  const noting = (inner: Queryable): Queryable => ({
    query(strings, ...values) {
      notes.statements.push(strings.join("…"));
      return answered(inner.query(strings, ...values));
    },
    run(strings, ...values) {
      notes.statements.push(strings.join("…"));
      return answered(inner.run(strings, ...values));
    },
  });
  const outside = noting(db);
  return {
    query(strings, ...values) {
      notes.operations.push(statementOf(strings, values).parameters);
      return outside.query(strings, ...values);
    },
    run(strings, ...values) {
      notes.operations.push(statementOf(strings, values).parameters);
      return outside.run(strings, ...values);
    },
    begin(work, options, deadline) {
      notes.operations.push([]);
      return db.begin(
        tx => work({ ...tx, ...noting(tx), script: text => tx.script(text) }),
        options,
        deadline,
      );
    },
    listen: (...args) => db.listen(...args),
    notify: (...args) => db.notify(...args),
    get counts() {
      return db.counts;
    },
    close: deadline => db.close(deadline),
  };
}

export interface ImapServiceOptions {
  /** Clients may change flags. */
  readonly writable?: boolean;
  /** What stands before the writer of flags. */
  readonly writer?: (writer: FlagWriter) => FlagWriter;
}

type ImapNode = Awaited<ReturnType<typeof startNode>>;

/** One IMAP server and what stands behind it, as one process of the service has it. */
async function startNode({
  db: dbOf,
  blobs,
  writer,
}: {
  readonly db: DbOf;
  readonly blobs: BlobStore;
  /** Undefined: read-only. */
  readonly writer: ((own: FlagWriter) => FlagWriter) | undefined;
}) {
  const db = dbOf(undefined);
  const changes = new MailboxChanges(db, silentLog);
  const hub = new MailboxHub(dbOf, changes, silentLog);
  const reader = createMailboxReader(dbOf, hub);
  const ownerOf: OwnerOf = mailbox => hub.ownerOf(mailbox);
  const keys = createMessageKeyStore({ db, blobs, log: silentLog });
  const server = createImapServer({
    ...(writer === undefined ? {} : { writer: writer(createFlagWriter(dbOf, ownerOf, changes)) }),
    config: { hostname: "mail.test", connections: 100, connectionsPerUser: 100 },
    limits: { loginDelayMs: 1 },
    reader,
    blobs,
    order: createMessageOrder(dbOf, ownerOf, keysDb =>
      createMessageKeyStore({ db: keysDb, blobs, log: silentLog }),
    ),
    authenticator: createAuthenticator({
      directory: new StoreDirectory(db),
      masterUser: MASTER.user,
      masterPassword: MASTER.password,
      users: createUserPasswords(dbOf, Date.now),
      now: Date.now,
    }),
    log: silentLog,
    metrics: {
      command: () => undefined,
      connection: () => undefined,
      unreadable: () => undefined,
      loginFailed: () => undefined,
    },
  });
  const listener = createServer({ noDelay: true }, socket => server.handleConnection(socket, DOVECOT));
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  return {
    ...{ changes, hub, reader, keys },
    port: (listener.address() as AddressInfo).port,
    async stop() {
      await server.close();
      listener.close();
      hub.close();
      await changes.stop();
    },
  };
}

export async function startImapService({ writable = false, writer = own => own }: ImapServiceOptions = {}) {
  const database = await startTestDatabase();
  const { db } = database;
  const folder = mkdtempSync(join(tmpdir(), "mr-imap-"));
  const blobs = await openFsBlobs({
    path: folder,
    compression: "none",
    minFreeBytes: () => 0,
    log: silentLog,
  });
  await db.query`insert into domains (name, accounts) values ('example.test', 'listed')`;
  const passwordHash = await hashPassword(PASSWORD);
  const addAccount = async (address: string) => {
    const { id } = await db.begin(tx => createAccount(tx, parseMailAddress(address)));
    await db.run`update accounts set password_hash = ${passwordHash} where id = ${id}`;
    return id;
  };
  const account = await addAccount(USER);

  const notes: Written = { statements: [], operations: [], under: 0 };
  const imapDb = written(db, notes);
  const clients: ImapTestClient[] = [];
  const node = await startNode({
    db: shareOf(imapDb, imapShare(POOL)),
    blobs,
    writer: writable ? writer : undefined,
  });
  const others: ImapNode[] = [];
  const { changes, reader, keys } = node;
  const clientOf = async (port: number) => {
    const client = new ImapTestClient(port);
    clients.push(client);
    await client.line();
    return client;
  };

  const store = createMessageStore({
    db,
    changes,
    log: silentLog,
    redeliveryWindowS: () => 60,
    confirmBlob: digest => blobs.confirm(digest),
    onCommit: () => undefined,
  });
  const newId = uuid7Generator();
  return {
    db,
    /** Another node's connections to the database. */
    openDb: () => database.open(),
    /** The same database; its statements are written down. */
    imapDb,
    keys,
    changes,
    reader,
    account,
    /** With the same password. */
    addAccount,
    /** Sent for IMAP so far; empty it before what is to be counted. */
    statements: notes.statements,
    /** The same of what took a connection: what was bound to a statement, nothing for a transaction. */
    operations: notes.operations,
    /** Statements that were sent and have no answer yet. */
    unanswered: () => notes.under,
    client: () => clientOf(node.port),
    /** Another node on the same database, which hears of changes by NOTIFY as the first one does. @returns clients of it */
    async otherNode(): Promise<() => Promise<ImapTestClient>> {
      const otherDb = await database.open();
      const other = await startNode({
        db: () => otherDb,
        blobs,
        writer: writable ? writer : undefined,
      });
      others.push(other);
      if (others.length === 1) await changes.start();
      await other.changes.start();
      return () => clientOf(other.port);
    },
    /** The same text `count` times in INBOX. */
    async deliver(
      text: string,
      count = 1,
      arrival = new Date(),
      to = { account, recipient: USER },
    ): Promise<void> {
      const bytes = Buffer.from(text);
      const stage = blobs.stage();
      await stage.write(bytes);
      const staged = await stage.finish();
      const blob = await staged.persist();
      await staged.discard();
      const one = () => {
        const delivery = plainDelivery({ id: messageId(newId()), ...to, blob, bytes });
        const targets = delivery.targets.map(target => ({ ...target, internalDate: arrival }));
        return store.deliver({ ...delivery, targets });
      };
      await Promise.all(Array.from({ length: count }, one));
    },
    async stop(): Promise<void> {
      for (const client of clients) client.close();
      for (const one of [node, ...others]) await one.stop();
      await blobs.close();
      await database.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
