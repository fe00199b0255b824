/**
 * For whom hooks at the milter count (message path, step 2): of mail from outside each recipient's domain says, of mail that is sent
 * the sender's. A domain that is not ours, or in stage `observe`, is watched only.
 *
 * Source: mail-path.md §1; product.md, stages
 */
import type { MailAddress } from "../core/envelope.ts";
import type { Directory, Domain, Stage } from "../core/ports/directory.ts";
import type { MilterEnvelope } from "../core/ports/milter.ts";

export interface Scope {
  /** Of each RCPT, in order: lower case, the domain in its canonical form where it is ours. */
  readonly addresses: readonly string[];
  /** Those of them for whom hooks are only recorded. */
  readonly observed: ReadonlySet<string>;
  /** The furthest of the domains in scope. */
  readonly stage: Stage;
  /** A recipient is in a domain of ours that is beyond `observe`. */
  readonly hasOurs: boolean;
}

/** Domains that are looked up at a time for one message. */
const LOOKUPS_AT_ONCE = 8;
const STAGE_ORDER: readonly Stage[] = ["observe", "hooks", "mirror", "store"];

/**
 * @returns undefined: nobody in this message is ours to judge
 * @throws {MairustError} `store_unavailable`
 */
export async function scopeOf(directory: Directory, envelope: MilterEnvelope): Promise<Scope | undefined> {
  const found = await findDomains(directory, envelope);
  const domains = envelope.recipients.map(({ address }) => found.get(address.domain));
  const addresses = envelope.recipients.map(({ address }, i) => addressText(address, domains[i]));
  const hasOurs = domains.some(isBeyondObserve);
  if (envelope.direction === "inbound") {
    const observed = new Set(addresses.filter((_, i) => !isBeyondObserve(domains[i])));
    return { addresses, observed, stage: furthest(domains), hasOurs };
  }
  const domain = await senderDomain(directory, envelope);
  if (domain === undefined) return undefined;
  const observed = new Set(isBeyondObserve(domain) ? [] : addresses);
  return { addresses, observed, stage: domain.stage, hasOurs };
}

/**
 * Whose mail it is that is sent. A sender's address of elsewhere, or none (`<>`), must not take mail of one of our users past the hooks: then
 * the address that they logged in with says it.
 */
async function senderDomain(
  directory: Directory,
  { mailFrom, auth }: MilterEnvelope,
): Promise<Domain | undefined> {
  const domain = mailFrom.domain === "" ? undefined : await directory.findDomain(mailFrom.domain);
  const login = auth?.user ?? "";
  if (domain !== undefined || !login.includes("@")) return domain;
  return directory.findDomain(login.slice(login.lastIndexOf("@") + 1));
}

/** A recipient is in a domain of ours beyond `observe`. @throws {MairustError} `store_unavailable` */
export async function hasOurs(directory: Directory, envelope: MilterEnvelope): Promise<boolean> {
  for (const name of domainNames(envelope)) {
    if (isBeyondObserve(await directory.findDomain(name))) return true;
  }
  return false;
}

const domainNames = ({ recipients }: MilterEnvelope): ReadonlySet<string> =>
  new Set(recipients.map(({ address }) => address.domain));

/** Each domain once: a thousand recipients are mostly of one, and each name that is not remembered is a query. */
async function findDomains(
  directory: Directory,
  envelope: MilterEnvelope,
): Promise<ReadonlyMap<string, Domain | undefined>> {
  const names = [...domainNames(envelope)];
  const found = new Map<string, Domain | undefined>();
  for (let at = 0; at < names.length; at += LOOKUPS_AT_ONCE) {
    const some = names.slice(at, at + LOOKUPS_AT_ONCE);
    await Promise.all(some.map(async name => found.set(name, await directory.findDomain(name))));
  }
  return found;
}

function isBeyondObserve(domain: Domain | undefined): boolean {
  return domain !== undefined && domain.stage !== "observe";
}

function furthest(domains: readonly (Domain | undefined)[]): Stage {
  const places = domains.map(domain => STAGE_ORDER.indexOf(domain?.stage ?? "observe"));
  return STAGE_ORDER[Math.max(0, ...places)] ?? "observe";
}

function addressText(address: MailAddress, domain: Domain | undefined): string {
  const local = address.local.normalize("NFC").toLowerCase();
  return `${local}@${domain?.name ?? address.domain.toLowerCase()}`;
}
