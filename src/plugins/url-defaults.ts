/**
 * Addresses that a manifest brings along as defaults of its settings: an administrator who leaves them as they are must have agreed to
 * them with the plugin's network, so they stand in `limits.network_allow` as well.
 */
import type { Manifest } from "../wire/manifest.ts";
import { type Finding, shown } from "./problem.ts";

const PORTS: Readonly<Record<string, string>> = { "http:": "80", "https:": "443" };

/** @param manifest  of the right shape */
export function urlDefaultFindings({ settings, limits }: Manifest): readonly Finding[] {
  const { network, network_allow: allow = [] } = limits ?? {};
  if (network !== "outbound-limited" && network !== "local-only") return [];
  return Object.entries(settings ?? {}).flatMap(([key, { type, default: value }]) => {
    const place = type === "url" && typeof value === "string" ? placeOf(value) : undefined;
    if (place === undefined || allow.some(entry => allows(entry.toLowerCase(), place))) return [];
    const allowed = `a URL whose ${place} is in limits.network_allow`;
    return [{ path: ["settings", key, "default"], found: shown(value), allowed }];
  });
}

/** `host:port`; undefined: no URL, which is told elsewhere. */
function placeOf(url: string): string | undefined {
  if (!URL.canParse(url)) return undefined;
  const { hostname, port, protocol } = new URL(url);
  return `${hostname}:${port === "" ? (PORTS[protocol] ?? "") : port}`;
}

/** `*.example.com:443` is every name below, and not example.com itself. */
function allows(entry: string, place: string): boolean {
  return entry.startsWith("*.")
    ? place.endsWith(entry.slice(1)) && place !== entry.slice(2)
    : entry === place;
}
