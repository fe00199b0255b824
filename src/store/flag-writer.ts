/**
 * What a user changes of flags and keywords by IMAP: some messages of one mailbox in one transaction, with one event for all of them.
 * Tags are keywords, so what is changed here shows as tags too.
 *
 * Only the mailbox is locked: counters of accounts do not count flags. All messages of a change get the same MODSEQ, the next one (RFC
 * 7162 §3.1). Failures: `too_many`, `not_found`, `store_unavailable`; nothing is changed then, where the connection was
 * not lost during COMMIT (`db-transaction.ts`).
 */
import { MairustError } from "../core/errors.ts";
import { changeFlags, MAX_ENTRY_KEYWORDS } from "../core/flag-change.ts";
import { systemFlagNames } from "../core/flag-names.ts";
import type { MailboxId } from "../core/ids.ts";
import type { FlagChange, FlagChangeResult, FlagWriter } from "../core/ports/flag-writer.ts";
import type { FlagSet } from "../core/ports/store.ts";
import { type TurnLimits, Turns } from "../platform/turns.ts";
import type { MailboxChanges } from "./changes.ts";
import { type Db, isSerializationFailure, jsonText, type Tx } from "./db.ts";
import type { DbOf, OwnerOf } from "./db-share.ts";

/** How long a change waits for a mailbox that somebody holds: the client waits as long, and holds a connection. */
const LOCK_MS = 2_000;

/** Changes of one mailbox that wait for each other here: as many as there are connections, and more. */
const MAX_WAITING = 100_000;

export function createFlagWriter(dbOf: DbOf, ownerOf: OwnerOf, changes: MailboxChanges): FlagWriter {
  // One at a time on this node: those that wait for the lock of the mailbox would hold a connection each.
  const lines = new Map<MailboxId, Turns>();
  const inLine = async <T>(mailbox: MailboxId, work: () => Promise<T>): Promise<T> => {
    const line = lines.get(mailbox) ?? new Turns(ONE_BY_ONE);
    lines.set(mailbox, line);
    try {
      return await line.take(work);
    } finally {
      if (line.load.running === 0) lines.delete(mailbox);
    }
  };
  return {
    async change(change) {
      const db = dbOf(ownerOf(change.mailbox));
      const { changed, ...result } = await inLine(change.mailbox, () => inTransaction(db, change));
      if (changed) changes.publish([change.mailbox]);
      return result;
    },
  };
}

const ONE_BY_ONE: TurnLimits = {
  running: 1,
  waiting: MAX_WAITING,
  refusal: "Cannot change flags: too many changes of the mailbox wait",
  publicText: "too many changes of the mailbox, try later",
};

interface Outcome extends FlagChangeResult {
  readonly changed: boolean;
}

async function inTransaction(db: Db, change: FlagChange): Promise<Outcome> {
  try {
    return await db.begin(tx => changeEntries(tx, change), { lockTimeoutMs: LOCK_MS });
  } catch (error) {
    if (!isSerializationFailure(error)) throw error;
    const publicText = "the mailbox is busy, try again";
    throw new MairustError(
      "store_unavailable",
      `Cannot change flags in mailbox ${change.mailbox}: it is busy`,
      {
        cause: error,
        publicText,
      },
    );
  }
}

async function changeEntries(tx: Tx, change: FlagChange): Promise<Outcome> {
  await planByIndex(tx);
  const modseq = (await lockMailbox(tx, change.mailbox, change.uidValidity)) + 1;
  const entries = await readEntries(tx, change);
  const since = change.unchangedSince;
  const conflicts = entries.filter(entry => since !== undefined && entry.modseq > since);
  const groups = groupsOf(
    since === undefined ? entries : entries.filter(entry => entry.modseq <= since),
    change,
  );
  if (groups.length > 0) {
    await updateEntries(tx, change.mailbox, groups, modseq);
    await recordChange(tx, change, groups);
  }
  const found = new Set(entries.map(entry => entry.uid));
  return {
    changed: groups.length > 0,
    conflicts: conflicts.map(entry => entry.uid),
    missing: [...change.uids].filter(uid => !found.has(uid)),
  };
}

