/** Stages of domains and accounts: shown, set, and what verifications say about the accounts of a scope. Statements of one family. */
import type { ChangeOptions, Page, PageRequest } from "../core/admin-ports.ts";
import { MairustError, StaleVersion } from "../core/errors.ts";
import type { Stage } from "../core/ports/directory.ts";
import type { StageAdmin, StageChange, StageRecord, VerifyGap, VerifyRules } from "../core/ports/stages.ts";
import { addressText, readAddress, readDomain } from "./addresses.ts";
import { change, pageOf } from "./admin-change.ts";
import { type Db, pgText, type Queryable, sql, type Tx } from "./db.ts";
import type { Fragment } from "./db-values.ts";
import { tellDirectories } from "./directory-changes.ts";

/** Accounts that are named with a gap. */
const EXAMPLES = 5;
/** Mail that arrived so long before a comparison began may have come after the last pass that carried mail back. */
const RECENT_S = 600;

interface StageRow {
  readonly domain: string;
  /** null: the row is a domain's. */
  readonly local_part: string | null;
  readonly own: Stage | null;
  readonly domain_stage: Stage;
  readonly relay_lmtp: string | null;
  readonly relay_by_file: boolean;
  readonly version: number;
  readonly since: Date;
  readonly changed_by: string;
  readonly accounts: number;
  readonly accounts_apart: number;
}

export interface StageAdminOptions {
  readonly db: Db;
  /** After a committed change: forget remembered lookups. */
  readonly onChange: () => void;
}

export function createStageAdmin({ db, onChange }: StageAdminOptions): StageAdmin {
  return {
    list: page => listStages(db, page),
    get: scope => readScope(db, scope),
    async set(scope, wanted, version, options) {
      const record = await setStage(db, scope, wanted, version, options);
      if (!options.dryRun) onChange();
      return record;
    },
    verifyGaps: (record, rules) => verifyGaps(db, record, rules),
  };
}

const toRecord = (row: StageRow): StageRecord => ({
  kind: row.local_part === null ? "domain" : "account",
  scope: row.local_part === null ? row.domain : addressText({ local: row.local_part, domain: row.domain }),
  domain: row.domain,
  stage: row.own ?? row.domain_stage,
  own: row.own ?? undefined,
  domainStage: row.domain_stage,
  relayLmtp: row.relay_lmtp ?? undefined,
  relayByFile: row.relay_by_file,
  version: row.version,
  since: row.since,
  by: row.changed_by,
  accounts: row.accounts,
  accountsApart: row.accounts_apart,
});

function selectDomains(q: Queryable, rest: Fragment): Promise<readonly StageRow[]> {
  return q.query<StageRow>`
    select d.name as domain, null as local_part, null as own, d.stage as domain_stage, d.relay_lmtp, d.relay_by_file,
           d.stage_version as version, d.stage_since as since, d.stage_by as changed_by,
           (select count(*) from accounts a where a.domain = d.name) as accounts,
           (select count(*) from accounts a where a.domain = d.name and a.stage is not null and a.stage <> d.stage) as accounts_apart
    from domains d where d.enabled ${rest}`;
}

async function listStages(db: Db, page: PageRequest): Promise<Page<StageRecord>> {
  const rest = sql`and d.name > ${page.after ?? ""} order by d.name limit ${page.limit + 1}`;
  return pageOf(await selectDomains(db, rest), page, toRecord, record => record.scope);
}

async function readScope(q: Queryable, scope: string): Promise<StageRecord> {
  return scope.includes("@") ? readAccount(q, scope) : readDomainStage(q, scope);
}

async function readDomainStage(q: Queryable, name: string): Promise<StageRecord> {
  const domain = readDomain(name);
  const [row] = await selectDomains(q, sql`and d.name = ${domain}`);
  if (row !== undefined) return toRecord(row);
  const publicText = `no such domain "${domain}"`;
  throw new MairustError("unknown_domain", `Cannot find the domain: ${publicText}`, { publicText });
}

