/** What configuration files say about a domain: files are the truth, and what they set is locked here. */
import type { ConfigKeyView } from "../core/admin-ports.ts";
import type { ServicePorts } from "./ports.ts";

/**
 * @param name  canonical, as files must write it
 * @param key   below the domain: `stage`, `relay.lmtp`; undefined: any
 * @returns     the key as it is set or, where no file sets it, by its default; undefined: no file names the domain
 */
export function fileKeyOf(
  ports: Pick<ServicePorts, "system">,
  name: string,
  key?: string,
): ConfigKeyView | undefined {
  const prefixes = [`domains.${JSON.stringify(name)}`, `domains.${name}`];
  const found = ports.system
    .config()
    .filter(view => prefixes.some(prefix => isBelow(view.key, prefix, key)))
    .sort((one, other) => Number(one.origin === "default") - Number(other.origin === "default"));
  return found[0];
}

function isBelow(key: string, prefix: string, wanted: string | undefined): boolean {
  return wanted === undefined
    ? key === prefix || key.startsWith(`${prefix}.`)
    : key === `${prefix}.${wanted}`;
}
