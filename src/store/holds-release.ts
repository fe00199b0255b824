/**
 * The steps of a release, each one commit. Who releases has a lease: whatever happens to that process, the hold is held again when the
 * lease has ended, and a release that comes back too late changes nothing.
 *
 * Into an account a hold is released exactly once: the entry and the end of the hold are one commit. By SMTP at least once: between the
 * MTA's 250 and the commit of `end` lies one statement; a process that ends there leaves a hold that says that it may have been
 * submitted, and who releases it again sends it twice.
 */
import { randomUUID } from "node:crypto";
import { MairustError } from "../core/errors.ts";
import { accountId, blobDigest } from "../core/ids.ts";
import type { Account } from "../core/ports/directory.ts";
import type {
  HoldKept,
  HoldReleases,
  HoldTaken,
  ReleasedEntry,
  SentAs,
  StoredPlace,
} from "../core/ports/hold-admin.ts";
import type { HeldSession } from "../core/ports/holds.ts";
import type { HookDecision } from "../core/ports/hooks.ts";
import type { Delivery, TargetResult } from "../core/ports/store.ts";
import type { TimelineEvent } from "../core/ports/timeline.ts";
import { type ConfirmBlob, withRevival } from "./blob-revive.ts";
import type { MailboxChanges } from "./changes.ts";
import { type Db, jsonText, pgText, sql, type Tx } from "./db.ts";
import { withUsableMailbox } from "./deliver.ts";
import { insertEvents, recipientKey, storeDeliveries } from "./deliver-rows.ts";
import { enqueueFollowUp } from "./follow-up.ts";
import { dropMessages, getHoldRow, toHeldRecord, wrongState } from "./hold-rows.ts";
import { recipientRows } from "./holds.ts";
import { INTERRUPTED, IS_FREE } from "./holds-admin.ts";
import { createMailboxes } from "./mailbox-names.ts";
import { type Copied, storeCopy } from "./outbox-rows.ts";
import { issueToken } from "./submissions.ts";

/** Far above the deadline of one release (`delivery/release.ts`). */
const LEASE_S = 300;
/** How long storing waits for an account that somebody holds. */
const LOCK_MS = 2_000;
/** The mail is on its way and nobody makes its copy later: longer than an import holds the account for one batch. */
const SENT_LOCK_MS = 10_000;
/** Characters kept of a failure. */
const MAX_PROBLEM_CHARS = 500;

export interface ReleaseStoreOptions {
  readonly db: Db;
  readonly changes: MailboxChanges;
  readonly confirmBlob: ConfirmBlob;
}

export function createHoldReleases({ db, changes, confirmBlob }: ReleaseStoreOptions): HoldReleases {
  return {
    take: id => db.begin(tx => take(tx, id)),
    keep: (taken, kept) => db.begin(tx => keep(tx, taken, kept)),
    async store(taken, entry, by, events) {
      const usable = withUsableMailbox(entry.target);
      if (usable.ifMissing === "create")
        await db.begin(tx => createMailboxes(tx, [{ accountId: usable.accountId, name: usable.mailbox }]));
      const place = await db.begin(tx => store(tx, taken, { ...entry, target: usable }, by, events));
      changes.publish([place.mailboxId]);
      return place;
    },
    end: (taken, as, by, events) =>
      db.begin(async tx => {
        await endTaken(tx, taken, as, by);
        await addEvents(tx, taken, events);
        await dropMessages(tx, [taken.record.messageId]);
      }),
    async keepSent(taken, account, sent) {
      // Who releases waits for it: an account that somebody holds for long gets none.
      const options = { lockTimeoutMs: SENT_LOCK_MS };
      const attempt = () => db.begin(tx => keepSent(tx, taken, account, sent), options);
      const copied = await withRevival(db, confirmBlob, [sent.message.blob.digest], attempt, false);
      if (copied.mailboxId !== undefined) changes.publish([copied.mailboxId]);
      return copied.state ?? "gone";
    },
    issueToken: (holdId, point, verdicts) => issueToken(db, { holdId }, point, verdicts),
  };
}

