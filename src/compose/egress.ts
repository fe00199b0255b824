/** The egress proxies of sandboxed plugins: where their sockets are, and which ports of this host are never a plugin's. */
import { join } from "node:path";
import type { EgressProxies } from "../core/ports/egress.ts";
import type { Log } from "../core/ports/log.ts";
import { createEgressProxies } from "../runtimes/egress/proxies.ts";
import { parseDatabaseUrl } from "../store/db-url.ts";
import type { Config } from "../wire/config/schema.ts";
import type { Settings } from "./settings.ts";

export interface EgressParts {
  readonly settings: Settings;
  readonly log: Log;
  /** Where the service listens, with the ports that the system chose. */
  readonly listening: () => readonly { readonly address: string }[];
}

export function egressProxies({ settings, log, listening }: EgressParts): EgressProxies {
  return createEgressProxies({
    folder: join(settings.startup.runtime_dir, "egress"),
    reservedPorts: () => new Set([...configuredPorts(settings.config), ...listening().flatMap(portsIn)]),
    log,
  });
}

/**
 * Of every listener and next hop in the configuration, wherever it stands, of the API's public address and of the database. What stands
 * in the plugins' own sections is theirs.
 */
export function configuredPorts(config: Config): ReadonlySet<number> {
  const { plugin: _, ...ours } = config;
  const { url } = config.database;
  return new Set([
    ...portsIn(ours),
    Number(new URL(config.api.public_url).port),
    ...(url === undefined ? [] : parseDatabaseUrl(url).ports),
  ]);
}

const ADDRESS = /^(?:inet|tls):.*:(\d{1,5})$/u;

function portsIn(value: unknown): readonly number[] {
  if (typeof value === "string") {
    const digits = ADDRESS.exec(value)?.[1];
    return digits === undefined ? [] : [Number(digits)];
  }
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(portsIn) : [];
}
