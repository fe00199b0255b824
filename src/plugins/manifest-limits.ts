/** Rules of `[limits]`: who may be reached over the network, and how that is written. Pure. */
import type { Manifest } from "../wire/manifest.ts";
import { type Finding, shown } from "./problem.ts";

/** Hosts of `local-only`. */
const LOOPBACK: ReadonlySet<string> = new Set(["127.0.0.1", "localhost", "[::1]"]);
/** Ports of `outbound-limited`. */
const WEB_PORTS: ReadonlySet<number> = new Set([80, 443]);
const MAX_PORT = 65_535;

export function limitFindings({ limits }: Manifest): readonly Finding[] {
  const { network = "none", network_allow: allow } = limits ?? {};
  if (allow === undefined) return [];
  const path = ["limits", "network_allow"];
  if (network !== "local-only" && network !== "outbound-limited")
    return [{ path, found: shown(allow), allowed: 'only with network = "local-only" or "outbound-limited"' }];
  return allow.flatMap((entry, i) => {
    const allowed = network === "local-only" ? localProblem(entry) : outboundProblem(entry);
    return allowed === undefined ? [] : [{ path: [...path, i], found: shown(entry), allowed }];
  });
}

function split(entry: string): { readonly host: string; readonly port: number } {
  const at = entry.lastIndexOf(":");
  return { host: entry.slice(0, at), port: Number(entry.slice(at + 1)) };
}

function localProblem(entry: string): string | undefined {
  const { host, port } = split(entry);
  if (LOOPBACK.has(host) && port >= 1 && port <= MAX_PORT) return undefined;
  return `127.0.0.1, localhost or [::1] and a port, such as "127.0.0.1:11333", for network = "local-only"`;
}

/** Addresses are refused by the proxy: names are what an administrator can judge. */
function outboundProblem(entry: string): string | undefined {
  const { host, port } = split(entry);
  const name = host.replace(/^\*\./u, "");
  const isName = /^(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]*$/u.test(name);
  if (isName && WEB_PORTS.has(port)) return undefined;
  return `a host name or "*.name", and port 80 or 443, for network = "outbound-limited"`;
}
