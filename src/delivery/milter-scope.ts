/**
 * For whom hooks at the milter count (message path, step 2): of mail from outside each recipient's stage says, of mail that is sent
 * the sender's. Who is not ours, or in stage `observe`, is watched only. The stage is the account's own where it has one (aliases and
 * sub-addresses mean the account), else its domain's; accounts are looked up only where some of the domain's have one of their own.
 *
 * Source: mail-path.md §1; product.md, stages
 */
import { type MailAddress, parseMailAddress } from "../core/envelope.ts";
import type { Domain, KnownDirectory, Stage } from "../core/ports/directory.ts";
import type { MilterEnvelope } from "../core/ports/milter.ts";

export interface Scope {
  /** Of each RCPT, in order: lower case, the domain in its canonical form where it is ours. */
  readonly addresses: readonly string[];
  /** Those of them for whom hooks are only recorded. */
  readonly observed: ReadonlySet<string>;
  /** The furthest of those in scope. */
  readonly stage: Stage;
  /** A recipient is ours and beyond `observe`. */
  readonly hasOurs: boolean;
}

/** Domains that are looked up at a time for one message: each may be a query. */
const DOMAINS_AT_ONCE = 8;
/** Accounts: those that are asked for together share a query. */
const ACCOUNTS_AT_ONCE = 200;
const STAGE_ORDER: readonly Stage[] = ["observe", "hooks", "mirror", "store"];

/**
 * @returns undefined: nobody in this message is ours to judge
 * @throws {MairustError} `store_unavailable`
 */
export async function scopeOf(
  directory: KnownDirectory,
  envelope: MilterEnvelope,
): Promise<Scope | undefined> {
  const found = await findDomains(directory, envelope);
  const to = envelope.recipients.map(({ address }) => address);
  const stages = await stagesOf(directory, to, found);
  const addresses = to.map(address => addressText(address, found.get(address.domain)));
  const hasOurs = stages.some(isBeyondObserve);
  if (envelope.direction === "inbound") {
    const observed = new Set(addresses.filter((_, i) => !isBeyondObserve(stages[i])));
    return { addresses, observed, stage: furthest(stages), hasOurs };
  }
  const sender = await senderOf(directory, envelope);
  if (sender === undefined) return undefined;
  const { address: from, domain } = sender;
  const stage = (await stageOf(directory, from, domain)) ?? domain.stage;
  const observed = new Set(isBeyondObserve(stage) ? [] : addresses);
  return { addresses, observed, stage, hasOurs };
}

/**
 * Whose mail it is that is sent. A sender's address of elsewhere, or none (`<>`), must not take mail of one of our users past the hooks: then
 * the address that they logged in with says it.
 */
async function senderOf(
  directory: KnownDirectory,
  { mailFrom, auth }: MilterEnvelope,
): Promise<{ readonly address: MailAddress; readonly domain: Domain } | undefined> {
  const login = parseMailAddress(auth?.user ?? "");
  for (const address of [mailFrom, login]) {
    const domain = address.domain === "" ? undefined : await directory.findDomain(address.domain);
    if (domain !== undefined) return { address, domain };
  }
  return undefined;
}

/** A recipient is ours and beyond `observe`. @throws {MairustError} `store_unavailable` */
export async function hasOurs(directory: KnownDirectory, envelope: MilterEnvelope): Promise<boolean> {
  const found = await findDomains(directory, envelope);
  const to = envelope.recipients.map(({ address }) => address);
  const isPlain = (domain: Domain | undefined) => domain !== undefined && !domain.hasAccountStages;
  if ([...found.values()].some(domain => isPlain(domain) && isBeyondObserve(domain?.stage))) return true;
  return (await stagesOf(directory, to, found)).some(isBeyondObserve);
}

/** Each domain once: a thousand recipients are mostly of one, and each name that is not remembered is a query. */
async function findDomains(
  directory: KnownDirectory,
  { recipients }: MilterEnvelope,
): Promise<ReadonlyMap<string, Domain | undefined>> {
  const names = [...new Set(recipients.map(({ address }) => address.domain))];
  const domains = await inPortions(names, DOMAINS_AT_ONCE, name => directory.findDomain(name));
  return new Map(names.map((name, i) => [name, domains[i]]));
}

/** Of each address; undefined: not ours. */
function stagesOf(
  directory: KnownDirectory,
  addresses: readonly MailAddress[],
  found: ReadonlyMap<string, Domain | undefined>,
): Promise<readonly (Stage | undefined)[]> {
  return inPortions(addresses, ACCOUNTS_AT_ONCE, address =>
    stageOf(directory, address, found.get(address.domain)),
  );
}

async function stageOf(
  directory: KnownDirectory,
  address: MailAddress,
  domain: Domain | undefined,
): Promise<Stage | undefined> {
  if (domain === undefined || !domain.hasAccountStages) return domain?.stage;
  return (await directory.findAccount(address))?.stage ?? domain.stage;
}

async function inPortions<T, R>(
  all: readonly T[],
  size: number,
  each: (one: T) => Promise<R>,
): Promise<readonly R[]> {
  const done: R[] = [];
  for (let at = 0; at < all.length; at += size)
    done.push(...(await Promise.all(all.slice(at, at + size).map(each))));
  return done;
}

function isBeyondObserve(stage: Stage | undefined): boolean {
  return stage !== undefined && stage !== "observe";
}

function furthest(stages: readonly (Stage | undefined)[]): Stage {
  const places = stages.map(stage => STAGE_ORDER.indexOf(stage ?? "observe"));
  return STAGE_ORDER[Math.max(0, ...places)] ?? "observe";
}

function addressText(address: MailAddress, domain: Domain | undefined): string {
  const local = address.local.normalize("NFC").toLowerCase();
  return `${local}@${domain?.name ?? address.domain.toLowerCase()}`;
}
