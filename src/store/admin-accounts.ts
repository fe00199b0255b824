/** Accounts of the administration: list, show, add, remove with all mail, quota, mailboxes. */
import type {
  AccountRecord,
  ChangeOptions,
  MailboxRecord,
  NewAccount,
  NewPassword,
  Page,
  PageRequest,
} from "../core/admin-ports.ts";
import { parseMailAddress } from "../core/envelope.ts";
import { MairustError } from "../core/errors.ts";
import { accountId, type MailboxId, mailboxId } from "../core/ids.ts";
import type { Stage } from "../core/ports/directory.ts";
import { createAccount } from "./accounts.ts";
import { addressText, readAddress, readDomain } from "./addresses.ts";
import { change, pageOf } from "./admin-change.ts";
import { type Db, type Queryable, sql, type Tx } from "./db.ts";
import type { Fragment } from "./db-values.ts";
import { endHoldsOfAccount } from "./holds-admin.ts";
import { readListing } from "./mailbox-rows.ts";
import { hashPassword, readPasswordHash } from "./passwords.ts";

/** Aliases shown with an account; `account alias list` shows all. */
const SHOWN_ALIASES = 100;
/** Entries removed by one statement: keeps each far below the statement time-out. */
const REMOVE_BATCH = 2000;

interface AccountRow {
  readonly id: number;
  readonly domain: string;
  readonly local_part: string;
  readonly own_stage: Stage | null;
  readonly domain_stage: Stage;
  readonly quota_bytes: number | null;
  readonly domain_quota: number;
  readonly used_bytes: number;
  readonly used_messages: number;
  readonly aliases: readonly string[];
  readonly has_password: boolean;
  readonly created_at: Date;
}

const toRecord = (row: AccountRow): AccountRecord => ({
  address: `${row.local_part}@${row.domain}`,
  domain: row.domain,
  stage: row.own_stage ?? row.domain_stage,
  ownStage: row.own_stage ?? undefined,
  quotaBytes: row.quota_bytes ?? undefined,
  effectiveQuotaBytes: row.quota_bytes ?? row.domain_quota,
  usedBytes: row.used_bytes,
  usedMessages: row.used_messages,
  aliases: row.aliases,
  hasPassword: row.has_password,
  createdAt: row.created_at,
});

function selectAccounts(q: Queryable, rest: Fragment): Promise<readonly AccountRow[]> {
  return q.query<AccountRow>`
    select a.id, a.domain, a.local_part, a.quota_bytes, d.quota_bytes as domain_quota, a.used_bytes, a.used_messages, a.created_at,
           a.stage as own_stage, d.stage as domain_stage,
           a.password_hash is not null as has_password,
           array(select l.local_part || '@' || l.domain from aliases l where l.account_id = a.id
                 order by l.domain, l.local_part limit ${SHOWN_ALIASES}) as aliases
    from accounts a join domains d on d.name = a.domain ${rest}`;
}

/** By domain and local part. */
export async function listAccounts(
  db: Db,
  domain: string | undefined,
  page: PageRequest,
): Promise<Page<AccountRecord>> {
  const only = domain === undefined ? sql`true` : sql`a.domain = ${readDomain(domain)}`;
  const after = page.after === undefined ? { domain: "", local: "" } : readAddress(page.after);
  const rows = await selectAccounts(
    db,
    sql`where ${only} and (a.domain, a.local_part) > (${after.domain}, ${after.local})
        order by a.domain, a.local_part limit ${page.limit + 1}`,
  );
  return pageOf(rows, page, toRecord, item => item.address);
}

/** @throws {MairustError} `unknown_account`, `address_syntax` */
export async function getAccountRow(q: Queryable, address: string, lock = sql``): Promise<AccountRow> {
  const { domain, local } = readAddress(address);
  const [row] = await selectAccounts(q, sql`where a.domain = ${domain} and a.local_part = ${local} ${lock}`);
  if (row !== undefined) return row;
  const text = `no such account "${addressText({ domain, local })}"`;
  throw new MairustError("unknown_account", `Cannot find the account: ${text}`, { publicText: text });
}

export async function getAccount(q: Queryable, address: string): Promise<AccountRecord> {
  return toRecord(await getAccountRow(q, address));
}

