/** Use cases on domains: list, show, add, remove. */
import type { ChangeOptions, DomainRecord, NewDomain } from "../core/admin-ports.ts";
import { MairustError } from "../core/errors.ts";
import { checkFormat } from "../platform/config/formats.ts";
import { type Actor, audited } from "./audit.ts";
import { fileKeyOf } from "./domain-file.ts";
import { type PageAsked, type PageGiven, pageGiven, pageRequest } from "./paging.ts";
import type { ServicePorts } from "./ports.ts";

export async function listDomains(ports: ServicePorts, asked: PageAsked): Promise<PageGiven<DomainRecord>> {
  return pageGiven(await ports.accounts.listDomains(pageRequest(asked)));
}

/** @throws {MairustError} `unknown_domain` */
export function getDomain(ports: ServicePorts, name: string): Promise<DomainRecord> {
  return ports.accounts.getDomain(name);
}

/** @throws {MairustError} `already_exists`, `invalid_argument` */
export async function addDomain(
  ports: ServicePorts,
  domain: NewDomain,
  options: ChangeOptions & Actor,
): Promise<DomainRecord> {
  const { accounts, quotaBytes, stage, relayLmtp } = domain;
  if (relayLmtp !== undefined) checkNextHop(relayLmtp);
  if (relayLmtp === undefined && (stage === "hooks" || stage === "mirror"))
    throw refused(`stage ${stage} needs a next hop: relay_lmtp`);
  const detail = { accounts, quota_bytes: quotaBytes, stage, relay_lmtp: relayLmtp ?? null };
  const entry = { actor: options.who, action: "domain.add", object: domain.name, detail };
  return audited(ports, entry, options, () => ports.accounts.addDomain(domain, options));
}

/**
 * Files are the truth: a domain that a configuration file names would be back after the next start, so it is refused here.
 * @throws {MairustError} `unknown_domain`, `not_permitted` (it has accounts, or a file sets it)
 */
export async function removeDomain(
  ports: ServicePorts,
  name: string,
  options: ChangeOptions & Actor,
): Promise<DomainRecord> {
  const domain = await ports.accounts.getDomain(name);
  const set = fileKeyOf(ports, domain.name);
  if (set !== undefined) {
    const where = set.origin === "default" ? "in the configuration" : `in ${set.origin}`;
    const text = `domain "${domain.name}" is set ${where}; take it out there first`;
    throw new MairustError("not_permitted", `Cannot remove: ${text}`, { publicText: text });
  }
  const entry = { actor: options.who, action: "domain.remove", object: domain.name, detail: {} };
  return audited(ports, entry, options, () => ports.accounts.removeDomain(domain.name, options));
}

/** @param spec  `unix:/path` or `inet:host:port`. @throws {MairustError} `invalid_argument` */
export function checkNextHop(spec: string): void {
  const allowed = checkFormat("next_hop", spec);
  if (allowed !== undefined) throw refused(`relay_lmtp takes ${allowed}, not "${spec}"`);
}

function refused(publicText: string): MairustError {
  return new MairustError("invalid_argument", `Cannot set the domain: ${publicText}`, { publicText });
}
