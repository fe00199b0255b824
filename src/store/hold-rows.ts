/** Rows of `holds` as records, and what is done to them in more than one place: ending one, and letting its message go. */
import { parseMailAddress } from "../core/envelope.ts";
import { MairustError, NotFound } from "../core/errors.ts";
import { messageId } from "../core/ids.ts";
import type { HeldRecord, HoldState } from "../core/ports/hold-admin.ts";
import type { HookPoint } from "../core/ports/hooks.ts";
import { isUuid } from "./admin-search.ts";
import { type Queryable, sql, type Tx } from "./db.ts";
import type { Fragment } from "./db-values.ts";

export interface HoldRow {
  readonly id: string;
  readonly message_id: string;
  readonly state: HoldState;
  readonly point: HookPoint;
  readonly hook_priority: number | null;
  readonly hook_name: string | null;
  readonly plugin_id: string | null;
  readonly reason: string;
  readonly queue_id: string;
  readonly mail_from: string;
  readonly recipients: ReadonlyArray<{
    readonly address: string;
    readonly orcpt?: string;
    readonly notify?: readonly string[];
  }>;
  readonly account: string | null;
  readonly auth_user: string | null;
  readonly problem: string | null;
  readonly created_at: Date;
  readonly expires_at: Date;
  readonly ended_at: Date | null;
  readonly ended_by: string | null;
  readonly subject: string | null;
  readonly from_text: string | null;
  readonly size_bytes: number | null;
  readonly attachments: number | null;
}

export function selectHolds(q: Queryable, rest: Fragment): Promise<HoldRow[]> {
  return q.query<HoldRow>`
    select h.id, h.message_id, h.state, h.point, h.hook_priority, h.hook_name, h.plugin_id, h.reason, h.queue_id, h.mail_from,
           h.recipients, h.account, h.auth_user, h.problem, h.created_at, h.expires_at, h.ended_at, h.ended_by,
           m.subject, m.from_text, m.size_bytes, m.attachments
    from holds h left join messages m on m.message_id = h.message_id ${rest}`;
}

/** @throws {MairustError} `not_found` */
export async function getHoldRow(q: Queryable, id: string, lock = sql``): Promise<HoldRow> {
  const [row] = isUuid(id) ? await selectHolds(q, sql`where h.id = ${id}::uuid ${lock}`) : [];
  if (row === undefined) throw new NotFound("held message", id);
  return row;
}

export const toHeldRecord = (row: HoldRow): HeldRecord => ({
  id: row.id,
  messageId: messageId(row.message_id),
  state: row.state,
  point: row.point,
  hook:
    row.hook_name === null || row.hook_priority === null
      ? undefined
      : { priority: row.hook_priority, name: row.hook_name },
  pluginId: row.plugin_id ?? undefined,
  reason: row.reason,
  queueId: row.queue_id,
  mailFrom: row.mail_from,
  recipients: row.recipients.map(({ address, ...rest }) => ({ address: parseMailAddress(address), ...rest })),
  account: row.account ?? undefined,
  authUser: row.auth_user ?? undefined,
  problem: row.problem ?? undefined,
  subject: row.subject ?? "",
  from: row.from_text ?? "",
  sizeBytes: row.size_bytes ?? 0,
  attachments: row.attachments ?? 0,
  createdAt: row.created_at,
  expiresAt: row.expires_at,
  endedAt: row.ended_at ?? undefined,
  endedBy: row.ended_by ?? undefined,
});

/** @param verb  what was asked for: `release` */
export function wrongState(verb: string, { id, state }: Pick<HoldRow, "id" | "state">): MairustError {
  const now = state === "releasing" ? "is being released" : `was ${state}`;
  const text = state === "held" ? `held message ${id} changed meanwhile` : `message ${id} ${now}`;
  return new MairustError("invalid_state", `Cannot ${verb}: ${text}`, { publicText: text });
}

/**
 * After holds ended: messages that nobody else has go, their blobs are the collector's a day later. Locks messages, then blobs, in
 * order.
 */
export async function dropMessages(tx: Tx, messages: readonly string[]): Promise<void> {
  const ids = [...new Set(messages)];
  await tx.query`select 1 as one from messages where message_id = any(${ids}::uuid[]) order by message_id for update`;
  const gone = await tx.query<{ digest: string }>`
    delete from messages m where m.message_id = any(${ids}::uuid[])
      and not exists (select from entries e where e.message_id = m.message_id)
      and not exists (select from holds h where h.open_message_id = m.message_id)
      and not exists (select from relay_copies c where c.message_id = m.message_id)
      and not exists (select from outbox o where o.open_message_id = m.message_id)
    returning encode(m.blob_digest, 'hex') as digest`;
  const digests = [...new Set(gone.map(row => `\\x${row.digest}`))].sort();
  if (digests.length === 0) return;
  await tx.query`
    select 1 as one from blobs where digest = any(${digests}::bytea[]) order by digest for no key update`;
  await tx.query`update blobs set touched_at = now() where digest = any(${digests}::bytea[])`;
}
