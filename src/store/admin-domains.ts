/** Domains of the administration: list, show, add, remove. Statements of one family, over `db.ts`. */
import type {
  AccountPolicy,
  ChangeOptions,
  DomainRecord,
  NewDomain,
  Page,
  PageRequest,
} from "../core/admin-ports.ts";
import { MairustError } from "../core/errors.ts";
import type { Stage } from "../core/ports/directory.ts";
import { readDomain } from "./addresses.ts";
import { change, pageOf } from "./admin-change.ts";
import { type Db, type Queryable, sql } from "./db.ts";
import type { Fragment } from "./db-values.ts";

interface DomainRow {
  readonly name: string;
  readonly tenant: string;
  readonly stage: Stage;
  readonly accounts: AccountPolicy;
  readonly quota_bytes: number;
  readonly relay_lmtp: string | null;
  readonly account_count: number;
  readonly created_at: Date;
}

const toRecord = (row: DomainRow): DomainRecord => ({
  name: row.name,
  tenant: row.tenant,
  stage: row.stage,
  accounts: row.accounts,
  quotaBytes: row.quota_bytes,
  relayLmtp: row.relay_lmtp ?? undefined,
  accountCount: row.account_count,
  createdAt: row.created_at,
});

function selectDomains(q: Queryable, rest: Fragment): Promise<readonly DomainRow[]> {
  return q.query<DomainRow>`
    select d.name, d.tenant, d.stage, d.accounts, d.quota_bytes, d.relay_lmtp, d.created_at,
           (select count(*) from accounts a where a.domain = d.name) as account_count
    from domains d where d.enabled ${rest}`;
}

export async function listDomains(db: Db, page: PageRequest): Promise<Page<DomainRecord>> {
  const rows = await selectDomains(
    db,
    sql`and d.name > ${page.after ?? ""} order by d.name limit ${page.limit + 1}`,
  );
  return pageOf(rows, page, toRecord, item => item.name);
}

/** @throws {MairustError} `unknown_domain` */
export async function getDomain(q: Queryable, name: string): Promise<DomainRecord> {
  const canonical = readDomain(name);
  const [row] = await selectDomains(q, sql`and d.name = ${canonical}`);
  if (row !== undefined) return toRecord(row);
  const text = `no such domain "${canonical}"`;
  throw new MairustError("unknown_domain", `Cannot find the domain: ${text}`, { publicText: text });
}

/** @throws {MairustError} `already_exists`, `invalid_argument` */
export async function addDomain(db: Db, domain: NewDomain, options: ChangeOptions): Promise<DomainRecord> {
  const name = readDomain(domain.name);
  const { accounts, quotaBytes, stage, relayLmtp = null } = domain;
  return change(db, options, async tx => {
    const [row] = await tx.query<{ name: string }>`
      insert into domains (name, accounts, quota_bytes, stage, relay_lmtp)
      values (${name}, ${accounts}, ${quotaBytes}, ${stage}, ${relayLmtp})
      on conflict (name) do update
        set accounts = excluded.accounts, quota_bytes = excluded.quota_bytes, stage = excluded.stage, stage_since = now(),
            stage_by = '', stage_version = domains.stage_version + 1, relay_lmtp = excluded.relay_lmtp, relay_by_file = false,
            enabled = true, origin = 'created'
        where not domains.enabled
      returning name`;
    if (row === undefined) {
      const text = `domain "${name}" is there already`;
      throw new MairustError("already_exists", `Cannot add: ${text}`, { publicText: text });
    }
    return getDomain(tx, name);
  });
}

/** @throws {MairustError} `unknown_domain`, `not_permitted` while accounts or aliases use it */
export async function removeDomain(db: Db, name: string, options: ChangeOptions): Promise<DomainRecord> {
  const canonical = readDomain(name);
  return change(db, options, async tx => {
    // Nobody can add an account between the check and the delete: that needs the row's key.
    await tx.query`select 1 as one from domains where name = ${canonical} for update`;
    const record = await getDomain(tx, canonical);
    const [used] = await tx.query<{ aliases: number }>`
      select count(*) as aliases from aliases where domain = ${canonical}`;
    const users = [
      ...(record.accountCount > 0 ? [`${record.accountCount} accounts`] : []),
      ...(used !== undefined && used.aliases > 0 ? [`${used.aliases} aliases`] : []),
    ];
    if (users.length > 0) {
      const text = `domain "${canonical}" still has ${users.join(" and ")}; remove them first`;
      throw new MairustError("not_permitted", `Cannot remove: ${text}`, { publicText: text });
    }
    await tx.query`delete from domains where name = ${canonical}`;
    return record;
  });
}
