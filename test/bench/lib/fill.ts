/**
 * Large mailboxes in little time, the same content on both sides. Ours: through the store's own code, in this process, on the
 * database and the blob folder of the running service. Dovecot: Maildir files as its LMTP would have written them (LF, sizes in the name).
 */
import { chownSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseMailAddress } from "../../../src/core/envelope.ts";
import { accountId, messageId } from "../../../src/core/ids.ts";
import { countLf } from "../../../src/core/mime/count-lf.ts";
import type { MessageStore } from "../../../src/core/ports/store.ts";
import { deliveryPrefix } from "../../../src/delivery/prefix.ts";
import { MessageReceiver, messageColumns } from "../../../src/delivery/received-message.ts";
import { MAIL_UID } from "../../../src/mailhost/dovecot-config.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { uuid7Generator } from "../../../src/platform/uuid7.ts";
import { type FsBlobStore, openFsBlobs } from "../../../src/store/blobs-fs.ts";
import { MailboxChanges } from "../../../src/store/changes.ts";
import { type Db, openDatabase } from "../../../src/store/db.ts";
import { createMessageStore } from "../../../src/store/deliver.ts";
import {
  chooseSocketDir,
  EMBEDDED_DATABASE,
  EMBEDDED_PORT,
  EMBEDDED_ROLE,
} from "../../../src/store/embedded-settings.ts";
import { silentLog } from "../../lib/database.ts";
import type { Sidecar } from "../../lib/sidecar.ts";
import { sampleMail } from "./sample-mail.ts";

/** Messages of one mailbox. */
export interface DataSet {
  /** Address of the account; the mail is in its INBOX. */
  readonly address: string;
  readonly messages: number;
  readonly sizeBytes: number;
  /** Different contents; the rest repeats them. Default: each its own. */
  readonly distinct?: number;
}

/** Deliveries on the way at a time: a few full batches. */
const AT_ONCE = 400;
/** Up to so many the texts for search are awaited: the job that makes them would share the processors with what is measured. */
const SETTLED_MESSAGES = 20_000;
const SETTLE_MS = 240_000;
const FIRST_ARRIVAL_S = 1_767_000_000;

/** Fill the account's INBOX on our side. */
export async function fillOurs(sidecar: Sidecar, set: DataSet): Promise<void> {
  await expectDone(sidecar, ["account", "add", set.address]);
  await withStore(sidecar, async (db, blobs) => {
    await deliverAll(db, blobs, set);
    // What a mailbox that grew over weeks has.
    await db.query`analyze`;
    if (set.messages <= SETTLED_MESSAGES) await settled(db);
  });
}

/** Work on the database and the blob folder of the running service, in this process. */
export async function withStore(
  sidecar: Sidecar,
  work: (db: Db, blobs: FsBlobStore) => Promise<void>,
): Promise<void> {
  const dataDir = join(sidecar.dir, "data");
  const socketDir = chooseSocketDir(join(dataDir, "postgres"), join(sidecar.dir, "run"));
  const db = await openDatabase({
    target: {
      hosts: [socketDir],
      ports: [EMBEDDED_PORT],
      user: EMBEDDED_ROLE,
      password: "",
      database: EMBEDDED_DATABASE,
      tls: "disable",
      tlsRootFile: undefined,
    },
    log: silentLog,
  });
  const blobs = await openFsBlobs({
    path: join(dataDir, "blobs"),
    compression: "brotli",
    minFreeBytes: () => 0,
    log: silentLog,
  });
  try {
    await work(db, blobs);
  } finally {
    await blobs.close();
    const end = deadlineAfter(10_000);
    await db.close(end);
    end.dispose();
  }
}

async function settled(db: Db): Promise<void> {
  const end = performance.now() + SETTLE_MS;
  for (;;) {
    const [row] = await db.query<{ left: number }>`
      select count(*)::int as left from messages m where not exists (select from search_texts t where t.message_id = m.message_id)
        or not exists (select from imap_texts t where t.message_id = m.message_id)
        or not exists (select from message_keys k where k.message_id = m.message_id)`;
    if (row?.left === 0) return;
    if (performance.now() > end) throw new Error(`${row?.left} messages lack what standing jobs make`);
    await sleep(1_000);
  }
}

