/**
 * How accounts are looked up, and making one with its default mailboxes: for the directory (first delivery or master login in an
 * `auto` domain) and for `account add`. Safe when several do it at once: one wins, the others get its row.
 */
import type { MailAddress } from "../core/envelope.ts";
import { MairustError } from "../core/errors.ts";
import { type AccountId, accountId } from "../core/ids.ts";
import { addressText, type CanonicalAddress, canonicalDomain, canonicalLocal } from "./addresses.ts";
import type { Tx } from "./db.ts";
import { createMailboxes, DEFAULT_MAILBOXES } from "./mailbox-names.ts";

/** @returns the key of `accounts` and `aliases`; "" for a half that can be none, which matches no row. Never throws. */
export function addressKey(address: MailAddress): { readonly domain: string; readonly localPart: string } {
  return { domain: canonicalDomain(address.domain) ?? "", localPart: canonicalLocal(address.local) ?? "" };
}

export interface CreatedAccount {
  readonly id: AccountId;
  /** false: it was there already, or somebody else made it in the same moment. */
  readonly created: boolean;
}

/** One address belongs to one account, as its own or as an alias: who adds either takes this lock first. Ends with the transaction. */
export async function lockAddress(tx: Tx, address: CanonicalAddress): Promise<void> {
  await tx.query`select pg_advisory_xact_lock(hashtextextended(${addressText(address)}, 7))`;
}

/**
 * Create the account, or find the one that is there.
 *
 * @param address     as received or typed, without `+detail`
 * @param quotaBytes  null: the domain's
 * @throws {MairustError} `unknown_domain`; `address_syntax`; `already_exists`: the address is an alias of another account
 */
export async function createAccount(
  tx: Tx,
  address: MailAddress,
  quotaBytes: number | null = null,
): Promise<CreatedAccount> {
  const key = addressKey(address);
  if (key.domain === "" || key.localPart === "") throw unusable(address);
  const canonical = { local: key.localPart, domain: key.domain };
  await lockAddress(tx, canonical);
  const [alias] = await tx.query`
    select 1 as one from aliases where domain = ${key.domain} and local_part = ${key.localPart}`;
  if (alias !== undefined) throw taken(canonical);
  const [inserted] = await tx.query<{ id: number }>`
    insert into accounts (domain, local_part, address, quota_bytes)
    select name, ${key.localPart}, ${address.raw}, ${quotaBytes}::bigint from domains where name = ${key.domain}
    on conflict (domain, local_part) do nothing
    returning id`;
  if (inserted === undefined) return { id: await existingAccount(tx, canonical), created: false };
  const id = accountId(inserted.id);
  await createMailboxes(
    tx,
    DEFAULT_MAILBOXES.map(mailbox => ({ accountId: id, ...mailbox })),
  );
  return { id, created: true };
}

function unusable(address: MailAddress): MairustError {
  const text = `"${address.raw}" is no address of the form local@domain`;
  return new MairustError("address_syntax", `Cannot create account: ${text}`, { publicText: text });
}

/** `later`: a delivery that lost a race against `account alias add` finds the alias at its next try. */
function taken(address: CanonicalAddress): MairustError {
  const text = `"${addressText(address)}" is an alias of another account`;
  return new MairustError("already_exists", `Cannot create account: ${text}`, {
    publicText: text,
    retry: "later",
  });
}

async function existingAccount(tx: Tx, address: CanonicalAddress): Promise<AccountId> {
  const [row] = await tx.query<{ id: number }>`
    select id from accounts where domain = ${address.domain} and local_part = ${address.local}`;
  if (row !== undefined) return accountId(row.id);
  const text = `no such domain "${address.domain}"`;
  throw new MairustError("unknown_domain", `Cannot create account: ${text}`, { publicText: text });
}
