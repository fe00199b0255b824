/** The administration's side of the store: fills the ports of `core/admin-ports.ts`. */
import type { AccountAdmin, MessageAdmin } from "../core/admin-ports.ts";
import type { MailboxId } from "../core/ids.ts";
import * as accounts from "./admin-accounts.ts";
import * as aliases from "./admin-aliases.ts";
import * as domains from "./admin-domains.ts";
import * as messages from "./admin-messages.ts";
import { searchMessages } from "./admin-search.ts";
import type { Db } from "./db.ts";

export interface AdminOptions {
  readonly db: Db;
  /** After a committed change of domains, accounts or aliases: forget remembered lookups. */
  readonly onDirectoryChange: () => void;
  /** After a commit that removed mailboxes: sessions that have them open must hear. */
  readonly onMailboxesGone: (mailboxes: readonly MailboxId[]) => void;
}

export function createAccountAdmin({ db, onDirectoryChange, onMailboxesGone }: AdminOptions): AccountAdmin {
  const changed = async <T>(dryRun: boolean, work: Promise<T>): Promise<T> => {
    const result = await work;
    if (!dryRun) onDirectoryChange();
    return result;
  };
  return {
    listDomains: page => domains.listDomains(db, page),
    getDomain: name => domains.getDomain(db, name),
    addDomain: (domain, o) => changed(o.dryRun, domains.addDomain(db, domain, o)),
    removeDomain: (name, o) => changed(o.dryRun, domains.removeDomain(db, name, o)),
    listAccounts: (domain, page) => accounts.listAccounts(db, domain, page),
    getAccount: address => accounts.getAccount(db, address),
    addAccount: (account, o) => changed(o.dryRun, accounts.addAccount(db, account, o)),
    async removeAccount(address, o) {
      const removed = await changed(o.dryRun, accounts.removeAccount(db, address, o));
      if (removed.mailboxes.length > 0) onMailboxesGone(removed.mailboxes);
      return removed.record;
    },
    setQuota: (address, quotaBytes, o) => changed(o.dryRun, accounts.setQuota(db, address, quotaBytes, o)),
    setPassword: (address, password, o) => changed(o.dryRun, accounts.setPassword(db, address, password, o)),
    listAliases: address => aliases.listAliases(db, address),
    addAlias: (address, alias, o) => changed(o.dryRun, aliases.addAlias(db, address, alias, o)),
    removeAlias: (address, alias, o) => changed(o.dryRun, aliases.removeAlias(db, address, alias, o)),
    listMailboxes: address => accounts.listMailboxes(db, address),
  };
}

export function createMessageAdmin(db: Db): MessageAdmin {
  return {
    search: (query, page) => searchMessages(db, query, page),
    getMessage: id => messages.getMessage(db, id),
    timeline: id => messages.timeline(db, id),
    raw: (id, place) => messages.raw(db, id, place),
  };
}
