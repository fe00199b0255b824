/**
 * Held mail as people see it: list, show, end; and what ends by itself: expired holds, those of accounts that are removed, and the
 * records of holds that ended long ago.
 */
import type { Page, PageRequest } from "../core/admin-ports.ts";
import { MairustError } from "../core/errors.ts";
import { blobDigest, messageId } from "../core/ids.ts";
import type { HeldContent, HeldRecord, HoldAdmin, HoldFilter } from "../core/ports/hold-admin.ts";
import type { TimelineEvent } from "../core/ports/timeline.ts";
import { readAddress } from "./addresses.ts";
import { change, pageOf } from "./admin-change.ts";
import { isUuid } from "./admin-search.ts";
import { type Db, sql, type Tx } from "./db.ts";
import type { Fragment } from "./db-values.ts";
import { insertEvents } from "./deliver-rows.ts";
import { noteExpired } from "./hold-notices.ts";
import { dropMessages, getHoldRow, selectHolds, toHeldRecord, wrongState } from "./hold-rows.ts";

/** Holds that one statement ends, and statements of one run: the rest waits for the next. */
const STEP = 200;
const MAX_STEPS = 500;
/** Records that one run forgets. */
const FORGET_ROWS = 5_000;

export function createHoldAdmin(db: Db): HoldAdmin {
  return {
    list: (filter, page) => list(db, filter, page),
    get: async id => toHeldRecord(await getHoldRow(db, id)),
    content: id => content(db, id),
    end: (id, as, by, options, events = []) =>
      change(db, options, async tx => {
        const row = await getHoldRow(tx, id, sql`for update of h`);
        const [ended] = await endHolds(tx, as, by, sql`h.id = ${row.id}::uuid and ${IS_FREE}`, events);
        if (ended === undefined) throw wrongState(as === "deleted" ? "delete" : "reject", row);
        return ended;
      }),
    async countOpen() {
      const [row] = await db.query<{ n: number }>`
        select count(*) as n from holds where state in ('held', 'releasing')`;
      return row?.n ?? 0;
    },
  };
}

/** What a release leaves whose process is gone; into the mailbox of its account it happens wholly or not at all. */
export const INTERRUPTED = sql`
  case when h.account is null then 'a release was interrupted: mail may have been submitted already'
       else 'a release was interrupted' end`;

/** Nobody releases it, or whoever did is gone. */
export const IS_FREE = sql`(h.state = 'held' or (h.state = 'releasing' and h.lease_until < now()))`;

async function list(db: Db, filter: HoldFilter, page: PageRequest): Promise<Page<HeldRecord>> {
  const { state, hook } = filter;
  const account = filter.account === undefined ? undefined : readAddress(filter.account);
  const rows = await selectHolds(
    db,
    sql`where ${page.after === undefined ? sql`true` : sql`h.id < ${readCursor(page.after)}::uuid`}
      and ${stateCondition(state)}
      and ${hook === undefined ? sql`true` : sql`h.hook_name = ${hook}`}
      and ${account === undefined ? sql`true` : sql`h.account = ${`${account.local}@${account.domain}`}`}
      order by h.id desc limit ${page.limit + 1}`,
  );
  return pageOf(rows, page, toHeldRecord, record => record.id);
}

function stateCondition(state: HoldFilter["state"]): Fragment {
  if (state === "all") return sql`true`;
  return state === undefined ? sql`h.state in ('held', 'releasing')` : sql`h.state = ${state}`;
}

function readCursor(text: string): string {
  if (isUuid(text)) return text;
  const reason = "the cursor is not one of ours";
  throw new MairustError("invalid_argument", `Cannot list held mail: ${reason}`, { publicText: reason });
}

async function content(db: Db, id: string): Promise<HeldContent | undefined> {
  const { message_id: message } = await getHoldRow(db, id);
  const [row] = await db.query<{
    digest: string;
    size_bytes: number;
    header_bytes: number;
    header: Uint8Array | null;
    structure: Uint8Array;
  }>`
    select encode(blob_digest, 'hex') as digest, size_bytes, header_bytes, header, structure
    from messages where message_id = ${message}::uuid`;
  if (row === undefined) return undefined;
  return {
    digest: blobDigest(row.digest),
    sizeBytes: row.size_bytes,
    headerBytes: row.header_bytes,
    header: row.header ?? undefined,
    structure: row.structure,
  };
}

/** End all that the condition on `h` names, in the caller's transaction. @returns those that ended */
async function endHolds(
  tx: Tx,
  as: "rejected" | "deleted" | "expired",
  by: string,
  which: Fragment,
  events: readonly TimelineEvent[] = [],
): Promise<readonly HeldRecord[]> {
  const ended = await tx.query<{ id: string; message_id: string }>`
    update holds h set state = ${as}, ended_at = now(), ended_by = ${by}, lease = null, lease_until = null where ${which}
    returning id, message_id`;
  if (ended.length === 0) return [];
  const rows = await selectHolds(
    tx,
    sql`where h.id = any(${ended.map(row => row.id)}::uuid[]) order by h.id`,
  );
  await insertEvents(
    tx,
    rows.map(row => ({
      messageId: messageId(row.message_id),
      queueId: row.queue_id,
      events: [...events, endEvent(row.id, row.account, as, by)],
    })),
  );
  const ids = ended.map(row => row.id);
  if (as === "expired") await noteExpired(tx, ids);
  await dropMessages(
    tx,
    ended.map(row => row.message_id),
  );
  return rows.map(toHeldRecord);
}

function endEvent(hold: string, account: string | null, as: string, by: string): TimelineEvent {
  const recipient = account === null ? {} : { recipient: account };
  return { at: new Date(), kind: "hold_ended", ...recipient, data: { hold, as, by } };
}

/** The account goes, and the mail that is held for it. In the transaction that removes it, after its row was locked. */
export async function endHoldsOfAccount(tx: Tx, account: number): Promise<void> {
  await endHolds(
    tx,
    "deleted",
    "account removal",
    sql`h.account_id = ${account} and h.state in ('held', 'releasing')`,
  );
}

/** @returns those whose time is over, in steps: each step is told when it is committed */
export async function* expireHolds(db: Db): AsyncGenerator<readonly HeldRecord[]> {
  for (let i = 0; i < MAX_STEPS; i++) {
    const ended = await db.begin(tx =>
      endHolds(
        tx,
        "expired",
        "hold.expire_days",
        sql`h.id = any(array(
          select h.id from holds h where h.expires_at < now() and ${IS_FREE} order by h.id limit ${STEP} for update skip locked
        ))`,
      ),
    );
    if (ended.length > 0) yield ended;
    if (ended.length < STEP) return;
  }
}

/** Releases whose process is gone: held again, and whoever looks is told. @returns how many */
export function recoverHolds(db: Db): Promise<number> {
  return db.run`
    update holds h set state = 'held', lease = null, lease_until = null, problem = ${INTERRUPTED}
    where h.state = 'releasing' and h.lease_until < now()`;
}

/** Records of holds that ended long ago, with their one-time ids, and ids that are too old to be used. @returns how many holds */
export async function forgetHolds(db: Db, days: number): Promise<number> {
  await db.run`delete from submissions where expires_at < now() - make_interval(days => ${days}::int)`;
  return db.run`
    delete from holds where id = any(array(
      select id from holds where ended_at < now() - make_interval(days => ${days}::int) limit ${FORGET_ROWS}
    ))`;
}
