/** The last result of `verify` per account. */
import { NotFound } from "../core/errors.ts";
import type { AccountId } from "../core/ids.ts";
import type { Verification, VerificationStore } from "../core/ports/transfer.ts";
import { type Db, jsonText, pgText } from "./db.ts";

export function createVerificationStore(db: Db): VerificationStore {
  return {
    async record(account, { against, mode, equal, result }) {
      await db.query`
        insert into verifications (account_id, against, mode, equal, result)
        values (${account}, ${pgText(against)}, ${mode}, ${equal}, ${jsonText(result)}::text::jsonb)
        on conflict (account_id) do update set against = excluded.against, mode = excluded.mode, equal = excluded.equal,
          result = excluded.result, finished_at = now()`;
      return get(db, account);
    },
    get: account => get(db, account),
  };
}

async function get(db: Db, account: AccountId): Promise<Verification> {
  const [row] = await db.query<{
    account: string;
    against: string;
    mode: "headers" | "full";
    equal: boolean;
    result: unknown;
    finished_at: Date;
  }>`
    select a.local_part || '@' || a.domain as account, v.against, v.mode, v.equal, v.result, v.finished_at
    from verifications v join accounts a on a.id = v.account_id where v.account_id = ${account}`;
  if (row === undefined) throw new NotFound("verification", `of account ${account}`);
  const { finished_at: finishedAt, ...rest } = row;
  return { ...rest, finishedAt };
}
