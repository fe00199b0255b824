/** Use cases on accounts, their aliases and mailboxes. */
import type {
  AccountRecord,
  AliasRecord,
  ChangeOptions,
  MailboxRecord,
  NewAccount,
  NewPassword,
} from "../core/admin-ports.ts";
import { type Actor, audited } from "./audit.ts";
import { type PageAsked, type PageGiven, pageGiven, pageRequest } from "./paging.ts";
import type { ServicePorts } from "./ports.ts";

/** @param domain  only accounts of this one */
export async function listAccounts(
  ports: ServicePorts,
  domain: string | undefined,
  asked: PageAsked,
): Promise<PageGiven<AccountRecord>> {
  return pageGiven(await ports.accounts.listAccounts(domain, pageRequest(asked)));
}

/** @throws {MairustError} `unknown_account` */
export function getAccount(ports: ServicePorts, address: string): Promise<AccountRecord> {
  return ports.accounts.getAccount(address);
}

/** With INBOX and the default folders. @throws {MairustError} `already_exists`, `unknown_domain`, `address_syntax` */
export function addAccount(
  ports: ServicePorts,
  account: NewAccount,
  options: ChangeOptions & Actor,
): Promise<AccountRecord> {
  const detail = { quota_bytes: account.quotaBytes ?? null, password: account.password !== undefined };
  const entry = { actor: options.who, action: "account.add", object: account.address, detail };
  return audited(ports, entry, options, () => ports.accounts.addAccount(account, options));
}

/** With all its mail: there is no way back. @throws {MairustError} `unknown_account`, `invalid_state` */
export function removeAccount(
  ports: ServicePorts,
  address: string,
  options: ChangeOptions & Actor,
): Promise<AccountRecord> {
  const entry = { actor: options.who, action: "account.remove", object: address, detail: {} };
  return audited(ports, entry, options, () => ports.accounts.removeAccount(address, options));
}

/** @param quotaBytes  0: none; undefined: the domain's. @throws {MairustError} `unknown_account` */
export function setQuota(
  ports: ServicePorts,
  address: string,
  quotaBytes: number | undefined,
  options: ChangeOptions & Actor,
): Promise<AccountRecord> {
  const detail = { quota_bytes: quotaBytes ?? null };
  const entry = { actor: options.who, action: "account.quota", object: address, detail };
  return audited(ports, entry, options, () => ports.accounts.setQuota(address, quotaBytes, options));
}

/** For logins by IMAP. @throws {MairustError} `unknown_account`, `invalid_argument` */
export function setPassword(
  ports: ServicePorts,
  address: string,
  password: NewPassword,
  options: ChangeOptions & Actor,
): Promise<AccountRecord> {
  const detail = { password: password.kind === "none" ? "cleared" : "set" };
  const entry = { actor: options.who, action: "account.password", object: address, detail };
  return audited(ports, entry, options, () => ports.accounts.setPassword(address, password, options));
}

/** @throws {MairustError} `unknown_account` */
export function listAliases(ports: ServicePorts, address: string): Promise<readonly AliasRecord[]> {
  return ports.accounts.listAliases(address);
}

/** @throws {MairustError} `unknown_account`, `unknown_domain`, `already_exists`, `too_many`, `address_syntax` */
export function addAlias(
  ports: ServicePorts,
  address: string,
  alias: string,
  options: ChangeOptions & Actor,
): Promise<AliasRecord> {
  const entry = { actor: options.who, action: "account.alias_add", object: address, detail: { alias } };
  return audited(ports, entry, options, () => ports.accounts.addAlias(address, alias, options));
}

/** @throws {MairustError} `unknown_account`, `not_found` */
export function removeAlias(
  ports: ServicePorts,
  address: string,
  alias: string,
  options: ChangeOptions & Actor,
): Promise<AliasRecord> {
  const entry = { actor: options.who, action: "account.alias_remove", object: address, detail: { alias } };
  return audited(ports, entry, options, () => ports.accounts.removeAlias(address, alias, options));
}

/** @throws {MairustError} `unknown_account` */
export function listMailboxes(ports: ServicePorts, address: string): Promise<readonly MailboxRecord[]> {
  return ports.accounts.listMailboxes(address);
}
