/**
 * The three servers that shared dialogs are played at, with an account for each dialog, all filled alike: our service, a Dovecot with a
 * Maildir, and a Dovecot with imapc before our service.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { parseMailAddress } from "../../src/core/envelope.ts";
import { accountId, messageId } from "../../src/core/ids.ts";
import { FLAG_ANSWERED, FLAG_FLAGGED, FLAG_SEEN } from "../../src/core/ports/store.ts";
import { type Dovecot, startDovecot } from "../../src/mailhost/dovecot.ts";
import type { DovecotMode } from "../../src/mailhost/dovecot-config.ts";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { deadlineAfter } from "../../src/platform/deadline.ts";
import { createAccount } from "../../src/store/accounts.ts";
import { MailboxChanges } from "../../src/store/changes.ts";
import { createStoredMessages } from "../../src/store/message-changes.ts";
import { hashPassword } from "../../src/store/passwords.ts";
import { withStore } from "../bench/lib/fill.ts";
import { startClientSidecar } from "./client-listen.ts";
import { Api } from "./clients/api.ts";
import { silentLog } from "./database.ts";
import { DIALOG_MAIL, type DialogMail, LATER } from "./dialog-mail.ts";
import { ImapTestClient } from "./imap-client.ts";
import type { OtherHand } from "./imap-dialog.ts";
import type { DialogWay } from "./imap-dialog-differs.ts";
import type { Sidecar } from "./sidecar.ts";

const START_MS = 90_000;
const PASSWORD = "dialog password";
const SYSTEM: Readonly<Record<string, number>> = {
  "\\Seen": FLAG_SEEN,
  "\\Answered": FLAG_ANSWERED,
  "\\Flagged": FLAG_FLAGGED,
};

export interface DialogSite {
  /** A client of this account that is logged in, and the words it was told. */
  open(way: DialogWay, account: string): Promise<{ client: ImapTestClient; announced: readonly string[] }>;
  other(way: DialogWay, account: string): OtherHand;
  stop(): Promise<void>;
}

/** @param accounts  addresses in `example.test` */
export async function startDialogSite(accounts: readonly string[]): Promise<DialogSite> {
  const scratch = await makeScratch();
  const folder = async (name: string) => {
    await mkdir(join(scratch.dir, name));
    return join(scratch.dir, name);
  };
  const users = accounts.map(address => ({ address, password: PASSWORD }));
  const start = async (dir: string, mode: DovecotMode) => {
    const deadline = deadlineAfter(START_MS);
    try {
      return await startDovecot({ dir: await folder(dir), mode, users }, deadline);
    } finally {
      deadline.dispose();
    }
  };
  const { sidecar, clientPort } = await startClientSidecar({ dir: await folder("s"), logLevel: "warn" });
  const maildir = await start("d", { kind: "maildir" });
  const upstream = {
    ...{ host: "127.0.0.1", port: sidecar.imapPort },
    ...{ masterUser: "dovecot", masterPassword: sidecar.masterPassword },
  };
  const front = await start("f", { kind: "imapc", upstream });
  const ports = { direct: clientPort, dovecot: maildir.imapPort, imapc: front.imapPort };
  const api = new Api(sidecar.apiSocket);
  await makeAccounts(sidecar, accounts);
  for (const account of accounts) {
    for (const mail of DIALOG_MAIL) await addOurs(api, account, mail);
    await atDovecot(maildir, account, ["CREATE Elsewhere", ...DIALOG_MAIL.map(append)]);
  }
  return {
    async open(way, account) {
      const client = new ImapTestClient(ports[way]);
      await client.line();
      const answer = (await client.command(`LOGIN ${account} "${PASSWORD}"`)).at(-1) ?? "";
      if (!answer.startsWith("OK")) throw new Error(`${way}: ${answer}`);
      const [told = ""] = await client.command("CAPABILITY");
      return { client, announced: told.split(" ") };
    },
    other: (way, account) =>
      way === "dovecot" ? otherAtDovecot(maildir, account) : otherAtOurs(sidecar, api, account),
    async stop() {
      api.close();
      for (const server of [front, maildir]) await server.stop();
      await sidecar.stop();
      await scratch.remove();
    },
  };
}

async function makeAccounts(sidecar: Sidecar, accounts: readonly string[]): Promise<void> {
  const hash = await hashPassword(PASSWORD);
  await withStore(sidecar, async db => {
    for (const account of accounts) {
      await db.begin(async tx => {
        const { id } = await createAccount(tx, parseMailAddress(account));
        await tx.run`update accounts set password_hash = ${hash} where id = ${id}`;
      });
    }
  });
}

async function addOurs(api: Api, account: string, { text, flags, date }: DialogMail): Promise<void> {
  await api.addAll([{ account, mailbox: "INBOX", bytes: Buffer.from(text, "latin1"), flags, date }]);
}

function otherAtOurs(sidecar: Sidecar, api: Api, account: string): OtherHand {
  const change = (uid: number, changes: { readonly systemFlags: number } | { readonly folder: string }) =>
    withStore(sidecar, async db => {
      const [row] = await db.query<{ message_id: string; account: number }>`
        select e.message_id, a.id as account from entries e join mailboxes m on m.id = e.mailbox_id
        join accounts a on a.id = m.account_id
        where a.address = ${account} and m.name = 'INBOX' and e.uid = ${uid}`;
      if (row === undefined) throw new Error(`"${account}" has no message ${uid}`);
      await createStoredMessages({ db, changes: new MailboxChanges(db, silentLog) }).apply({
        messageId: messageId(row.message_id),
        accounts: [accountId(row.account)],
        events: [],
        by: [],
        job: "dialog",
        changes: {
          ...{ tagsAdd: [], tagsRemove: [], keywords: [], metadata: {}, systemFlags: 0, folder: undefined },
          ...changes,
        },
      });
    });
  return {
    deliver: () => addOurs(api, account, LATER),
    flag: (uid, flag) => change(uid, { systemFlags: SYSTEM[flag] ?? 0 }),
    expunge: uid => change(uid, { folder: "Elsewhere" }),
  };
}

function otherAtDovecot(maildir: Dovecot, account: string): OtherHand {
  const run = (commands: readonly string[]) => atDovecot(maildir, account, commands);
  return {
    deliver: () => run([append(LATER)]),
    flag: (uid, flag) => run(["SELECT INBOX", `UID STORE ${uid} +FLAGS (${flag})`]),
    expunge: uid => run(["SELECT INBOX", `UID MOVE ${uid} Elsewhere`]),
  };
}

function append({ text, flags, date }: DialogMail): string {
  const [, day = "", month = "", year = "", time = ""] = date.toUTCString().split(" ");
  return `APPEND INBOX (${flags.join(" ")}) "${day}-${month}-${year} ${time} +0000" {${text.length}+}\r\n${text}`;
}

async function atDovecot(maildir: Dovecot, account: string, commands: readonly string[]): Promise<void> {
  const client = new ImapTestClient(maildir.imapPort);
  try {
    await client.line();
    for (const command of [`LOGIN ${account} "${PASSWORD}"`, ...commands]) {
      const answer = (await client.command(command)).at(-1) ?? "";
      if (!answer.startsWith("OK")) throw new Error(`${command}: ${answer}`);
    }
  } finally {
    client.close();
  }
}
