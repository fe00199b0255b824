/**
 * One batch of imported messages in one transaction: entries, and the keys by which a second pass knows them. So a kill at any time
 * leaves both or neither. Locks as in `deliver.ts`: the account, then the mailbox.
 */
import { MairustError, NotFound } from "../core/errors.ts";
import { type AccountId, type MailboxId, mailboxId } from "../core/ids.ts";
import type { Delivery, DeliveryTarget } from "../core/ports/store.ts";
import type { ImportMessage, ImportOutcome } from "../core/ports/transfer.ts";
import { jsonText, type Queryable, sql, type Tx } from "./db.ts";
import { storeDeliveries } from "./deliver-rows.ts";
import { stillFree, takeOver } from "./import-recognize.ts";
import { normalizeMailboxName } from "./mailbox-names.ts";

/** The locks are held already; blobs may be waited for. */
const LOCK_MS = 5_000;

export interface ImportMailbox {
  readonly id: number;
  readonly name: string;
  readonly uidNext: number;
  readonly modseq: number;
  readonly usedBytes: number;
  /** 0: none. */
  readonly quotaBytes: number;
  /** UIDVALIDITY of the source whose UIDs it has. */
  readonly kept: number | undefined;
  /** Messages imported earlier. */
  readonly known: number;
}

export interface BatchTarget {
  readonly account: AccountId;
  readonly mailbox: string;
  readonly importId: number;
  readonly keep: number | undefined;
}

export interface AddedBatch {
  readonly mailboxId: MailboxId;
  readonly outcomes: readonly ImportOutcome[];
  readonly stored: number;
  readonly storedBytes: number;
  /** Entries that were here took flags of the source. */
  readonly flagged: boolean;
}

export async function findMailbox(
  q: Queryable,
  account: AccountId,
  name: string,
  lock = sql``,
): Promise<ImportMailbox | undefined> {
  const [row] = await q.query<{
    id: number;
    name: string;
    uidnext: number;
    highest_modseq: number;
    used_bytes: number;
    quota_bytes: number;
    kept: number | null;
    known: number;
  }>`
    select m.id, m.name, m.uidnext, m.highest_modseq, a.used_bytes, coalesce(a.quota_bytes, d.quota_bytes) as quota_bytes,
           (select k.uidvalidity from import_kept_uids k where k.mailbox_id = m.id) as kept,
           (select count(*) from import_messages i where i.mailbox_id = m.id) as known
    from mailboxes m join accounts a on a.id = m.account_id join domains d on d.name = a.domain
    where m.account_id = ${account} and m.name = ${name} ${lock}`;
  return row === undefined
    ? undefined
    : {
        id: row.id,
        name: row.name,
        uidNext: row.uidnext,
        modseq: row.highest_modseq,
        usedBytes: row.used_bytes,
        quotaBytes: row.quota_bytes,
        kept: row.kept ?? undefined,
        known: row.known,
      };
}

/** @throws {MairustError} `not_found` */
export async function lockMailbox(tx: Tx, account: AccountId, name: string): Promise<ImportMailbox> {
  const wanted = normalizeMailboxName(name);
  // The account first, as everybody does; what is read below is then younger than the locks.
  await tx.query`select 1 as one from accounts where id = ${account} for no key update`;
  await tx.query`select 1 as one from mailboxes where account_id = ${account} and name = ${wanted} for no key update`;
  const mailbox = await findMailbox(tx, account, wanted);
  if (mailbox === undefined) throw new NotFound("mailbox", wanted);
  return mailbox;
}

/** It never held an entry, and its UIDVALIDITY is still free to choose: the condition of the trigger on `mailboxes`. */
export const isPristine = (mailbox: ImportMailbox): boolean => mailbox.uidNext === 1 && mailbox.modseq === 1;

