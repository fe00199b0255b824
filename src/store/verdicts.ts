/**
 * What the milter decided, kept until LMTP has the message (message path, between steps 5 and 6).
 *
 * A record that is lost is not mail that is lost: LMTP then judges the message itself. So that the SMTP client does not wait for a
 * disk, saving one is the only write of the service that is committed without waiting for the log.
 * Failures: `store_unavailable`; the milter then defers.
 */
import type { VerdictRecord, Verdicts } from "../core/ports/verdicts.ts";
import { type Db, json, pgText } from "./db.ts";
import { fromGroups, toGroups, type VerdictGroup } from "./verdict-groups.ts";

interface VerdictRow {
  readonly trace_id: string;
  readonly queue_id: string;
  readonly point: VerdictRecord["point"];
  readonly mail_from: string;
  readonly uniform: boolean;
  readonly list: readonly VerdictGroup[];
  readonly expires_at: Date;
}

export function createVerdicts(db: Db): Verdicts {
  return {
    async save(record) {
      const { traceId, queueId, point, mailFrom, uniform, verdicts, expiresAt } = record;
      await db.run`
        insert into verdicts (trace_id, queue_id, point, mail_from, uniform, list, expires_at)
        select ${traceId}::uuid, ${pgText(queueId)}, ${point}, ${pgText(mailFrom)}, ${uniform}::boolean, ${json(toGroups(verdicts))}::jsonb,
          ${expiresAt}::timestamptz
        -- true: local to this one statement
        where set_config('synchronous_commit', 'off', true) = 'off'`;
    },
    async find(traceId) {
      const [row] = await db.query<VerdictRow>`
        select trace_id, queue_id, point, mail_from, uniform, list, expires_at
        from verdicts where trace_id = ${traceId}::uuid and expires_at > now()`;
      return row === undefined ? undefined : toRecord(row);
    },
    async wasSubmitted(queueId) {
      const rows = await db.query`
        select 1 as one from verdicts
        where queue_id = ${pgText(queueId)} and point = 'pre_send' and expires_at > now() limit 1`;
      return rows.length > 0;
    },
    async forget(traceId, recipient, orcpt) {
      // What is left no longer speaks for everybody.
      await db.run`
        update verdicts set uniform = false, list = (
          select coalesce(jsonb_agg(jsonb_set(one, '{for}', (
            select coalesce(jsonb_agg(pair order by i), '[]') from jsonb_array_elements(one -> 'for') with ordinality as y(pair, i)
            where pair <> ${json([recipient, orcpt])}::jsonb)) order by n), '[]')
          from jsonb_array_elements(list) with ordinality as x(one, n))
        where trace_id = ${traceId}::uuid`;
    },
  };
}

function toRecord(row: VerdictRow): VerdictRecord {
  return {
    traceId: row.trace_id,
    queueId: row.queue_id,
    point: row.point,
    mailFrom: row.mail_from,
    uniform: row.uniform,
    verdicts: fromGroups(row.list),
    expiresAt: row.expires_at,
  };
}
