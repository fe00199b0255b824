/** Use cases on DKIM keys of a domain: list, add, remove, and whether DNS has them. */
import type { ChangeOptions } from "../core/admin-ports.ts";
import type { DkimCheck, DkimKeyAsked, DkimKeyRecord } from "../core/ports/dkim.ts";
import { type Actor, audited } from "./audit.ts";
import type { ServicePorts } from "./ports.ts";

/** @throws {MairustError} `unknown_domain` */
export async function listDkimKeys(ports: ServicePorts, name: string): Promise<readonly DkimKeyRecord[]> {
  const { name: domain } = await ports.accounts.getDomain(name);
  return ports.dkim.list(domain);
}

/** @throws {MairustError} `unknown_domain`, `invalid_argument`, `already_exists`, `too_many` */
export async function addDkimKey(
  ports: ServicePorts,
  asked: DkimKeyAsked,
  options: ChangeOptions & Actor,
): Promise<DkimKeyRecord> {
  const { name: domain } = await ports.accounts.getDomain(asked.domain);
  const { selector = null, algorithm = null, privateKey } = asked;
  const detail = { selector, algorithm, own_key: privateKey !== undefined };
  const entry = { actor: options.who, action: "dkim.add", object: domain, detail };
  return audited(ports, entry, options, () => ports.dkim.add({ ...asked, domain }, options));
}

/** Mail is no longer signed with it. @throws {MairustError} `unknown_domain`, `not_found` */
export async function removeDkimKey(
  ports: ServicePorts,
  name: string,
  selector: string,
  options: ChangeOptions & Actor,
): Promise<DkimKeyRecord> {
  const { name: domain } = await ports.accounts.getDomain(name);
  const entry = { actor: options.who, action: "dkim.remove", object: domain, detail: { selector } };
  return audited(ports, entry, options, () => ports.dkim.remove(domain, selector, options));
}

/** @throws {MairustError} `unknown_domain` */
export async function checkDkimKeys(ports: ServicePorts, name: string): Promise<readonly DkimCheck[]> {
  const { name: domain } = await ports.accounts.getDomain(name);
  return ports.dkim.check(domain);
}
