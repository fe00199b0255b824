/**
 * Requests with an Idempotency-Key: each is worked on once, and answered the same for a day.
 *
 * States: free ──begin──► running (leased) ──finish──► answered; running ──release──► free; running, lease over ──begin──► running again,
 * with the message id of before: whoever takes over looks for what was done under it.
 * Source: draft-ietf-httpapi-idempotency-key-header-07.
 */
import { MairustError } from "../core/errors.ts";
import { messageId } from "../core/ids.ts";
import type { IdempotencyKeys, KeyUse } from "../core/ports/sending.ts";
import { type Db, jsonText } from "./db.ts";

/** Far above what one request takes. */
const LEASE_S = 300;
const KEEP_HOURS = 24;

export function createIdempotencyKeys(db: Db): IdempotencyKeys {
  return {
    begin: (scope, key, digest, id) => begin(db, scope, key, digest, id),
    async finish(scope, key, answer) {
      await db.run`
        update idempotency set answer = ${jsonText(answer)}::text::jsonb where scope = ${scope} and key = ${key}`;
    },
    async release(scope, key) {
      await db.run`delete from idempotency where scope = ${scope} and key = ${key} and answer is null`;
    },
  };
}

async function begin(db: Db, scope: string, key: string, digest: string, id: string): Promise<KeyUse> {
  const [taken] = await db.query<{ message_id: string; is_new: boolean }>`
    insert into idempotency as k (scope, key, body_digest, message_id, lease_until)
    values (${scope}, ${key}, decode(${digest}, 'hex'), ${id}::uuid, now() + make_interval(secs => ${LEASE_S}::float8))
    on conflict (scope, key) do update
      set lease_until = excluded.lease_until, body_digest = excluded.body_digest,
          answer = null,
          message_id = case when k.created_at <= now() - make_interval(hours => ${KEEP_HOURS}::int) then excluded.message_id
                            else k.message_id end,
          created_at = case when k.created_at <= now() - make_interval(hours => ${KEEP_HOURS}::int) then now() else k.created_at end
      where k.created_at <= now() - make_interval(hours => ${KEEP_HOURS}::int)
        or (k.answer is null and k.lease_until < now() and k.body_digest = excluded.body_digest)
    returning message_id, message_id = ${id}::uuid as is_new`;
  if (taken !== undefined)
    return { kind: taken.is_new ? "new" : "resumed", messageId: messageId(taken.message_id) };
  const [row] = await db.query<{ same: boolean; answer: unknown }>`
    select body_digest = decode(${digest}, 'hex') as same, answer from idempotency where scope = ${scope} and key = ${key}`;
  if (row?.same === false) {
    const text = "this Idempotency-Key was used for another request";
    throw new MairustError("data_invalid", `Cannot take the request: ${text}`, { publicText: text });
  }
  if (row?.answer !== null && row?.answer !== undefined) return { kind: "answered", answer: row.answer };
  const text = "a request with this Idempotency-Key is being worked on";
  throw new MairustError("invalid_state", `Cannot take the request: ${text}`, { publicText: text });
}

/** What holds a message, when it was held by us. */
export async function findHoldOfMessage(db: Db, id: string): Promise<string | undefined> {
  const [row] = await db.query<{ id: string }>`
    select id from holds where message_id = ${id}::uuid order by id limit 1`;
  return row?.id;
}