/** As in `store_deliveries` (0001_init.sql): every statement goes by an index, also where a mailbox grew since its table was looked at. */
async function planByIndex(tx: Tx): Promise<void> {
  await tx.query`
    select set_config('enable_seqscan', 'off', true) as s, set_config('enable_hashjoin', 'off', true) as h,
           set_config('enable_mergejoin', 'off', true) as m`;
}

/** @returns HIGHESTMODSEQ; what is read after it is younger than the lock */
async function lockMailbox(tx: Tx, mailbox: MailboxId, uidValidity: number): Promise<number> {
  const [row] = await tx.query<{ uidvalidity: number; highest_modseq: number }>`
    select uidvalidity, highest_modseq from mailboxes where id = ${mailbox} for no key update`;
  if (row?.uidvalidity === uidValidity) return row.highest_modseq;
  throw new MairustError(
    "not_found",
    `Cannot change flags in mailbox ${mailbox}: it was removed or replaced`,
    {
      publicText: "the mailbox was removed or replaced",
    },
  );
}

interface Entry {
  readonly uid: number;
  readonly modseq: number;
  readonly flags: number;
  readonly keywords: readonly string[];
}

/** The list is read once: as a condition (`= any`) it would be, for each message of the mailbox. */
const readEntries = (tx: Tx, { mailbox, uids }: FlagChange): Promise<Entry[]> => tx.query<Entry>`
  select e.uid, e.modseq, e.flags, e.keywords
  from unnest(${`{${uids.join(",")}}`}::text::bigint[]) as u(uid) join entries e on e.mailbox_id = ${mailbox} and e.uid = u.uid
  order by e.uid`;

/** Messages that become the same. */
interface Group {
  readonly flags: FlagSet;
  readonly uids: number[];
}

/** Those that change. @throws {MairustError} `too_many` */
function groupsOf(entries: readonly Entry[], { op, flags }: FlagChange): readonly Group[] {
  const groups = new Map<string, Group>();
  for (const entry of entries) {
    const before = { system: entry.flags, keywords: entry.keywords };
    const after = changeFlags(before, op, flags);
    if (after === before) continue;
    if (after.keywords.length > Math.max(MAX_ENTRY_KEYWORDS, before.keywords.length))
      throw tooMany(entry.uid);
    const key = [after.system, ...after.keywords].join(" ");
    const group = groups.get(key) ?? { flags: after, uids: [] };
    groups.set(key, group);
    group.uids.push(entry.uid);
  }
  return [...groups.values()];
}

function tooMany(uid: number): MairustError {
  const publicText = `a message would have more than ${MAX_ENTRY_KEYWORDS} keywords`;
  return new MairustError("too_many", `Cannot change flags of UID ${uid}: ${publicText}`, { publicText });
}

async function updateEntries(
  tx: Tx,
  mailbox: MailboxId,
  groups: readonly Group[],
  modseq: number,
): Promise<void> {
  const rows = groups.map(({ flags, uids }) => ({ f: flags.system, w: flags.keywords, u: uids }));
  await tx.query`
    update entries e set flags = g.f, keywords = g.w, modseq = ${modseq}
    from json_to_recordset(${jsonText(rows)}::text::json) as g(f smallint, w text[], u bigint[]), unnest(g.u) as x(uid)
    where e.mailbox_id = ${mailbox} and e.uid = x.uid`;
}

/** What was asked, of those that it made a difference to. */
async function recordChange(
  tx: Tx,
  { mailbox, op, flags, by }: FlagChange,
  groups: readonly Group[],
): Promise<void> {
  const uids = groups.flatMap(group => group.uids);
  await tx.query`
    insert into flag_changes (mailbox_id, places, data)
    select ${mailbox}, range_agg(int8range((${mailbox}::bigint << 32) + uid, (${mailbox}::bigint << 32) + uid, '[]')),
           ${jsonText({ by: [`imap ${by.user} from ${by.peer}`], ...asked(op, flags) })}::text::jsonb
    from unnest(${`{${uids.join(",")}}`}::text::bigint[]) as u(uid)`;
}

/** As `entry-changes.ts` names it in a timeline. */
function asked(op: FlagChange["op"], { system, keywords }: FlagSet): Readonly<Record<string, unknown>> {
  const names = systemFlagNames(system);
  if (op === "add") return { tags_added: keywords, flags_set: names };
  if (op === "remove") return { tags_removed: keywords, flags_cleared: names };
  return { flags_replaced: [...names, ...keywords] };
}