/** @throws {MairustError} `already_exists`, `unknown_domain`, `address_syntax` */
export async function addAccount(
  db: Db,
  account: NewAccount,
  options: ChangeOptions,
): Promise<AccountRecord> {
  const canonical = addressText(readAddress(account.address));
  const hash = account.password === undefined ? null : await hashOf(account.password);
  return change(db, options, async tx => {
    const typed = parseMailAddress(account.address.trim());
    const { id, created } = await createAccount(tx, typed, account.quotaBytes ?? null);
    if (!created) {
      const text = `account "${canonical}" is there already`;
      throw new MairustError("already_exists", `Cannot add: ${text}`, { publicText: text });
    }
    if (hash !== null) await tx.query`update accounts set password_hash = ${hash} where id = ${id}`;
    return getAccount(tx, canonical);
  });
}

export interface RemovedAccount {
  readonly record: AccountRecord;
  readonly mailboxes: readonly MailboxId[];
}

/**
 * Remove the account, its mailboxes, its mail and what is held for it in one transaction. Its row is locked first, as a delivery does: none runs meanwhile.
 * Blobs stay for the collector.
 * @throws {MairustError} `unknown_account`
 */
export async function removeAccount(
  db: Db,
  address: string,
  options: ChangeOptions,
): Promise<RemovedAccount> {
  if (options.dryRun) return { record: await getAccount(db, address), mailboxes: [] };
  return db.begin(async tx => {
    const row = await getAccountRow(tx, address, sql`for update of a`);
    const mailboxes = await tx.query<{ id: number }>`
      select id from mailboxes where account_id = ${row.id} order by id for update`;
    const ids = mailboxes.map(mailbox => mailbox.id);
    while (await removeEntries(tx, ids));
    await endHoldsOfAccount(tx, row.id);
    await tx.query`delete from accounts where id = ${row.id}`;
    return { record: toRecord(row), mailboxes: ids.map(mailboxId) };
  });
}

/** One batch of entries, and the messages that nobody else has. @returns whether there may be more */
async function removeEntries(tx: Tx, mailboxes: readonly number[]): Promise<boolean> {
  const removed = await tx.query<{ message_id: string }>`
    with batch as (
      select mailbox_id, uid from entries where mailbox_id = any(${mailboxes}::bigint[]) limit ${REMOVE_BATCH}
    )
    delete from entries e using batch b where e.mailbox_id = b.mailbox_id and e.uid = b.uid
    returning e.message_id`;
  if (removed.length === 0) return false;
  const ids = [...new Set(removed.map(row => row.message_id))];
  // Two removals that share a message wait for each other here; the second then sees that nobody has it.
  await tx.query`select 1 as one from messages where message_id = any(${ids}::uuid[]) order by message_id for update`;
  await tx.query`
    delete from messages m where m.message_id = any(${ids}::uuid[])
      and not exists (select 1 from entries e where e.message_id = m.message_id)
      and not exists (select 1 from holds h where h.open_message_id = m.message_id)
      and not exists (select 1 from relay_copies c where c.message_id = m.message_id)
      and not exists (select 1 from outbox o where o.open_message_id = m.message_id)`;
  return true;
}

/** @param quotaBytes  undefined: the domain's. @throws {MairustError} `unknown_account` */
export async function setQuota(
  db: Db,
  address: string,
  quotaBytes: number | undefined,
  options: ChangeOptions,
): Promise<AccountRecord> {
  return change(db, options, async tx => {
    const row = await getAccountRow(tx, address, sql`for no key update of a`);
    await tx.query`update accounts set quota_bytes = ${quotaBytes ?? null}::bigint where id = ${row.id}`;
    return getAccount(tx, address);
  });
}

/** @throws {MairustError} `unknown_account`, `invalid_argument` */
export async function setPassword(
  db: Db,
  address: string,
  password: NewPassword,
  options: ChangeOptions,
): Promise<AccountRecord> {
  const hash = await hashOf(password);
  return change(db, options, async tx => {
    const row = await getAccountRow(tx, address, sql`for no key update of a`);
    await tx.query`update accounts set password_hash = ${hash} where id = ${row.id}`;
    return getAccount(tx, address);
  });
}

async function hashOf(password: NewPassword): Promise<string | null> {
  if (password.kind === "none") return null;
  return password.kind === "hash" ? readPasswordHash(password.hash) : hashPassword(password.password);
}

/** INBOX first, then by name. @throws {MairustError} `unknown_account` */
export async function listMailboxes(db: Db, address: string): Promise<readonly MailboxRecord[]> {
  const { id } = await getAccountRow(db, address);
  return (await readListing(db, accountId(id))).mailboxes;
}