async function deliverAll(db: Db, blobs: FsBlobStore, set: DataSet): Promise<void> {
  const store = createMessageStore({
    db,
    changes: new MailboxChanges(db, silentLog),
    log: silentLog,
    redeliveryWindowS: () => 0,
    confirmBlob: digest => blobs.confirm(digest),
    onCommit: () => undefined,
  });
  const [row] = await db.query<{ id: number }>`select id from accounts where address = ${set.address}`;
  const account = accountId(row?.id ?? 0);
  const newId = uuid7Generator();
  const contents = new Map<number, Promise<Content>>();
  let next = 0;
  const worker = async () => {
    for (let i = next++; i < set.messages; i = next++) {
      const which = i % (set.distinct ?? set.messages);
      const content = contents.get(which) ?? receive(blobs, sampleMail(which, set.sizeBytes, "\r\n"));
      if (set.distinct !== undefined) contents.set(which, content);
      await deliverOne(store, set.address, account, newId(), await content, i);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

type Content = Awaited<ReturnType<typeof receive>>;

async function receive(blobs: FsBlobStore, bytes: Buffer) {
  const receiver = new MessageReceiver({
    blobs,
    id: messageId(""),
    receivedAt: new Date(0),
    limits: { depth: 300, parts: 10_000 },
    log: silentLog,
  });
  await receiver.write(bytes);
  const message = await receiver.finish();
  const blob = await message.staged.persist();
  await message.staged.discard();
  return messageColumns(message, blob);
}

async function deliverOne(
  store: MessageStore,
  address: string,
  account: ReturnType<typeof accountId>,
  id: string,
  content: Content,
  index: number,
): Promise<void> {
  const at = new Date((FIRST_ARRIVAL_S + index) * 1000);
  const [result] = await store.deliver({
    ...content,
    messageId: messageId(id),
    receivedAt: at,
    queueId: "",
    mailFrom: "sender@example.net",
    events: [],
    targets: [
      {
        accountId: account,
        recipient: address,
        mailbox: "INBOX",
        ifMissing: "fail",
        flags: { system: 0, keywords: [] },
        internalDate: at,
        prefix: prefixOf(address, id, at),
        metadata: {},
        exactlyOnce: false,
        events: [],
      },
    ],
  });
  if (result?.kind !== "stored") throw new Error(`Cannot fill "${address}": ${result?.kind}`);
}

function prefixOf(address: string, id: string, at: Date): Uint8Array {
  return deliveryPrefix({
    envelope: {
      mailFrom: parseMailAddress("sender@example.net"),
      recipients: [],
      client: {},
      peer: "127.0.0.1",
      peerHelo: "mail.example.test",
      dsn: {},
      body8bit: true,
      smtpUtf8: false,
    },
    recipient: address,
    hostname: "mail.example.test",
    messageId: id,
    receivedAt: at,
    headers: [],
  });
}

/** Write the account's Maildir. The user has never logged in. */
export function fillMaildir(home: string, set: DataSet): void {
  mkdirSync(home, { recursive: true });
  const maildir = join(home, "Maildir");
  const folders = [home, maildir, ...["cur", "new", "tmp"].map(name => join(maildir, name))];
  for (const folder of folders) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    chownSync(folder, MAIL_UID, MAIL_UID);
  }
  for (let i = 0; i < set.messages; i++) {
    const at = FIRST_ARRIVAL_S + i;
    const prefix = Buffer.from(
      Buffer.from(prefixOf(set.address, `maildir-${i}`, new Date(at * 1000)))
        .toString("latin1")
        .replaceAll("\r\n", "\n"),
      "latin1",
    );
    const body = sampleMail(i % (set.distinct ?? set.messages), set.sizeBytes, "\n");
    const bytes = Buffer.concat([prefix, body]);
    const wire = bytes.length + countLf(bytes, 0, bytes.length);
    const file = join(maildir, "cur", `${at}.M${i}P1.bench,S=${bytes.length},W=${wire}:2,`);
    writeFileSync(file, bytes, { mode: 0o600 });
    chownSync(file, MAIL_UID, MAIL_UID);
  }
}

async function expectDone(sidecar: Sidecar, args: readonly string[]): Promise<void> {
  const { code, stderr } = await sidecar.mairust(args);
  if (code !== 0) throw new Error(`mairust ${args.join(" ")}: ${stderr}`);
}
