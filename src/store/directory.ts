/**
 * Which account a recipient means (message path, step 6): exact address, alias, then without `+detail`. Lookups that arrive
 * together share one query; answers are remembered for a moment, because Postfix asks for the same few recipients again and again.
 * What is remembered is forgotten when something changed, here or on another node (`directory-changes.ts`), and an answer that was on
 * its way meanwhile is given and not remembered: from then on nobody is told the old stage.
 */

import type { MailAddress } from "../core/envelope.ts";
import { MairustError } from "../core/errors.ts";
import { accountId } from "../core/ids.ts";
import {
  type Account,
  type Directory,
  type Domain,
  NO_ACCOUNT,
  type ResolvedRecipient,
  type Stage,
} from "../core/ports/directory.ts";
import { createAccount } from "./accounts.ts";
import { addressText, canonicalAddress, canonicalDomain } from "./addresses.ts";
import { Batcher } from "./batcher.ts";
import type { Db } from "./db.ts";

/** Answers remembered. */
const CACHE_SIZE = 10_000;
/** How long: bounds how late a change is seen here whose news did not come (the connection that hears was lost). */
const CACHE_MS = 3_000;
/**
 * How long a remembered answer serves when the database is away: only for mail that is handed on, which needs nothing else of it.
 * Bounds how long a node that is cut off from the database misses that another one moved a domain to another stage.
 */
const STALE_MS = 24 * 3_600_000;
/** Addresses per query. */
const MAX_BATCH = 200;
/** Addresses that may wait. */
const MAX_WAITING = 10_000;

interface LookupRow {
  ord: number;
  /** null: the domain of the address is none of ours. */
  domain: string | null;
  tenant: string;
  stage: Stage;
  accounts: "auto" | "listed";
  domain_quota: number;
  relay_lmtp: string | null;
  has_account_stages: boolean;
  account_stage: Stage | null;
  account_id: number | null;
  local_part: string;
  quota_bytes: number | null;
  used_bytes: number;
  used_messages: number;
  matched: "exact" | "alias" | "base" | null;
}

type DomainRow = Omit<Domain, "relayLmtp"> & { readonly relayLmtp: string | null };

interface Lookup {
  readonly domain: Domain | undefined;
  readonly account: Account | undefined;
  readonly stage: Stage;
  readonly detail: { readonly detail?: string };
}

export class StoreDirectory implements Directory {
  readonly #db: Db;
  readonly #now: () => number;
  readonly #cache = new Map<string, { readonly found: ResolvedRecipient; readonly until: number }>();
  readonly #lookups: Batcher<MailAddress, Lookup>;
  /** By name as received: the canonical form costs more than the look. That a domain is not ours is remembered too. */
  readonly #domains = new Map<string, { readonly found: Domain | undefined; readonly until: number }>();
  /** Rises with each change: what was asked before it is not remembered after it. */
  #generation = 0;

  /** Domains in the stages that keep nothing here, with the moment they were last heard of. */
  readonly #seen = new Map<string, { readonly domain: Domain; readonly at: number }>();

  constructor(db: Db, now: () => number = Date.now) {
    this.#db = db;
    this.#now = now;
    this.#lookups = new Batcher(batch => lookUp(db, batch), { maxBatch: MAX_BATCH, maxWaiting: MAX_WAITING });
  }

  /** Forget remembered answers: call after a domain, account or alias changed. */
  invalidate(): void {
    this.#generation += 1;
    this.#cache.clear();
    this.#domains.clear();
    this.#seen.clear();
  }

