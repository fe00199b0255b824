/**
 * Bounds the log of expunges, which tells a client that comes back what is there no more (RFC 7162 §3.2.5.1 and §5). A mailbox
 * forgets its oldest ones in MODSEQ order, and in the same transaction its floor rises to the last one forgotten: who asks from below
 * the floor is told that the answer is not complete, and a state of the hub from below it is read anew. So a gap is never unseen.
 */
import { type MailboxId, mailboxId } from "../core/ids.ts";
import type { Db } from "./db.ts";

/** A client that was away for longer compares all it knows. */
const KEEP_DAYS = 90;
/** Expunges that one mailbox remembers, however young. */
const KEEP_PER_MAILBOX = 100_000;

export interface ForgetLimits {
  readonly keepDays?: number;
  readonly keepPerMailbox?: number;
  /** Expunges forgotten in one transaction: it holds up deliveries to the mailbox. */
  readonly rowsPerStep: number;
  /** Transactions at most: the rest waits for the next run. */
  readonly steps: number;
}

/** @param signal  stops after the transaction under way  @returns how many were forgotten */
export async function forgetExpunges(db: Db, limits: ForgetLimits, signal?: AbortSignal): Promise<number> {
  let total = 0;
  let { steps } = limits;
  for (const { id, until } of await findForgettable(db, limits)) {
    for (let rows = limits.rowsPerStep; rows >= limits.rowsPerStep && steps > 0; steps -= 1) {
      if (signal?.aborted === true) return total;
      rows = await forgetUntil(db, mailboxId(id), until, limits.rowsPerStep);
      total += rows;
    }
  }
  return total;
}

interface Forgettable {
  readonly id: number;
  /** MODSEQ of the last expunge to be forgotten. */
  readonly until: number;
}

/**
 * Who waits longest comes first, or some would never have their turn. The second half counts in mailboxes alone that had so many
 * changes since they forgot last: each expunge is one.
 */
function findForgettable(db: Db, { keepDays, keepPerMailbox, steps }: ForgetLimits): Promise<Forgettable[]> {
  const keep = keepPerMailbox ?? KEEP_PER_MAILBOX;
  return db.query<Forgettable>`
    select id, max(until) as until from (
      select mailbox_id as id, max(modseq) as until, min(expunged_at) as oldest from expunged
      where expunged_at < now() - make_interval(days => ${keepDays ?? KEEP_DAYS}::int) group by mailbox_id
      union all
      select m.id, x.modseq, null from mailboxes m cross join lateral (
        select modseq from expunged where mailbox_id = m.id and modseq > m.expunged_floor order by modseq desc offset ${keep}::int limit 1
      ) x where m.highest_modseq - m.expunged_floor > ${keep}::int
    ) f group by id order by min(oldest) nulls first limit ${steps}`;
}

/** The mailbox first, as all who write to its log. @returns how many were forgotten */
function forgetUntil(db: Db, id: MailboxId, until: number, limit: number): Promise<number> {
  return db.begin(async tx => {
    await tx.query`select 1 as locked from mailboxes where id = ${id} for no key update`;
    const [row] = await tx.query<{ rows: number }>`
      with oldest as (
        select uid from expunged where mailbox_id = ${id} and modseq <= ${until}::bigint order by modseq limit ${limit}
      ), gone as (
        delete from expunged x using oldest o where x.mailbox_id = ${id} and x.uid = o.uid returning x.modseq
      )
      update mailboxes m set expunged_floor = greatest(m.expunged_floor, g.floor)
      from (select max(modseq) as floor, count(*) as rows from gone) g
      where m.id = ${id} and g.rows > 0 returning g.rows`;
    return row?.rows ?? 0;
  });
}
