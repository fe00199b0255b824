/**
 * Queues one mail in the caller's transaction: its message, the copy in its sender's mailbox, its recipients, its events and the job that
 * hands it over. All of it is there or nothing is, so a copy exists exactly once.
 */
import { MairustError } from "../core/errors.ts";
import type { MailboxId } from "../core/ids.ts";
import {
  MAX_OUTGOING_RECIPIENTS,
  MAX_OWN_MAIL_BYTES,
  MAX_QUEUED_MAILS,
  type OutgoingContent,
  type OutgoingMail,
  SEND_MAIL_ATTEMPTS,
  SEND_MAIL_JOB,
  type SentCopy,
} from "../core/ports/outbox.ts";
import { FLAG_SEEN } from "../core/ports/store.ts";
import type { TimelineEvent } from "../core/ports/timeline.ts";
import { jsonText, pgText, type Tx } from "./db.ts";
import { insertEvents, storeDeliveries } from "./deliver-rows.ts";
import { putBlob, putMessage } from "./holds.ts";
import { enqueueJob } from "./jobs.ts";
import { createMailboxes } from "./mailbox-names.ts";

/** How long a copy waits for an account that somebody holds. */
const LOCK_MS = 2_000;
const SENT_MAILBOX = "Sent";

export interface Queued {
  readonly id: string;
  readonly already: boolean;
  /** That got a copy. */
  readonly mailboxId: MailboxId | undefined;
}

/** @throws {MairustError} `too_many`, `message_too_large`: the mail itself cannot be queued */
export async function queueMail(tx: Tx, id: string, mail: OutgoingMail): Promise<Queued> {
  assertBounds(mail);
  const known = mail.key === undefined ? undefined : await findKey(tx, mail.key);
  if (known !== undefined) return { id: known, already: true, mailboxId: undefined };
  await assertRoom(tx);
  const { content } = mail;
  const copied = content.kind === "message" ? await storeMessage(tx, mail, content) : undefined;
  const jobId = await enqueueJob(tx, {
    kind: SEND_MAIL_JOB,
    payload: { outbox: id },
    maxAttempts: SEND_MAIL_ATTEMPTS,
    ...(mail.messageId === undefined ? {} : { messageId: mail.messageId }),
  });
  const inserted = await tx.run`
    insert into outbox (id, purpose, once_key, message_id, mail_from, dsn, top, content, sent_copy, job_id)
    values (${id}::uuid, ${mail.purpose}, ${mail.key === undefined ? null : pgText(mail.key)}::text, ${mail.messageId ?? null}::uuid,
            ${pgText(mail.mailFrom)}, ${jsonText(mail.dsn ?? {})}::text::jsonb, ${content.kind === "message" ? content.top : ""},
            ${content.kind === "bytes" ? content.bytes : null}::bytea, ${copied?.state ?? null}::text, ${jobId})
    on conflict (once_key) do nothing`;
  // Somebody queued it between the look and now: this transaction is undone, and the caller looks again.
  if (inserted === 0) throw new MairustError("already_exists", "Cannot queue mail: its key was just taken");
  await insertRecipients(tx, id, mail);
  await insertQueuedEvents(tx, id, mail, copied?.state);
  return { id, already: false, mailboxId: copied?.mailboxId };
}

function assertBounds({ recipients, content }: OutgoingMail): void {
  if (recipients.length === 0 || recipients.length > MAX_OUTGOING_RECIPIENTS) {
    const text = `${recipients.length} recipients, allowed are 1 to ${MAX_OUTGOING_RECIPIENTS}`;
    throw new MairustError("too_many", `Cannot queue mail: ${text}`, { publicText: text, retry: "never" });
  }
  if (content.kind === "bytes" && content.bytes.length > MAX_OWN_MAIL_BYTES) {
    const text = `more than ${MAX_OWN_MAIL_BYTES} octets`;
    throw new MairustError("message_too_large", `Cannot queue mail of our own: ${text}`, {
      publicText: text,
    });
  }
}