/** Under the account's lock: of several releases of parts of one mail the first makes the copy. */
async function keepSent(
  tx: Tx,
  { record }: HoldTaken,
  account: Account,
  { message, top }: SentAs,
): Promise<Copied> {
  await tx.query`select 1 as one from accounts where id = ${account.id} for no key update`;
  const there = await tx.query`
    select 1 as one from holds where message_id = ${record.messageId}::uuid and sent_as is not null limit 1`;
  if (there.length > 0) return { state: "stored" };
  const at = new Date();
  const content = { message: { ...message, events: [] }, top };
  const copied = await storeCopy(tx, { sentCopy: { account, isKept: true } }, content);
  if (copied.state !== "stored") return copied;
  const { messageId: as } = message;
  await tx.run`update holds set sent_as = ${as}::uuid where id = ${record.id}::uuid`;
  if (as === record.messageId) return copied;
  // Each of the two tells of the other.
  const from: TimelineEvent = { at, kind: "released", data: { hold: record.id, from: record.messageId } };
  const data = { ...copied.place, as };
  const to: TimelineEvent = { at, kind: "stored", recipient: account.address, data };
  await insertEvents(tx, [
    { messageId: as, queueId: "", events: [from] },
    { messageId: record.messageId, queueId: "", events: [to] },
  ]);
  return copied;
}

interface ContentRow {
  readonly account_id: number | null;
  readonly decision: HookDecision;
  readonly prefix: Uint8Array;
  readonly client: HeldSession;
  readonly plugin_id: string | null;
  readonly reason: string;
  readonly digest: string;
  readonly size_bytes: number;
  readonly stored_bytes: number;
  readonly codec: "none" | "brotli";
  readonly structure: Uint8Array;
  readonly header: Uint8Array | null;
  readonly header_bytes: number;
  readonly message_id_header: string | null;
  readonly subject: string;
  readonly from_text: string;
  readonly thread_key: string | null;
  readonly attachments: number;
  readonly received_at: Date;
}

async function take(tx: Tx, id: string): Promise<HoldTaken> {
  const before = await getHoldRow(tx, id, sql`for update of h`);
  const lease = randomUUID();
  const rows = await tx.run`
    update holds h set problem = case when state = 'releasing' then ${INTERRUPTED} else problem end, state = 'releasing',
      lease = ${lease}::uuid, lease_until = now() + make_interval(secs => ${LEASE_S}::float8)
    where h.id = ${id}::uuid and ${IS_FREE}`;
  if (rows === 0) throw wrongState("release", before);
  const [row] = await tx.query<ContentRow>`
    select h.account_id, h.decision, h.prefix, h.client, h.plugin_id, h.reason, encode(m.blob_digest, 'hex') as digest, m.size_bytes,
           b.stored_bytes, b.codec, m.structure, m.header, m.header_bytes, m.message_id_header, m.subject, m.from_text, m.thread_key,
           m.attachments, m.received_at
    from holds h join messages m on m.message_id = h.open_message_id join blobs b on b.digest = m.blob_digest
    where h.id = ${id}::uuid`;
  if (row === undefined) throw new MairustError("internal", `Cannot release "${id}": its message is gone`);
  return takenOf(toHeldRecord(await getHoldRow(tx, id)), lease, row);
}

