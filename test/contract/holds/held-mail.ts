/** Held mail over a real database and real blob files, with hooks that do what a test says and an MTA that keeps what it is given. */

import type { Socket } from "node:net";
import type { TestContext } from "node:test";
import { SMTPServer, type SMTPServerOptions } from "smtp-server";
import { parseMailAddress } from "../../../src/core/envelope.ts";
import { type AccountId, accountId, type MessageId, messageId } from "../../../src/core/ids.ts";
import { DELIVER } from "../../../src/core/merge.ts";
import { packStructure } from "../../../src/core/mime/packed.ts";
import { MessageScanner } from "../../../src/core/mime/scanner.ts";
import type { HeldMessage, NewHold } from "../../../src/core/ports/holds.ts";
import type { HookRunner } from "../../../src/core/ports/hooks.ts";
import type { SuccessNotices } from "../../../src/core/ports/success-notices.ts";
import { createReleases } from "../../../src/delivery/release.ts";
import { uuid7Generator } from "../../../src/platform/uuid7.ts";
import { removeAccount } from "../../../src/store/admin-accounts.ts";
import { MailboxChanges } from "../../../src/store/changes.ts";
import type { Db } from "../../../src/store/db.ts";
import { StoreDirectory } from "../../../src/store/directory.ts";
import { createHolds } from "../../../src/store/holds.ts";
import { createHoldAdmin } from "../../../src/store/holds-admin.ts";
import { createHoldReleases } from "../../../src/store/holds-release.ts";
import { createSubmissions } from "../../../src/store/submissions.ts";
import { silentLog } from "../../lib/database.ts";
import { NO_RELAY } from "../../lib/relay-parts.ts";
import { openStoredMail } from "../store/stored-mail.ts";

export const BY = { priority: 100, name: "dlp", pluginId: "com.example.dlp", reason: "card number" };
export const ADMIN = { name: "administrator", user: undefined };
export const ADDRESS = "user@example.test";

export const NO_HOOKS: HookRunner = {
  has: () => false,
  needs: () => ({ headers: false, body: false, hold: false }),
  run: () => Promise.reject(new Error("there are no hooks")),
};

export type HeldMailRig = Awaited<ReturnType<typeof openHeldMail>>;

