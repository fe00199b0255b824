/**
 * One-time ids of mail that the sidecar submits itself (message path, step 1): the database knows a digest only, so that nobody who
 * reads it can submit mail that is not judged. Used once: the update that takes an id finds it unused.
 */
import { createHash, randomBytes } from "node:crypto";
import type { HookPoint } from "../core/ports/hooks.ts";
import type { Submissions } from "../core/ports/submissions.ts";
import type { CarriedVerdict } from "../core/ports/verdicts.ts";
import { type Db, jsonText, pgText, type Queryable } from "./db.ts";
import { fromGroups, toGroups, type VerdictGroup } from "./verdict-groups.ts";

const TOKEN_BYTES = 24;
/** As `issueToken` makes them: base64url of {@link TOKEN_BYTES} octets. */
const TOKEN = /^[A-Za-z0-9_-]{32}$/u;
/** Far above what one submission takes. */
const VALID_S = 600;

/** Whose mail it is. */
export type SubmissionOwner = { readonly holdId: string } | { readonly outboxId: string };

/** @returns the id, for one message */
export async function issueToken(
  db: Queryable,
  owner: SubmissionOwner,
  point: HookPoint,
  verdicts: readonly CarriedVerdict[],
): Promise<string> {
  const token = randomBytes(TOKEN_BYTES).toString("base64url");
  await db.query`
    insert into submissions (token_hash, hold_id, outbox_id, point, verdicts, expires_at)
    values (${hashOf(token)}, ${"holdId" in owner ? owner.holdId : null}::uuid, ${"outboxId" in owner ? owner.outboxId : null}::uuid, ${point}, ${jsonText(toGroups(verdicts))}::text::jsonb,
            now() + make_interval(secs => ${VALID_S}::float8))`;
  return token;
}

export function createSubmissions(db: Db): Submissions {
  return {
    async take(token, queueId, recipients) {
      if (!TOKEN.test(token)) return undefined;
      const [row] = await db.query<{ point: HookPoint; verdicts: readonly VerdictGroup[] }>`
        update submissions set used_at = now(), queue_id = ${pgText(queueId)}, recipients = ${jsonText(recipients)}::text::jsonb
        where token_hash = ${hashOf(token)} and used_at is null and expires_at > now()
        returning point, verdicts`;
      return row === undefined ? undefined : { ...row, verdicts: fromGroups(row.verdicts) };
    },
  };
}

/** No try for the same mail of the outbox began after the one of this id. */
export async function isLatestTry(db: Queryable, outboxId: string, token: string): Promise<boolean> {
  const [row] = await db.query<{ latest: boolean }>`
    select not exists (
      select from submissions later where later.outbox_id = ${outboxId}::uuid and later.created_at > s.created_at
    ) as latest from submissions s where s.token_hash = ${hashOf(token)}`;
  return row?.latest === true;
}

const hashOf = (token: string) => createHash("sha256").update(token).digest();
