/**
 * The journal of what plugins changed in stored copies, read and undone. Entries are written with the changes themselves
 * (`journal-rows.ts`). Each entry is undone in one commit: the copy's change, its timeline, and the mark that it was done.
 * Failures: `store_unavailable`; nothing is changed then.
 */
import { type CopyChange, inherited, type OtherChange, undoing } from "../core/copy-changes.ts";
import { accountId, type MailboxId, messageId } from "../core/ids.ts";
import type { Journal, UndoCount, UndoOutcome, UndoSelection } from "../core/ports/journal.ts";
import type { MailboxChanges } from "./changes.ts";
import { type Db, json, sql, type Tx } from "./db.ts";
import { changeCopies } from "./message-changes.ts";

/** Kind of the job that undoes, for the timeline. */
export const UNDO_JOB = "undo";
/** Entries about one copy that are looked at: past it the oldest do not count as others' wishes. */
const MAX_OTHERS = 1000;

export interface JournalOptions {
  readonly db: Db;
  readonly changes: MailboxChanges;
}

export function createJournal({ db, changes }: JournalOptions): Journal {
  return {
    async count(selection) {
      const [row] = await db.query<UndoCount>`
        select count(*)::int as changes, count(distinct message_id)::int as messages, count(distinct account_id)::int as accounts
        from plugin_changes c where ${selected(selection)}`;
      return row ?? { changes: 0, messages: 0, accounts: 0 };
    },
    async next(selection, before, limit) {
      const rows = await db.query<{ id: number }>`
        select id from plugin_changes c
        where ${selected(selection)} and id < ${before ?? Number.MAX_SAFE_INTEGER} order by id desc limit ${limit}`;
      return rows.map(({ id }) => id);
    },
    async undo(id, by) {
      const done = await db.begin(tx => undoOne(tx, id, by));
      if (done !== undefined && done.touched.length > 0) changes.publish(done.touched);
      return done?.outcome;
    },
  };
}

function selected({ pluginId, version, hook, since, until, account }: UndoSelection) {
  return sql`undone_at is null and plugin_id = ${pluginId}
    ${version === undefined ? sql`` : sql`and plugin_version = ${version}`}
    ${hook === undefined ? sql`` : sql`and hook = ${hook}`}
    ${since === undefined ? sql`` : sql`and at >= ${since}`}
    ${until === undefined ? sql`` : sql`and at < ${until}`}
    ${account === undefined ? sql`` : sql`and account_id = ${account}`}`;
}

interface EntryRow {
  readonly message_id: string;
  readonly account_id: number;
  readonly plugin_id: string;
  readonly hook: string;
  readonly call_id: string;
  readonly change: CopyChange;
}

async function undoOne(
  tx: Tx,
  id: number,
  by: string,
): Promise<{ readonly outcome: UndoOutcome; readonly touched: readonly MailboxId[] } | undefined> {
  // The account first, as everybody who changes copies does: else two could wait for each other.
  await tx.query`
    select a.id from accounts a where a.id = (select account_id from plugin_changes where id = ${id}) for no key update`;
  const [entry] = await tx.query<EntryRow>`
    select message_id, account_id, plugin_id, hook, call_id, change from plugin_changes
    where id = ${id} and undone_at is null for update`;
  if (entry === undefined) return undefined;
  const others = await othersOf(tx, id, entry);
  const changes = undoing(entry.change, others);
  const { results, touched } = await changeCopies(tx, {
    messageId: messageId(entry.message_id),
    accounts: [accountId(entry.account_id)],
    changes,
    by: [{ plugin_id: entry.plugin_id, hook: entry.hook, changes: ["undone"], call_id: entry.call_id }],
    job: UNDO_JOB,
    events: [],
  });
  for (const [other, change] of inherited(entry.change, others))
    await tx.run`update plugin_changes set change = ${json(change)}::jsonb where id = ${other.id}`;
  await tx.run`update plugin_changes set undone_at = now(), undone_by = ${by} where id = ${id}`;
  return { outcome: results[0]?.outcome === "changed" ? "undone" : "nothing_left", touched };
}

async function othersOf(
  tx: Tx,
  id: number,
  entry: EntryRow,
): Promise<readonly (OtherChange & { readonly id: number })[]> {
  const rows = await tx.query<{ id: number; change: CopyChange }>`
    select id, change from plugin_changes
    where message_id = ${entry.message_id}::uuid and account_id = ${entry.account_id} and id <> ${id} and undone_at is null
    order by id desc limit ${MAX_OTHERS}`;
  return rows.map(row => ({ id: row.id, isLater: row.id > id, change: row.change }));
}