/** @throws {MairustError} `not_found` */
export async function addMessages(
  tx: Tx,
  target: BatchTarget,
  messages: readonly ImportMessage[],
): Promise<AddedBatch> {
  const mailbox = await lockMailbox(tx, target.account, target.mailbox);
  const known = await knownMessages(tx, mailbox.id, target.importId, messages);
  const mayKeep = target.keep !== undefined && (mailbox.kept === target.keep || isPristine(mailbox));
  const standing = messages.flatMap(({ standsFor }) => standsFor ?? []);
  const free = await stillFree(tx, mailbox.id, standing);
  const placer = new Placer(
    mailbox,
    known,
    free,
    target.keep === undefined ? "own" : mayKeep ? "keep" : "refuse",
  );
  const outcomes = messages.map(message => placer.place(message));
  const flagged = await takeOver(tx, mailbox, placer.recognized);
  if (placer.placed.length > 0) await settleUidvalidity(tx, mailbox, target.keep);
  const deliveries = placer.placed.map(placed => placed.delivery);
  await store(tx, mailbox, placer.placed);
  await remember(tx, mailbox.id, target.importId, messages, outcomes, placer);
  const storedBytes = deliveries.reduce((sum, delivery) => sum + delivery.blob.sizeBytes, 0);
  await tx.query`
    update imports set copied = copied + ${deliveries.length}, copied_bytes = copied_bytes + ${storedBytes}
    where id = ${target.importId}::bigint`;
  return { mailboxId: mailboxId(mailbox.id), outcomes, stored: deliveries.length, storedBytes, flagged };
}

/** The account and the mailbox are locked already: what the placer gave is still free. */
async function store(tx: Tx, mailbox: ImportMailbox, placed: readonly Placed[]): Promise<void> {
  if (placed.length === 0) return;
  const results = await storeDeliveries(tx, {
    batch: placed.map(({ delivery, target }) => ({
      ...delivery,
      targets: [{ ...target, mailbox: mailbox.name, ifMissing: "fail" }],
    })),
    lockMs: LOCK_MS,
    windowS: 0,
    makeMissing: false,
    uids: placed.map(({ uid }) => uid),
  });
  if (results.every(([result]) => result?.kind === "stored")) return;
  throw new MairustError("internal", `Cannot import into "${mailbox.name}": what fitted did not fit`);
}

interface Placed {
  readonly delivery: Delivery;
  readonly target: DeliveryTarget;
  readonly uid: number;
}

interface KnownMessages {
  /** Key → UID here. */
  readonly byKey: Map<string, number>;
  /** Digest → messages whose key the source has no more, as far as this pass has seen. */
  readonly orphans: Map<string, { readonly key: string; readonly uid: number }[]>;
}

async function knownMessages(
  tx: Tx,
  mailbox: number,
  importId: number,
  messages: readonly ImportMessage[],
): Promise<KnownMessages> {
  const keys = messages.map(message => message.key);
  const digests = [...new Set(messages.map(message => message.digest as string))];
  const rows = await tx.query<{ source_key: string; digest: string; uid: number; is_key: boolean }>`
    select source_key, encode(digest, 'hex') as digest, uid, source_key = any(${keys}::text[]) as is_key
    from import_messages
    where mailbox_id = ${mailbox} and (source_key = any(${keys}::text[]) or (
      seen_in <> ${importId}::bigint and digest = any(array(select decode(d, 'hex') from unnest(${digests}::text[]) d))
    ))
    order by uid`;
  const known: KnownMessages = { byKey: new Map(), orphans: new Map() };
  for (const row of rows) {
    if (row.is_key) known.byKey.set(row.source_key, row.uid);
    else
      known.orphans.set(row.digest, [
        ...(known.orphans.get(row.digest) ?? []),
        { key: row.source_key, uid: row.uid },
      ]);
  }
  return known;
}

/** Gives each message of a batch its place, under the locks. */
class Placer {
  readonly placed: Placed[] = [];
  /** New key → the key that the same message had before. */
  readonly renamed = new Map<string, string>();
  /** What an entry stood for already. */
  readonly recognized: { readonly message: ImportMessage; readonly uid: number }[] = [];
  readonly #mailbox: ImportMailbox;
  readonly #known: KnownMessages;
  readonly #free: Set<number>;
  readonly #uids: "keep" | "own" | "refuse";
  #uidNext: number;
  #usedBytes: number;
  #isFull = false;

