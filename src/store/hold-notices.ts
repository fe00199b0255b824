/**
 * What is remembered of notices about held mail: for each hold who is told, for each address its digests. A digest is made in one commit
 * with the rows that it tells; who is killed before it is queued leaves it to the next run, which queues it under the same id.
 */
import type {
  DueHold,
  HoldDigest,
  HoldNotices,
  NoticeEntry,
  NoticeReader,
} from "../core/ports/hold-notices.ts";
import { type Db, pgText, sql, type Tx } from "./db.ts";
import { selectHolds, toHeldRecord } from "./hold-rows.ts";

/** To one address at most one digest in this time. */
const INTERVAL_S = 3_600;
/** Digests that were queued are forgotten after it. */
const KEEP_S = 24 * 3_600;

export interface HoldNoticeOptions {
  readonly db: Db;
  /** UUIDv7. */
  readonly newId: () => string;
}

export function createHoldNotices({ db, newId }: HoldNoticeOptions): HoldNotices {
  return {
    due: limit => due(db, limit),
    assign: holds => db.begin(tx => assign(tx, holds)),
    async digests(limits) {
      await dropEnded(db);
      for (const address of await waiting(db, limits.digests))
        await db.begin(tx => open(tx, address, newId()));
      return unqueued(db, limits);
    },
    async queued(id) {
      await db.run`update hold_digests set queued_at = now() where id = ${id}::uuid`;
    },
  };
}

async function due(db: Db, limit: number): Promise<readonly DueHold[]> {
  const rows = await selectHolds(
    db,
    sql`where h.notice_due and h.state in ('held', 'releasing') order by h.id limit ${limit}`,
  );
  const headers = await db.query<{ message_id: string; header: Uint8Array | null }>`
    select message_id, header from messages where message_id = any(${rows.map(row => row.message_id)}::uuid[])`;
  const headerOf = new Map(headers.map(row => [row.message_id, row.header ?? undefined]));
  return rows.map(row => ({ record: toHeldRecord(row), header: headerOf.get(row.message_id) }));
}

async function assign(tx: Tx, holds: ReadonlyMap<string, readonly NoticeReader[]>): Promise<void> {
  const ids = [...holds.keys()];
  const mine = await tx.query<{ id: string }>`
    update holds set notice_due = false where id = any(${ids}::uuid[]) and notice_due returning id`;
  const rows = mine.flatMap(({ id }) => (holds.get(id) ?? []).map(reader => ({ id, ...reader })));
  await tx.run`
    insert into hold_notices (hold_id, address, kind, role)
    select hold, address, 'held', role
    from unnest(${rows.map(row => row.id)}::uuid[], ${rows.map(row => pgText(row.address))}::text[],
                ${rows.map(row => row.role)}::text[]) as t (hold, address, role)
    on conflict do nothing`;
}

/** Those who own what expired are told so, if they were told that it was held. In the transaction that ends the holds. */
export async function noteExpired(tx: Tx, holds: readonly string[]): Promise<void> {
  await tx.run`
    insert into hold_notices (hold_id, address, kind, role)
    select hold_id, address, 'expired', role from hold_notices
    where hold_id = any(${holds}::uuid[]) and kind = 'held' and role = 'owner'
    on conflict do nothing`;
}

/** What somebody decided about meanwhile is no news, and what is older than a day is known to have been queued. */
async function dropEnded(db: Db): Promise<void> {
  await db.run`
    delete from hold_notices n using holds h
    where h.id = n.hold_id and n.digest is null and n.kind = 'held' and h.state not in ('held', 'releasing')`;
  await db.run`delete from hold_digests where queued_at < now() - make_interval(secs => ${KEEP_S}::float8)`;
}

async function waiting(db: Db, limit: number): Promise<readonly string[]> {
  const rows = await db.query<{ address: string }>`
    select distinct address from hold_notices n
    where digest is null and not exists (
      select from hold_digests d
      where d.address = n.address and d.created_at > now() - make_interval(secs => ${INTERVAL_S}::float8))
    order by address limit ${limit}`;
  return rows.map(row => row.address);
}

/** Two nodes that open one for the same address at a time open one. */
async function open(tx: Tx, address: string, id: string): Promise<void> {
  const to = pgText(address);
  await tx.query`select pg_advisory_xact_lock(hashtextextended(${`hold_digest ${address}`}, 0))`;
  const made = await tx.run`
    insert into hold_digests (id, address) select ${id}::uuid, ${to}
    where exists (select from hold_notices where address = ${to} and digest is null)
      and not exists (
        select from hold_digests
        where address = ${to} and created_at > now() - make_interval(secs => ${INTERVAL_S}::float8))`;
  if (made === 1)
    await tx.run`update hold_notices set digest = ${id}::uuid where address = ${to} and digest is null`;
}

async function unqueued(
  db: Db,
  limits: { readonly digests: number; readonly entries: number },
): Promise<readonly HoldDigest[]> {
  const rows = await db.query<{ id: string; address: string; total: number }>`
    select d.id, d.address, (select count(*) from hold_notices n where n.digest = d.id) as total
    from hold_digests d where d.queued_at is null order by d.id limit ${limits.digests}`;
  const digests: HoldDigest[] = [];
  for (const { id, address, total } of rows)
    digests.push({ id, address, total, entries: await entriesOf(db, id, limits.entries) });
  return digests;
}

async function entriesOf(db: Db, digest: string, limit: number): Promise<readonly NoticeEntry[]> {
  const notices = await db.query<Pick<NoticeEntry, "kind" | "role"> & { readonly hold_id: string }>`
    select hold_id, kind, role from hold_notices where digest = ${digest}::uuid
    order by hold_id desc, kind limit ${limit}`;
  const ids = notices.map(row => row.hold_id);
  const holds = await selectHolds(db, sql`where h.id = any(${ids}::uuid[])`);
  const records = new Map(holds.map(row => [row.id, toHeldRecord(row)]));
  return notices.flatMap(({ hold_id, kind, role }) => {
    const record = records.get(hold_id);
    return record === undefined ? [] : [{ kind, role, record }];
  });
}
