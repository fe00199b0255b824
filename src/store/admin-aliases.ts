/** Aliases of accounts. An alias lies in one of our domains; mail for it goes to its account. */
import { type AliasRecord, type ChangeOptions, MAX_ALIASES } from "../core/admin-ports.ts";
import { MairustError } from "../core/errors.ts";
import { lockAddress } from "./accounts.ts";
import { addressText, type CanonicalAddress, readAddress } from "./addresses.ts";
import { getAccountRow } from "./admin-accounts.ts";
import { change } from "./admin-change.ts";
import { type Db, isForeignKeyViolation, sql, type Tx } from "./db.ts";

interface AliasRow {
  readonly domain: string;
  readonly local_part: string;
  readonly created_at: Date;
}

const toRecord = (row: AliasRow, account: string): AliasRecord => ({
  address: `${row.local_part}@${row.domain}`,
  account,
  createdAt: row.created_at,
});

/** @throws {MairustError} `unknown_account` */
export async function listAliases(db: Db, address: string): Promise<readonly AliasRecord[]> {
  const account = await getAccountRow(db, address);
  const rows = await db.query<AliasRow>`
    select domain, local_part, created_at from aliases where account_id = ${account.id}
    order by domain, local_part limit ${MAX_ALIASES}`;
  return rows.map(row => toRecord(row, `${account.local_part}@${account.domain}`));
}

/** @throws {MairustError} `unknown_account`, `unknown_domain`, `already_exists`, `too_many`, `address_syntax` */
export async function addAlias(
  db: Db,
  address: string,
  alias: string,
  options: ChangeOptions,
): Promise<AliasRecord> {
  const key = readAddress(alias);
  return change(db, options, async tx => {
    await lockAddress(tx, key);
    const account = await getAccountRow(tx, address, sql`for no key update of a`);
    await checkFree(tx, key);
    const [count] = await tx.query<{ n: number }>`
      select count(*) as n from aliases where account_id = ${account.id}`;
    if ((count?.n ?? 0) >= MAX_ALIASES) {
      const text = `the account has ${MAX_ALIASES} aliases, more are not allowed`;
      throw new MairustError("too_many", `Cannot add an alias: ${text}`, {
        publicText: text,
        retry: "never",
      });
    }
    return toRecord(await insertAlias(tx, key, account.id), `${account.local_part}@${account.domain}`);
  });
}

async function checkFree(tx: Tx, key: CanonicalAddress): Promise<void> {
  const [owner] = await tx.query<{ what: string }>`
    select 'an account' as what from accounts where domain = ${key.domain} and local_part = ${key.local}
    union all select 'an alias' from aliases where domain = ${key.domain} and local_part = ${key.local}`;
  if (owner === undefined) return;
  const text = `"${addressText(key)}" is ${owner.what} already`;
  throw new MairustError("already_exists", `Cannot add an alias: ${text}`, { publicText: text });
}

async function insertAlias(tx: Tx, key: CanonicalAddress, accountId: number): Promise<AliasRow> {
  try {
    const [row] = await tx.query<AliasRow>`
      insert into aliases (domain, local_part, account_id) values (${key.domain}, ${key.local}, ${accountId})
      returning domain, local_part, created_at`;
    if (row === undefined) throw new MairustError("internal", "Cannot add an alias: the row is not there");
    return row;
  } catch (error) {
    if (!isForeignKeyViolation(error)) throw error;
    const text = `no such domain "${key.domain}"`;
    throw new MairustError("unknown_domain", `Cannot add an alias: ${text}`, {
      publicText: text,
      cause: error,
    });
  }
}

/** @throws {MairustError} `unknown_account`, `not_found` */
export async function removeAlias(
  db: Db,
  address: string,
  alias: string,
  options: ChangeOptions,
): Promise<AliasRecord> {
  const key = readAddress(alias);
  return change(db, options, async tx => {
    const account = await getAccountRow(tx, address);
    const [row] = await tx.query<AliasRow>`
      delete from aliases
      where domain = ${key.domain} and local_part = ${key.local} and account_id = ${account.id}
      returning domain, local_part, created_at`;
    if (row !== undefined) return toRecord(row, `${account.local_part}@${account.domain}`);
    const text = `"${addressText(key)}" is no alias of "${account.local_part}@${account.domain}"`;
    throw new MairustError("not_found", `Cannot remove an alias: ${text}`, { publicText: text });
  });
}