  /** @param free  UIDs that may stand for a message of the source */
  constructor(
    mailbox: ImportMailbox,
    known: KnownMessages,
    free: Set<number>,
    uids: "keep" | "own" | "refuse",
  ) {
    this.#mailbox = mailbox;
    this.#known = known;
    this.#free = free;
    this.#uids = uids;
    this.#uidNext = mailbox.uidNext;
    this.#usedBytes = mailbox.usedBytes;
  }

  place(message: ImportMessage): ImportOutcome {
    const { byKey, orphans } = this.#known;
    const uid = byKey.get(message.key);
    if (uid !== undefined) return { kind: "already", uid };
    const orphan = orphans.get(message.digest)?.shift();
    if (orphan !== undefined) {
      this.renamed.set(message.key, orphan.key);
      byKey.set(message.key, orphan.uid);
      return { kind: "already", uid: orphan.uid };
    }
    const { standsFor } = message;
    if (standsFor !== undefined && this.#free.delete(standsFor)) {
      this.recognized.push({ message, uid: standsFor });
      byKey.set(message.key, standsFor);
      return { kind: "already", uid: standsFor };
    }
    return this.#store(message);
  }

  #store(message: ImportMessage): ImportOutcome {
    const { delivery } = message;
    const [target] = delivery.targets;
    const { quotaBytes } = this.#mailbox;
    const size = delivery.blob.sizeBytes;
    if (quotaBytes > 0 && this.#usedBytes + size > quotaBytes) this.#isFull = true;
    if (this.#isFull || target === undefined) return { kind: "over_quota" };
    const uid = this.#uids === "own" ? this.#uidNext : message.sourceUid;
    if (this.#uids === "refuse" || uid === undefined || uid < this.#uidNext) return { kind: "uid_taken" };
    this.#usedBytes += size;
    this.#uidNext = uid + 1;
    this.#known.byKey.set(message.key, uid);
    this.placed.push({ delivery, target, uid });
    return { kind: "stored", uid };
  }
}

/** With the first entries the mailbox takes its source's UIDVALIDITY; one that gets UIDs of our own keeps nobody's any more. */
async function settleUidvalidity(tx: Tx, mailbox: ImportMailbox, keep: number | undefined): Promise<void> {
  if (keep === undefined && mailbox.kept !== undefined) {
    await tx.query`delete from import_kept_uids where mailbox_id = ${mailbox.id}`;
  } else if (keep !== undefined && mailbox.kept === undefined) {
    await tx.query`update mailboxes set uidvalidity = ${keep} where id = ${mailbox.id}`;
    await tx.query`insert into import_kept_uids (mailbox_id, uidvalidity) values (${mailbox.id}, ${keep})`;
  }
}

async function remember(
  tx: Tx,
  mailbox: number,
  importId: number,
  messages: readonly ImportMessage[],
  outcomes: readonly ImportOutcome[],
  { renamed, recognized }: Pick<Placer, "renamed" | "recognized">,
): Promise<void> {
  const taken = new Set(recognized.map(({ message }) => message.key));
  const rows = messages.flatMap((message, i) => {
    const outcome = outcomes[i];
    if (outcome === undefined || !("uid" in outcome)) return [];
    if (outcome.kind === "already" && !renamed.has(message.key) && !taken.has(message.key)) return [];
    const { system: f, keywords: w } = message.flags;
    const uids = { s: message.sourceUid ?? null, u: outcome.uid };
    return [{ k: message.key, d: message.digest, f, w, ...uids }];
  });
  const old = [...renamed.values()];
  if (old.length > 0)
    await tx.query`delete from import_messages where mailbox_id = ${mailbox} and source_key = any(${old}::text[])`;
  if (rows.length === 0) return;
  await tx.query`
    insert into import_messages (mailbox_id, source_key, source_uid, digest, uid, flags, keywords, seen_in)
    select ${mailbox}, k, s, decode(d, 'hex'), u, f, coalesce((select array_agg(x) from json_array_elements_text(w) x), '{}'),
           ${importId}::bigint
    from json_to_recordset(${jsonText(rows)}::text::json) as r(k text, s bigint, d text, u bigint, f smallint, w json)`;
}
