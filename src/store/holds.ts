/**
 * Holding mail (message path, steps 4 and 7): the message, its holds and its redelivery keys in one commit. The MTA is answered after
 * it: discarded at the milter, 250 at LMTP.
 *
 * A message that is held has a row in `messages` as any other, so that it can be shown and explained; the blob collector leaves it
 * alone while a hold is open. The same delivery again (queue id, account or milter, digest) changes nothing and is answered "already".
 * A failure means that nothing is held; a lost connection can mean that nobody knows, and the redelivery key settles that.
 */
import { MairustError } from "../core/errors.ts";
import { type MessageId, messageId } from "../core/ids.ts";
import { NO_ACCOUNT } from "../core/ports/directory.ts";
import type { HeldMessage, HeldRecipient, HoldResult, Holds, NewHold } from "../core/ports/holds.ts";
import type { Log } from "../core/ports/log.ts";
import type { TimelineEvent } from "../core/ports/timeline.ts";
import { type ConfirmBlob, withRevival } from "./blob-revive.ts";
import { type Db, jsonText, pgText, type Tx } from "./db.ts";
import { BLOB_CLAIMED, insertEvents, rcptKey, recipientKey } from "./deliver-rows.ts";
import { refuseOldPut } from "./put-age.ts";

/** How long a hold waits for an account that somebody holds (its removal). */
const LOCK_MS = 2_000;
/** The redelivery key's recipient of mail that is held at the milter: all of them, in however many holds. */
const MILTER_KEY = "milter";

export interface HoldsOptions {
  readonly db: Db;
  /** Asked only for blobs that are being collected when they come again. */
  readonly confirmBlob: ConfirmBlob;
  /** `hold.expire_days` and `lmtp.redelivery_window_s` now in effect. */
  readonly expireDays: () => number;
  readonly redeliveryWindowS: () => number;
  /** UUIDv7. */
  readonly newId: () => string;
  readonly log: Log;
}

export function createHolds(options: HoldsOptions): Holds {
  const { db, confirmBlob } = options;
  return {
    async hold(message, holds) {
      refuseOldPut(message.blob);
      const attempt = () => db.begin(tx => holdAll(tx, options, message, holds), { lockTimeoutMs: LOCK_MS });
      const results = await withRevival(db, confirmBlob, [message.blob.digest], attempt, false);
      for (const [i, hold] of holds.entries()) logHold(options.log, message, hold, results[i]);
      return results;
    },
  };
}

async function holdAll(
  tx: Tx,
  options: HoldsOptions,
  message: HeldMessage,
  holds: readonly NewHold[],
): Promise<readonly HoldResult[]> {
  await lockAccounts(tx, holds);
  const owners = await claimKeys(tx, message, holds, options.redeliveryWindowS());
  const fresh = holds.filter(hold => owners.get(keyOf(hold)) === undefined);
  if (fresh.length > 0) {
    await putBlob(tx, message);
    await putMessage(tx, message);
  }
  const results: HoldResult[] = [];
  const events: TimelineEvent[] = [];
  for (const hold of holds) {
    const already = owners.get(keyOf(hold));
    const heldId =
      already === undefined
        ? await insertHold(tx, options, message, hold)
        : await findHold(tx, already, hold);
    events.push(...hold.events, outcomeEvent(hold, heldId, already));
    results.push({ heldId, already });
  }
  await insertEvents(tx, [
    { messageId: message.messageId, queueId: message.queueId, events: [...message.events, ...events] },
  ]);
  return results;
}

/** Accounts first, as deliveries and removals lock them. @throws {MairustError} `store_unavailable`: one is gone since RCPT */
async function lockAccounts(tx: Tx, holds: readonly NewHold[]): Promise<void> {
  const ids = [
    ...new Set(
      holds.flatMap(({ account }) =>
        account === undefined || account.id === NO_ACCOUNT ? [] : [account.id as number],
      ),
    ),
  ];
  if (ids.length === 0) return;
  const rows = await tx.query`
    select id from accounts where id = any(${ids}::bigint[]) order by id for key share`;
  // The next try gets its 550 at RCPT.
  if (rows.length < ids.length)
    throw new MairustError("store_unavailable", "Cannot hold the message: an account is gone");
}

const keyOf = ({ account, recipients }: NewHold) => {
  if (account === undefined) return MILTER_KEY;
  // Whom only the next hop knows.
  return account.id === NO_ACCOUNT ? rcptKey(recipients[0]?.address.raw ?? "") : recipientKey(account.id);
};

/** @returns who holds the key of those that were delivered or held before; a key past the window no longer counts */
async function claimKeys(
  tx: Tx,
  { queueId, blob, messageId: id }: HeldMessage,
  holds: readonly NewHold[],
  windowS: number,
): Promise<ReadonlyMap<string, MessageId>> {
  const keys = [...new Set(holds.map(keyOf))].sort();
  if (queueId === "") return new Map();
  const queue = pgText(queueId);
  const claimed = await tx.query<{ recipient: string }>`
    insert into deliveries as k (queue_id, recipient, digest, message_id, outcome)
    select ${queue}, r, decode(${blob.digest}, 'hex'), ${id}::uuid, 'held' from unnest(${keys}::text[]) as r order by r
    on conflict (queue_id, recipient, digest) do update
      set message_id = excluded.message_id, outcome = excluded.outcome, created_at = now()
      where k.created_at <= now() - make_interval(secs => ${windowS}::float8)
    returning recipient`;
  const mine = new Set(claimed.map(row => row.recipient));
  const others = keys.filter(key => !mine.has(key));
  if (others.length === 0) return new Map();
  // A statement of its own: it sees the keys of others that were waited for.
  const rows = await tx.query<{ recipient: string; message_id: string }>`
    select recipient, message_id from deliveries
    where queue_id = ${queue} and recipient = any(${others}::text[]) and digest = decode(${blob.digest}, 'hex')`;
  return new Map(rows.map(row => [row.recipient, messageId(row.message_id)]));
}

