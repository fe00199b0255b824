/** Rows of the journal (`plugin_changes`) as a transaction writes them, beside the change that they are about. */
import type { CopyChange } from "../core/copy-changes.ts";
import type { AccountId, MessageId } from "../core/ids.ts";
import type { HookWish } from "../core/ports/hook-wish.ts";
import { jsonText, type Queryable, sql } from "./db.ts";

export interface JournalRow {
  readonly messageId: MessageId;
  readonly account: AccountId;
  readonly wish: HookWish;
  readonly change: CopyChange;
}

/** @param rows  with the place of a target, from 1. @returns an insert that may be narrowed, as `w` */
export function insertJournalFrom(rows: readonly (JournalRow & { readonly target?: number })[]) {
  const list = rows.map(({ messageId: m, account: a, target: t = 0, wish, change: c }) => ({
    target: t,
    ...{ m, a, c },
    ...{ p: wish.pluginId, v: wish.pluginVersion, h: wish.hook, o: wish.point, k: wish.callId },
  }));
  return sql`
    insert into plugin_changes (message_id, account_id, plugin_id, plugin_version, hook, point, call_id, change)
    select m, a, p, v, h, o, k, c
    from json_to_recordset(${jsonText(list)}::text::json)
      as w(target bigint, m uuid, a bigint, p text, v text, h text, o text, k text, c jsonb)`;
}

export async function insertJournal(db: Queryable, rows: readonly JournalRow[]): Promise<void> {
  if (rows.length > 0) await db.query`${insertJournalFrom(rows)}`;
}
