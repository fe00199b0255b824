/** Rules of `[limits]`: what may be listed in `network_allow`, as the proxy reads it when the plugin starts. Pure. */
import type { Manifest } from "../wire/manifest.ts";
import { type Finding, shown } from "./problem.ts";

/** Hosts of `local-only`. */
const LOOPBACK: ReadonlySet<string> = new Set(["127.0.0.1", "localhost", "[::1]"]);
/** Ports of mail systems: no plugin's, whatever is listed. */
const MAIL_PORTS: ReadonlySet<number> = new Set([24, 25, 110, 143, 465, 587, 993, 995, 4190]);
const WEB_PORTS: ReadonlySet<number> = new Set([80, 443]);
const MAX_PORT = 65_535;

export function limitFindings({ limits }: Manifest): readonly Finding[] {
  const { network = "none", network_allow: allow } = limits ?? {};
  if (allow === undefined) return [];
  const path = ["limits", "network_allow"];
  if (network === "none")
    return [{ path, found: shown(allow), allowed: 'only with another network than "none"' }];
  return allow.flatMap((entry, i) => {
    const allowed = network === "local-only" ? localProblem(entry) : webProblem(entry, network);
    return allowed === undefined ? [] : [{ path: [...path, i], found: shown(entry), allowed }];
  });
}

function split(entry: string): { readonly host: string; readonly port: number } {
  const at = entry.lastIndexOf(":");
  return { host: entry.slice(0, at), port: Number(entry.slice(at + 1)) };
}

function localProblem(entry: string): string | undefined {
  const { host, port } = split(entry);
  if (LOOPBACK.has(host) && port >= 1 && port <= MAX_PORT && !MAIL_PORTS.has(port)) return undefined;
  return 'for network = "local-only": 127.0.0.1, localhost or [::1] and a port that is not of the mail system, such as "127.0.0.1:11434"';
}

function webProblem(entry: string, network: string): string | undefined {
  const { host, port } = split(entry);
  const isName = /^(?:\*\.)?[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?$/u.test(host);
  const isBelowAddress = /^\*\.[0-9.]+$/u.test(host);
  const isAddress = /^\[[0-9A-Fa-f:.]{2,45}\]$/u.test(host);
  if ((isAddress || (isName && !isBelowAddress)) && WEB_PORTS.has(port)) return undefined;
  return `for network = "${network}": a name, "*.name" or an address, and port 80 or 443`;
}
