/**
 * Which messages lack what is made of them after their commit: found by comparing two primary keys, so that storing a message costs
 * nothing for it. Ids are UUIDv7, so walking up them is walking in order of arrival.
 */
import { messageId } from "../core/ids.ts";
import type { Stretch } from "../core/ports/message-walk.ts";
import { type Db, sql } from "./db.ts";

/** The lowest and highest UUID. */
const NIL = "00000000-0000-0000-0000-000000000000";
const MAX = "ffffffff-ffff-ffff-ffff-ffffffffffff";

/** @param has  a condition: the row `s` of `messages` has it, of the current version */
export async function walkMessages(
  db: Db,
  has: ReturnType<typeof sql>,
  direction: "up" | "down",
  from: string | undefined,
  limit: number,
): Promise<Stretch> {
  const stretch =
    direction === "up"
      ? sql`select message_id from messages where message_id > ${from ?? NIL}::uuid order by message_id limit ${limit}`
      : sql`select message_id from messages where message_id < ${from ?? MAX}::uuid order by message_id desc limit ${limit}`;
  const order = direction === "up" ? sql`` : sql`desc`;
  const end = direction === "up" ? sql`desc` : sql``;
  const [row] = await db.query<{ missing: string[]; last: string | null }>`
    with stretch as materialized (${stretch})
    select array(
        select s.message_id from stretch s where not ${has} order by s.message_id ${order}
      ) as missing,
      (select message_id from stretch order by message_id ${end} limit 1) as last`;
  return {
    missing: (row?.missing ?? []).map(messageId),
    last: row?.last === null || row === undefined ? undefined : messageId(row.last),
  };
}