async function readAccount(q: Queryable, address: string): Promise<StageRecord> {
  const { domain, local } = readAddress(address);
  const [row] = await q.query<StageRow>`
    select a.domain, a.local_part, a.stage as own, d.stage as domain_stage, d.relay_lmtp, d.relay_by_file,
           a.stage_version as version, 1 as accounts, 0 as accounts_apart,
           case when a.stage is null then greatest(a.stage_since, d.stage_since) else a.stage_since end as since,
           case when a.stage is null and (a.stage_since is null or a.stage_since < d.stage_since) then d.stage_by else a.stage_by end
             as changed_by
    from accounts a join domains d on d.name = a.domain where a.domain = ${domain} and a.local_part = ${local}`;
  if (row !== undefined) return toRecord(row);
  const publicText = `no such account "${addressText({ domain, local })}"`;
  throw new MairustError("unknown_account", `Cannot find the account: ${publicText}`, { publicText });
}

function setStage(
  db: Db,
  scope: string,
  wanted: StageChange,
  version: number,
  options: ChangeOptions & { readonly who: string },
): Promise<StageRecord> {
  return change(db, options, async tx => {
    const before = await readScope(tx, scope);
    const count = await (before.kind === "domain" ? setOfDomain : setOfAccount)(
      tx,
      before,
      wanted,
      version,
      options.who,
    );
    if (count === 0) throw new StaleVersion("the stage of", before.scope);
    await tellDirectories(tx);
    return readScope(tx, scope);
  });
}

type SetStage = (
  tx: Tx,
  before: StageRecord,
  wanted: StageChange,
  version: number,
  who: string,
) => Promise<number>;

const setOfDomain: SetStage = (tx, before, { stage, relayLmtp }, version, who) => {
  const to = stage ?? before.stage;
  const relay = relayLmtp === undefined ? before.relayLmtp : relayLmtp;
  return tx.run`
    update domains set stage = ${to}, relay_lmtp = ${relay ?? null}, stage_version = stage_version + 1,
      stage_since = case when stage = ${to} then stage_since else now() end,
      stage_by = case when stage = ${to} then stage_by else ${pgText(who)} end
    where name = ${before.scope} and enabled and stage_version = ${version}`;
};

const setOfAccount: SetStage = (tx, before, { stage }, version, who) => {
  const { local, domain } = readAddress(before.scope);
  return tx.run`
    update accounts set stage = ${stage ?? null}, stage_version = stage_version + 1, stage_since = now(), stage_by = ${pgText(who)}
    where domain = ${domain} and local_part = ${local} and stage_version = ${version}`;
};

async function verifyGaps(
  db: Db,
  record: StageRecord,
  { notBefore, want }: VerifyRules,
): Promise<readonly VerifyGap[]> {
  const local = record.kind === "account" ? readAddress(record.scope).local : null;
  // What verify counts is in its result; mail that is only here is counted again only where there is some.
  return db.query<{ reason: VerifyGap["reason"]; accounts: number; examples: string[] }>`
    select reason, count(*)::int as accounts, (array_agg(address order by address))[1:${EXAMPLES}::int] as examples
    from (
      select a.local_part || '@' || a.domain as address,
        case
          when v.account_id is null then 'missing'
          when v.began < ${notBefore} then 'stale'
          when v.equal then null
          when ${want} = 'equal' or v.altered > 0 then 'different'
          when v.extra > (
            select count(*) from entries e join mailboxes b on b.id = e.mailbox_id
            where b.account_id = a.id and e.internal_date >= v.began - make_interval(secs => ${RECENT_S})
          ) then 'different'
        end as reason
      from accounts a
      left join lateral (
        select r.account_id, r.equal, r.finished_at - make_interval(secs => (r.result->>'seconds')::float8) as began,
               s.extra, s.altered
        from verifications r, lateral (
          select coalesce(sum((m->>'extra')::int), 0) as extra,
                 coalesce(sum((m->>'bytes_differ')::int + (m->>'flags_differ')::int), 0) as altered
          from jsonb_array_elements(r.result->'mailboxes') as m
        ) s
        where r.account_id = a.id
      ) v on true
      where a.domain = ${record.domain}
        and case when ${local}::text is null then a.stage is null else a.local_part = ${local} end
    ) judged
    where reason is not null group by reason order by reason`;
}