  async findDomain(name: string): Promise<Domain | undefined> {
    const cached = this.#domains.get(name);
    if (cached !== undefined && cached.until > this.#now()) return cached.found;
    const canonical = canonicalDomain(name);
    if (canonical === undefined) return undefined;
    const generation = this.#generation;
    const found = await readDomainRow(this.#db, canonical);
    if (generation !== this.#generation) return found;
    if (this.#domains.size >= CACHE_SIZE) this.#domains.clear();
    this.#domains.set(name, { found, until: this.#now() + CACHE_MS });
    return found;
  }

  async findAccount(address: MailAddress): Promise<ResolvedRecipient | undefined> {
    return (await this.#find(address)).found;
  }

  async resolveRecipient(address: MailAddress): Promise<ResolvedRecipient> {
    const generation = this.#generation;
    const { found, domain } = await this.#find(address, true);
    if (found !== undefined) return found;
    if (domain === undefined) {
      throw new MairustError("unknown_domain", `Cannot deliver to "${address.raw}": the domain is not ours`, {
        publicText: "no such domain here",
      });
    }
    const base = withoutDetail(address);
    const canonical = canonicalAddress(base);
    if (domain.stage !== "store" && (domain.accounts === "listed" || domain.stage !== "mirror"))
      return this.#remember(generation, address.raw, {
        account: unlisted(address, domain),
        domain,
        stage: domain.stage,
      });
    if (domain.accounts !== "auto" || canonical === undefined) {
      throw new MairustError(
        "unknown_account",
        `Cannot deliver to "${address.raw}": there is no such account`,
        {
          publicText: "no such user here",
        },
      );
    }
    await this.#db.begin(tx => createAccount(tx, base));
    const made = await this.#lookups.add(base);
    if (made.account === undefined || made.domain === undefined) {
      throw new MairustError(
        "store_unavailable",
        `Cannot create account "${base.raw}": it is not there after its creation`,
      );
    }
    const { account, stage } = made;
    const detail = detailOf(address);
    return this.#remember(generation, address.raw, { account, domain: made.domain, stage, ...detail });
  }

  /** @returns the domain alone where the account is not there */
  async #find(
    address: MailAddress,
    withUnlisted = false,
  ): Promise<{ readonly found?: ResolvedRecipient; readonly domain: Domain | undefined }> {
    const cached = this.#cache.get(address.raw);
    if (cached !== undefined && cached.until > this.#now()) {
      const { found } = cached;
      // Nobody has an account by it: who asks for one must not find it.
      return found.account.id === NO_ACCOUNT && !withUnlisted
        ? { domain: found.domain }
        : { found, domain: found.domain };
    }
    const generation = this.#generation;
    let hit: Lookup;
    try {
      hit = await this.#lookups.add(address);
    } catch (error) {
      const stale = isAway(error) ? this.#whileAway(address, cached?.found, withUnlisted) : undefined;
      if (stale === undefined) throw error;
      return { found: this.#keep(address.raw, stale), domain: stale.domain };
    }
    const { account, domain, stage, detail } = hit;
    if (account === undefined || domain === undefined) return { domain };
    return { found: this.#remember(generation, address.raw, { account, domain, stage, ...detail }), domain };
  }

  /** The database is away. Of stages that keep nothing here: the next hop knows who is there. */
  #whileAway(
    address: MailAddress,
    remembered: ResolvedRecipient | undefined,
    withUnlisted: boolean,
  ): ResolvedRecipient | undefined {
    const name = canonicalDomain(address.domain);
    const seen = name === undefined ? undefined : this.#seen.get(name);
    if (seen === undefined || seen.at + STALE_MS < this.#now()) return undefined;
    const { domain } = seen;
    if (remembered !== undefined && remembered.account.id !== NO_ACCOUNT)
      return isPassing(remembered.stage) ? { ...remembered, domain } : undefined;
    // Somebody with a stage of his own may be meant.
    if (domain.hasAccountStages || !withUnlisted) return undefined;
    return { account: unlisted(address, domain), domain, stage: domain.stage };
  }

  /** @param generation  when it was asked for */
  #remember(generation: number, key: string, found: ResolvedRecipient): ResolvedRecipient {
    if (generation !== this.#generation) return found;
    const { domain } = found;
    if (isPassing(domain.stage)) {
      if (this.#seen.size >= CACHE_SIZE) this.#seen.clear();
      this.#seen.set(domain.name, { domain, at: this.#now() });
    } else this.#seen.delete(domain.name);
    return this.#keep(key, found);
  }

  #keep(key: string, found: ResolvedRecipient): ResolvedRecipient {
    if (this.#cache.size >= CACHE_SIZE) {
      const [oldest] = this.#cache.keys();
      if (oldest !== undefined) this.#cache.delete(oldest);
    }
    this.#cache.delete(key);
    this.#cache.set(key, { found, until: this.#now() + CACHE_MS });
    return found;
  }
}

const isAway = (error: unknown) => error instanceof MairustError && error.code === "store_unavailable";

/** Mail of these stages is handed on, and nothing of it stays. */
const isPassing = (stage: Stage) => stage === "observe" || stage === "hooks";

/** A recipient that only the next hop knows. */
function unlisted(address: MailAddress, domain: Domain): Account {
  const exact = canonicalAddress(address);
  return {
    id: NO_ACCOUNT,
    address: exact === undefined ? address.raw : addressText(exact),
    domain: domain.name,
    quotaBytes: 0,
    usedBytes: 0,
    usedMessages: 0,
  };
}

/** `user+detail@d` → `user@d`; an address without detail comes back as it is. */
function withoutDetail(address: MailAddress): MailAddress {
  const plus = address.local.indexOf("+");
  if (plus <= 0) return address;
  const local = address.local.slice(0, plus);
  return { raw: `${local}@${address.domain}`, local, domain: address.domain };
}

function detailOf(address: MailAddress): { readonly detail?: string } {
  const plus = address.local.indexOf("+");
  return plus <= 0 ? {} : { detail: address.local.slice(plus + 1) };
}

async function lookUp(db: Db, batch: readonly MailAddress[]): Promise<readonly Lookup[]> {
  // What has no canonical form matches nothing: nulls compare as unknown.
  const wanted = batch.map((address, ord) => {
    const exact = canonicalAddress(address);
    const base = canonicalAddress(withoutDetail(address));
    return { o: ord, d: exact?.domain ?? base?.domain, l: exact?.local, b: base?.local };
  });
  // Exact account, then alias, then the account or alias without detail: the first that exists wins. Then its own domain counts.
  const rows = await db.query<LookupRow>`
    select w.o as ord, d.name as domain, d.tenant, d.stage, d.accounts, d.quota_bytes as domain_quota,
           a.id as account_id, a.local_part, a.quota_bytes, a.used_bytes, a.used_messages, hit.matched,
           d.relay_lmtp, d.has_account_stages, a.stage as account_stage
    from json_to_recordset(${JSON.stringify(wanted)}::text::json) as w(o int, d text, l text, b text)
    left join domains asked on asked.name = w.d and asked.enabled
    left join lateral (
      select id, matched from (
        select id, 'exact' as matched, 1 as rank from accounts where domain = w.d and local_part = w.l
        union all select account_id, 'alias', 2 from aliases where domain = w.d and local_part = w.l
        union all select id, 'base', 3 from accounts where w.b is distinct from w.l and domain = w.d and local_part = w.b
        union all select account_id, 'base', 4 from aliases where w.b is distinct from w.l and domain = w.d and local_part = w.b
      ) candidates order by rank limit 1
    ) hit on true
    left join accounts a on a.id = hit.id and asked.name is not null
    left join domains d on d.name = coalesce(a.domain, asked.name)
    order by w.o`;
  return batch.map((address, ord) => lookup(rows[ord], address));
}

async function readDomainRow(db: Db, name: string): Promise<Domain | undefined> {
  const [row] = await db.query<DomainRow>`
    select name, tenant, stage, accounts, quota_bytes as "quotaBytes", relay_lmtp as "relayLmtp",
           has_account_stages as "hasAccountStages"
    from domains where name = ${name} and enabled`;
  return row === undefined ? undefined : { ...row, relayLmtp: row.relayLmtp ?? undefined };
}

function lookup(row: LookupRow | undefined, address: MailAddress): Lookup {
  if (row === undefined || row.domain === null)
    return { domain: undefined, account: undefined, stage: "store", detail: {} };
  const domain: Domain = {
    name: row.domain,
    tenant: row.tenant,
    stage: row.stage,
    accounts: row.accounts,
    quotaBytes: row.domain_quota,
    relayLmtp: row.relay_lmtp ?? undefined,
    hasAccountStages: row.has_account_stages,
  };
  const stage = row.account_stage ?? row.stage;
  if (row.account_id === null) return { domain, account: undefined, stage, detail: {} };
  const account: Account = {
    id: accountId(row.account_id),
    address: `${row.local_part}@${row.domain}`,
    domain: row.domain,
    quotaBytes: row.quota_bytes ?? row.domain_quota,
    usedBytes: row.used_bytes,
    usedMessages: row.used_messages,
  };
  return { domain, account, stage, detail: row.matched === "base" ? detailOf(address) : {} };
}