export async function openHeldMail() {
  const mail = await openStoredMail();
  const { db, blobs } = mail;
  const newId = uuid7Generator();
  const confirmBlob: typeof blobs.confirm = digest => blobs.confirm(digest);
  const options = { expireDays: () => 30, redeliveryWindowS: () => 3600, newId, log: silentLog, confirmBlob };
  const admin = createHoldAdmin(db);
  const holdStore = (over: Db = db) =>
    createHoldReleases({ db: over, changes: new MailboxChanges(over, silentLog), confirmBlob });
  return {
    ...mail,
    admin,
    holdStore,
    holds: createHolds({ db, ...options }),
    submissions: createSubmissions(db),
    newId,
    accountOf,
    removeAccount: (address: string) => removeAccount(db, address, { dryRun: false }),
    /** @param server  `outbound.smtp` */
    releases: (
      hooks: HookRunner = NO_HOOKS,
      server = "inet:127.0.0.1:1",
      store = holdStore(),
      relay = NO_RELAY,
      successNotices: SuccessNotices = { tell: async () => undefined },
    ) =>
      createReleases({
        admin,
        holds: store,
        blobs,
        directory: new StoreDirectory(db),
        // The domain has no key: what stands here tells that it was asked for.
        signer: { sign: async domain => `DKIM-Signature: d=${domain}\r\n` },
        successNotices,
        newMessageId: () => messageId(newId()),
        mimeLimits: () => ({ depth: 20, parts: 1000 }),
        hooks,
        edits: { signedMail: () => "refuse", acquire: async () => () => undefined, denied: () => undefined },
        recordEvents: () => undefined,
        canonical: raw => raw.toLowerCase(),
        hostname: "mail.example.test",
        relay,
        server: () => server,
        log: silentLog,
        now: () => new Date(),
      }),
    /** Its blob is durable. */
    async message(text: string, change: Partial<HeldMessage> = {}): Promise<HeldMessage> {
      const bytes = Buffer.from(text, "latin1");
      const scanner = new MessageScanner();
      scanner.write(bytes);
      const structure = scanner.end();
      return {
        messageId: messageId(newId()),
        receivedAt: new Date(),
        blob: await mail.put(bytes),
        structure: packStructure(structure),
        header: structure.headerBytes,
        headerBytes: structure.headerSizeBytes,
        messageIdHeader: structure.messageId,
        subject: "a subject",
        from: "a@example.org",
        threadKey: undefined,
        attachments: 0,
        queueId: newId(),
        mailFrom: "a@example.org",
        events: [],
        ...change,
      };
    },
    async atLmtp(change: Partial<NewHold> = {}): Promise<NewHold> {
      return {
        ...atMilter([ADDRESS]),
        point: "pre_delivery",
        account: { id: await accountOf(), address: ADDRESS },
        prefix: Buffer.from(`Delivered-To: ${ADDRESS}\r\n`),
        ...change,
      };
    },
    async inMailboxes(id: MessageId): Promise<readonly string[]> {
      const rows = await db.query<{ place: string }>`
        select b.name || '/' || e.uid as place from entries e join mailboxes b on b.id = e.mailbox_id
        where e.message_id = ${id}::uuid order by 1`;
      return rows.map(row => row.place);
    },
    async hasMessage(id: MessageId): Promise<boolean> {
      return (await db.query`select 1 as one from messages where message_id = ${id}::uuid`).length > 0;
    },
    async kinds(id: MessageId): Promise<readonly string[]> {
      const rows = await db.query<{ kind: string }>`
        select x ->> 'kind' as kind from events, jsonb_array_elements(list) with ordinality as t(x, n)
        where message_id = ${id}::uuid order by id, n`;
      return rows.map(row => row.kind);
    },
  };

  async function accountOf(address = ADDRESS): Promise<AccountId> {
    const [local, domain] = address.split("@");
    const [row] = await db.query<{ id: number }>`
      select id from accounts where local_part = ${local ?? ""} and domain = ${domain ?? ""}`;
    if (row === undefined) throw new Error(`no account ${address}`);
    return accountId(row.id);
  }
}

export function atMilter(recipients: readonly string[], change: Partial<NewHold> = {}): NewHold {
  return {
    point: "pre_receive",
    recipients: recipients.map(address => ({ address: parseMailAddress(address) })),
    account: undefined,
    by: BY,
    reason: BY.reason,
    decision: { ...DELIVER, action: "hold", by: BY, tags: ["seen-by-dlp"] },
    authUser: undefined,
    prefix: new Uint8Array(0),
    events: [],
    ...change,
  };
}

export interface Taken {
  readonly from: string;
  readonly to: readonly string[];
  readonly args: ReadonlyArray<Readonly<Record<string, unknown>>>;
  readonly text: string;
}

export interface TestMta {
  readonly server: string;
  readonly taken: readonly Taken[];
  /** Break all connections off. */
  cut(): void;
}

/** An MTA on a loopback port, for as long as the test runs. */
export async function startMta(t: TestContext, change: SMTPServerOptions = {}): Promise<TestMta> {
  const taken: Taken[] = [];
  const server = new SMTPServer({
    disabledCommands: ["AUTH", "STARTTLS"],
    disableReverseLookup: true,
    logger: false,
    onData(stream, session, done) {
      const chunks: Buffer[] = [];
      stream.on("data", chunk => chunks.push(chunk));
      stream.on("end", () => {
        const { mailFrom, rcptTo } = session.envelope;
        taken.push({
          from: mailFrom === false ? "" : mailFrom.address,
          to: rcptTo.map(one => one.address),
          args: rcptTo.map(one => (typeof one.args === "object" ? { ...one.args } : {})),
          text: Buffer.concat(chunks).toString("latin1"),
        });
        done(null, "queued as TESTQUEUE");
      });
    },
    ...change,
  });
  await new Promise<void>((resolve, reject) => {
    server.on("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const sockets = new Set<Socket>();
  server.server.on("connection", (socket: Socket) => sockets.add(socket));
  t.after(() => new Promise<void>(resolve => server.close(() => resolve())));
  const address = server.server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return {
    server: `inet:127.0.0.1:${port}`,
    taken,
    cut() {
      for (const socket of sockets) socket.destroy();
    },
  };
}