async function findKey(tx: Tx, key: string): Promise<string | undefined> {
  const [row] = await tx.query<{ id: string }>`select id from outbox where once_key = ${pgText(key)}`;
  return row?.id;
}

async function assertRoom(tx: Tx): Promise<void> {
  const [row] = await tx.query<{ n: number }>`
    select count(*) as n from (select from outbox where state = 'queued' limit ${MAX_QUEUED_MAILS}) waiting`;
  if ((row?.n ?? 0) < MAX_QUEUED_MAILS) return;
  const text = `${MAX_QUEUED_MAILS} mails wait to be sent already`;
  throw new MairustError("too_many", `Cannot queue mail: ${text}`, { publicText: text });
}

export interface Copied {
  readonly state: SentCopy | undefined;
  readonly mailboxId?: MailboxId;
  readonly place?: { readonly mailbox: string; readonly uid: number };
}

async function storeMessage(
  tx: Tx,
  mail: OutgoingMail,
  { message, top }: OutgoingContent & { readonly kind: "message" },
): Promise<Copied> {
  const copied = await storeCopy(tx, mail, { message, top });
  if (copied.state === "stored") return copied;
  await putBlob(tx, message);
  await putMessage(tx, message);
  return copied;
}

/** The copy in its sender's mailbox. */
export async function storeCopy(
  tx: Tx,
  { sentCopy }: Pick<OutgoingMail, "sentCopy">,
  { message, top }: Pick<OutgoingContent & { readonly kind: "message" }, "message" | "top">,
): Promise<Copied> {
  if (sentCopy === undefined) return { state: undefined };
  if (!sentCopy.isKept) return { state: "not_applicable" };
  const { account } = sentCopy;
  const place = { accountId: account.id, name: SENT_MAILBOX, specialUse: "\\Sent" };
  await createMailboxes(tx, [place]);
  const target = {
    accountId: account.id,
    recipient: account.address,
    mailbox: SENT_MAILBOX,
    ifMissing: "inbox" as const,
    flags: { system: FLAG_SEEN, keywords: [] },
    internalDate: message.receivedAt,
    prefix: Buffer.from(top, "utf8"),
    metadata: {},
    exactlyOnce: false,
    events: [],
  };
  const batch = [{ ...message, events: [], targets: [target] }];
  const [results] = await storeDeliveries(tx, { batch, lockMs: LOCK_MS, windowS: 0, makeMissing: false });
  const result = results?.[0];
  if (result?.kind === "stored") {
    const { mailboxId, mailbox, uid } = result;
    return { state: "stored", mailboxId, place: { mailbox, uid } };
  }
  return { state: result?.kind === "over_quota" ? "over_quota" : "gone" };
}

async function insertRecipients(tx: Tx, id: string, { recipients }: OutgoingMail): Promise<void> {
  const rows = recipients.map(({ address, orcpt, notify }, i) => ({
    ...{ n: i, a: address.raw },
    ...(orcpt === undefined ? {} : { o: orcpt }),
    ...(notify === undefined ? {} : { y: notify }),
  }));
  await tx.query`
    insert into outbox_recipients (outbox_id, ord, address, orcpt, notify)
    select ${id}::uuid, n, a, o, y from json_to_recordset(${jsonText(rows)}::text::json) as w(n int, a text, o text, y jsonb)`;
}

async function insertQueuedEvents(
  tx: Tx,
  id: string,
  { messageId, purpose, recipients, content }: OutgoingMail,
  sentCopy: SentCopy | undefined,
): Promise<void> {
  if (messageId === undefined) return;
  const queued: TimelineEvent = {
    at: new Date(),
    kind: "queued",
    data: {
      ...{ outbox: id, purpose, recipients: recipients.length },
      ...(sentCopy === undefined ? {} : { sent_copy: sentCopy }),
    },
  };
  const before = content.kind === "message" ? content.message.events : [];
  await insertEvents(tx, [{ messageId, queueId: "", events: [...before, queued] }]);
}
