/** The egress ledger in PostgreSQL: entries come from the nodes' spools (`hooks/ledger-loader.ts`), and people read them here. */
import type { Page, PageRequest } from "../core/admin-ports.ts";
import { MairustError } from "../core/errors.ts";
import type { HookPoint } from "../core/ports/hooks.ts";
import type { LedgerEntry, LedgerFilter } from "../core/ports/ledger.ts";
import { pageOf } from "./admin-change.ts";
import { type Db, jsonText, pgText, sql } from "./db.ts";
import type { Fragment } from "./db-values.ts";

/** Entries of one statement. */
const ENTRIES_PER_STATEMENT = 1_000;

/** Keep entries; those that are there already change nothing. @throws {MairustError} `store_unavailable` */
export async function keepLedgerEntries(db: Db, entries: readonly LedgerEntry[]): Promise<void> {
  for (let at = 0; at < entries.length; at += ENTRIES_PER_STATEMENT) {
    const rows = jsonText(entries.slice(at, at + ENTRIES_PER_STATEMENT).map(toRow));
    await db.run`
      insert into ledger (call_id, attempt, at, message_id, queue_id, point, hook, plugin_id, plugin_version, mode, fields, grants,
                          bytes, digest, destination, recipients)
      select call_id, attempt, at, message_id, queue_id, point, hook, plugin_id, plugin_version, mode, fields, grants,
             bytes, digest, destination, recipients
      from jsonb_to_recordset(${rows}::text::jsonb) as r(
        call_id text, attempt int, at timestamptz, message_id text, queue_id text, point text, hook text, plugin_id text,
        plugin_version text, mode text, fields text[], grants jsonb, bytes bigint, digest text, destination text, recipients int)
      on conflict (call_id, attempt) do nothing`;
  }
}

interface LedgerRow {
  readonly call_id: string;
  readonly attempt: number;
  readonly at: Date | string;
  readonly message_id: string;
  readonly queue_id: string;
  readonly point: HookPoint;
  readonly hook: string;
  readonly plugin_id: string;
  readonly plugin_version: string;
  readonly mode: "shadow" | "enforce";
  readonly fields: readonly string[];
  readonly grants: Readonly<Record<string, unknown>>;
  readonly bytes: number;
  readonly digest: string;
  readonly destination: string;
  readonly recipients: number;
}

const toRow = (entry: LedgerEntry): LedgerRow => ({
  call_id: entry.callId,
  attempt: entry.attempt,
  at: entry.at.toISOString(),
  message_id: entry.messageId,
  queue_id: entry.queueId,
  point: entry.point,
  hook: entry.hook,
  plugin_id: entry.pluginId,
  plugin_version: entry.pluginVersion,
  mode: entry.mode,
  fields: entry.fields,
  grants: entry.grants,
  bytes: entry.bytes,
  digest: entry.digest,
  destination: entry.destination,
  recipients: entry.recipients,
});

const toEntry = (row: LedgerRow): LedgerEntry => ({
  at: new Date(row.at),
  callId: row.call_id,
  messageId: row.message_id,
  queueId: row.queue_id,
  point: row.point,
  hook: row.hook,
  pluginId: row.plugin_id,
  pluginVersion: row.plugin_version,
  mode: row.mode,
  attempt: row.attempt,
  fields: row.fields,
  grants: row.grants,
  bytes: row.bytes,
  digest: row.digest,
  destination: row.destination,
  recipients: row.recipients,
});

/** Newest first. @throws {MairustError} `invalid_argument`: the cursor; `store_unavailable` */
export async function listLedger(
  db: Db,
  filter: LedgerFilter,
  page: PageRequest,
): Promise<Page<LedgerEntry>> {
  const { plugin, hook, message, queueId, since, until } = filter;
  const rows = await db.query<LedgerRow>`
    select call_id, attempt, at, message_id, queue_id, point, hook, plugin_id, plugin_version, mode, fields, grants, bytes, digest,
           destination, recipients
    from ledger
    where ${page.after === undefined ? sql`true` : afterCursor(page.after)}
      and ${plugin === undefined ? sql`true` : sql`plugin_id = ${pgText(plugin)}`}
      and ${hook === undefined ? sql`true` : sql`hook = ${pgText(hook)}`}
      and ${message === undefined ? sql`true` : sql`message_id = ${pgText(message)}`}
      and ${queueId === undefined ? sql`true` : sql`queue_id = ${pgText(queueId)} and queue_id <> ''`}
      and ${since === undefined ? sql`true` : sql`at >= ${since}`}
      and ${until === undefined ? sql`true` : sql`at < ${until}`}
    order by at desc, call_id desc, attempt desc limit ${page.limit + 1}`;
  return pageOf(rows, page, toEntry, cursorOf);
}

const cursorOf = ({ at, callId, attempt }: LedgerEntry) => `${at.toISOString()} ${attempt} ${callId}`;

function afterCursor(cursor: string): Fragment {
  const [, at = "", attempt = "", callId = ""] = /^(\S+) (\d{1,9}) (.+)$/u.exec(cursor) ?? [];
  const time = new Date(at);
  if (Number.isNaN(time.getTime())) {
    const reason = "the cursor is not one of ours";
    throw new MairustError("invalid_argument", `Cannot list the ledger: ${reason}`, { publicText: reason });
  }
  return sql`(at, call_id, attempt) < (${time}, ${callId}, ${Number(attempt)}::int)`;
}