/** As `store_deliveries` does: a claimed blob's file may be gone. */
export async function putBlob(tx: Tx, { blob }: Pick<HeldMessage, "blob">): Promise<void> {
  const rows = await tx.run`
    insert into blobs as k (digest, size_bytes, stored_bytes, codec)
    values (decode(${blob.digest}, 'hex'), ${blob.sizeBytes}, ${blob.storedBytes}, ${blob.codec})
    on conflict (digest) do update
      set touched_at = now(), stored_bytes = excluded.stored_bytes, codec = excluded.codec
      where k.claimed_at is null`;
  if (rows === 1) return;
  throw new MairustError("internal", `Cannot hold blob "${blob.digest}": the collector has claimed it`, {
    context: { sqlstate: BLOB_CLAIMED },
  });
}

/** It may be there: stored for other accounts of the same transaction. */
export async function putMessage(tx: Tx, m: HeldMessage): Promise<void> {
  await tx.query`
    insert into messages (message_id, blob_digest, size_bytes, header_bytes, structure, header, message_id_header, subject, from_text,
                          thread_key, attachments, queue_id, mail_from, received_at)
    values (${m.messageId}::uuid, decode(${m.blob.digest}, 'hex'), ${m.blob.sizeBytes}, ${m.headerBytes}, ${m.structure},
            ${m.header ?? null}::bytea, ${textOrNull(m.messageIdHeader)}, ${pgText(m.subject)}, ${pgText(m.from)},
            ${textOrNull(m.threadKey)}, ${m.attachments}, ${pgText(m.queueId)}, ${pgText(m.mailFrom)}, ${m.receivedAt})
    on conflict (message_id) do nothing`;
}

async function insertHold(
  tx: Tx,
  options: HoldsOptions,
  message: HeldMessage,
  hold: NewHold,
): Promise<string> {
  const id = options.newId();
  const { by, account } = hold;
  await tx.query`
    insert into holds (id, message_id, point, hook_priority, hook_name, plugin_id, reason, queue_id, mail_from, recipients,
                       account_id, account, decision, prefix, client, auth_user, expires_at)
    values (${id}::uuid, ${message.messageId}::uuid, ${hold.point}, ${by?.priority ?? null}::int, ${textOrNull(by?.name)},
            ${textOrNull(by?.pluginId)}, ${pgText(hold.reason)}, ${pgText(message.queueId)}, ${pgText(message.mailFrom)},
            ${jsonText(recipientRows(hold.recipients))}::text::jsonb, ${idOrNull(account)}::bigint,
            ${textOrNull(account?.address)}, ${jsonText(hold.decision)}::text::jsonb, ${hold.prefix},
            ${jsonText(hold.session ?? {})}::text::jsonb, ${textOrNull(hold.authUser)},
            now() + make_interval(days => ${options.expireDays()}::int))`;
  return id;
}

/** Recipients as their column holds them; the split of an address is made again when it is read. */
export function recipientRows(recipients: readonly HeldRecipient[]): readonly object[] {
  return recipients.map(({ address, orcpt, notify }) => ({
    address: address.raw,
    ...(orcpt === undefined ? {} : { orcpt }),
    ...(notify === undefined ? {} : { notify }),
  }));
}

/** Of several at the milter the one with the same recipients, if there is one. */
async function findHold(tx: Tx, owner: MessageId, { account, recipients }: NewHold): Promise<string> {
  const [row] = await tx.query<{ id: string }>`
    select id from holds where message_id = ${owner}::uuid and account_id is not distinct from ${idOrNull(account)}::bigint
    order by recipients = ${jsonText(recipientRows(recipients))}::text::jsonb desc, id desc limit 1`;
  return row?.id ?? "";
}

function outcomeEvent(hold: NewHold, heldId: string, already: MessageId | undefined): TimelineEvent {
  const recipient = hold.account === undefined ? {} : { recipient: hold.account.address };
  const at = new Date();
  if (already !== undefined) return { at, kind: "duplicate", ...recipient, data: { stored_as: already } };
  return {
    at,
    kind: "held",
    ...recipient,
    data: { hold: heldId, point: hold.point, hook: hold.by?.name ?? null, reason: hold.reason },
  };
}

/** The owner's notice for now: a reason is a plugin's text, and may quote the mail, so it is not here. */
function logHold(log: Log, message: HeldMessage, hold: NewHold, result: HoldResult | undefined): void {
  const to = hold.account?.address ?? hold.recipients[0]?.address.raw;
  log.info(result?.already === undefined ? "held" : "already held", {
    queue_id: message.queueId,
    id: result?.already ?? message.messageId,
    hold: result?.heldId,
    to,
    ...(hold.recipients.length > 1 ? { recipients: hold.recipients.length } : {}),
    hook: hold.by?.name,
    point: hold.point,
    status: "held",
  });
}

const idOrNull = (account: NewHold["account"]) =>
  account === undefined || account.id === NO_ACCOUNT ? null : account.id;
const textOrNull = (text: string | undefined) => (text === undefined ? null : pgText(text));