function takenOf(record: HoldTaken["record"], lease: string, row: ContentRow): HoldTaken {
  const { hook } = record;
  const size = { sizeBytes: row.size_bytes, storedBytes: row.stored_bytes };
  return {
    record,
    lease,
    accountId: row.account_id === null ? undefined : accountId(row.account_id),
    decision: row.decision,
    by: hook === undefined ? undefined : { ...hook, pluginId: row.plugin_id ?? "", reason: row.reason },
    prefix: row.prefix,
    session: row.client,
    message: {
      messageId: record.messageId,
      receivedAt: row.received_at,
      blob: { digest: blobDigest(row.digest), ...size, codec: row.codec },
      structure: row.structure,
      header: row.header ?? undefined,
      headerBytes: row.header_bytes,
      messageIdHeader: row.message_id_header ?? undefined,
      subject: row.subject,
      from: row.from_text,
      threadKey: row.thread_key ?? undefined,
      attachments: row.attachments,
      queueId: record.queueId,
      mailFrom: record.mailFrom,
    },
  };
}

async function keep(tx: Tx, taken: HoldTaken, kept: HoldKept): Promise<boolean> {
  const { holder } = kept;
  const by = holder?.by;
  const rows = await tx.run`
    update holds set state = 'held', lease = null, lease_until = null, problem = ${pgText(kept.problem.slice(0, MAX_PROBLEM_CHARS))},
      recipients = ${jsonText(recipientRows(kept.recipients))}::text::jsonb
      ${
        holder === undefined
          ? sql``
          : sql`, point = ${holder.point}, hook_priority = ${by?.priority ?? null}::int, hook_name = ${by?.name ?? null}::text,
              plugin_id = ${by?.pluginId ?? null}::text, reason = ${pgText(holder.reason)},
              decision = ${jsonText(holder.decision)}::text::jsonb`
      }
    where id = ${taken.record.id}::uuid and state = 'releasing' and lease = ${taken.lease}::uuid`;
  if (rows === 1) await addEvents(tx, taken, kept.events);
  return rows === 1;
}

/** The account's locks first, then the hold's: as the removal of an account takes them. */
async function store(
  tx: Tx,
  taken: HoldTaken,
  { target, followUp }: ReleasedEntry,
  by: string,
  events: readonly TimelineEvent[],
): Promise<StoredPlace> {
  const delivery: Delivery = { ...taken.message, events, targets: [target] };
  const call = { batch: [delivery], lockMs: LOCK_MS, windowS: 0, makeMissing: false };
  const [results] = await storeDeliveries(tx, call);
  const result = results?.[0];
  if (result?.kind !== "stored") throw notStored(result, target.recipient);
  await endTaken(tx, taken, "released", by);
  // Not by store_deliveries: the message may have copies elsewhere, and those have had their hooks.
  if (followUp !== undefined) await enqueueFollowUp(tx, followUp, taken.record.messageId, [target.accountId]);
  const { queueId, blob } = taken.message;
  await tx.run`
    update deliveries set outcome = 'stored'
    where queue_id = ${pgText(queueId)} and recipient = ${recipientKey(target.accountId)}
      and digest = decode(${blob.digest}, 'hex') and message_id = ${taken.record.messageId}::uuid`;
  return result;
}

function notStored(result: TargetResult | undefined, account: string): MairustError {
  if (result?.kind === "over_quota")
    return new MairustError("over_quota", `Cannot release to "${account}": the quota is used up`, {
      publicText: "mailbox is full",
    });
  return new MairustError("unknown_account", `Cannot release to "${account}": the account is gone`, {
    publicText: `no such account "${account}"`,
  });
}

async function endTaken(
  tx: Tx,
  { record, lease }: HoldTaken,
  as: "released" | "rejected",
  by: string,
): Promise<void> {
  const rows = await tx.run`
    update holds set state = ${as}, ended_at = now(), ended_by = ${by}, problem = null, lease = null, lease_until = null
    where id = ${record.id}::uuid and state = 'releasing' and lease = ${lease}::uuid`;
  if (rows === 1) return;
  const text = `message ${record.id} changed meanwhile`;
  throw new MairustError("invalid_state", `Cannot release: ${text}`, { publicText: text });
}

async function addEvents(tx: Tx, { record }: HoldTaken, events: readonly TimelineEvent[]): Promise<void> {
  await insertEvents(tx, [{ messageId: record.messageId, queueId: record.queueId, events }]);
}
