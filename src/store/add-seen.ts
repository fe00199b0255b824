/** Messages that their user has read elsewhere: they are read here too, with a MODSEQ each. Nothing is ever set to unread. */
import { MairustError } from "../core/errors.ts";
import type { AccountId } from "../core/ids.ts";
import { FLAG_SEEN } from "../core/ports/store.ts";
import type { Tx } from "./db.ts";
import { lockMailbox } from "./import-messages.ts";

/**
 * `\Seen` on entries that have it not.
 * @returns the mailbox, and how many got it
 * @throws {MairustError} `not_found` (mailbox), `invalid_state`: it has another UIDVALIDITY
 */
export async function addSeen(
  tx: Tx,
  account: AccountId,
  name: string,
  uidValidity: number,
  uids: readonly number[],
): Promise<{ readonly id: number; readonly changed: number }> {
  const { id, modseq } = await lockMailbox(tx, account, name);
  const [row] = await tx.query<{ uidvalidity: number }>`select uidvalidity from mailboxes where id = ${id}`;
  if (row?.uidvalidity !== uidValidity) {
    const text = `UIDVALIDITY of mailbox "${name}" is ${row?.uidvalidity}, not ${uidValidity}`;
    throw new MairustError("invalid_state", `Cannot mark mail as read: ${text}`, { publicText: text });
  }
  const changed = await tx.run`
    update entries e set flags = e.flags | ${FLAG_SEEN}::smallint, modseq = ${modseq}::bigint + r.n
    from (
      select uid, row_number() over (order by uid) as n from entries
      where mailbox_id = ${id} and uid = any(${[...uids]}::bigint[]) and flags & ${FLAG_SEEN}::smallint = 0
    ) r
    where e.mailbox_id = ${id} and e.uid = r.uid`;
  return { id, changed };
}
