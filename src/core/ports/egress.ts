/** The only way out of a sandbox: a proxy of ours for each plugin; `runtimes/egress/` implements it. */
import type { NetworkMode } from "../plugin-terms.ts";

export interface EgressPolicy {
  readonly mode: Exclude<NetworkMode, "none">;
  /** `host:port`, `*.suffix:port`; of `local-only`: `127.0.0.1:port`. */
  readonly allow: readonly string[];
  /** Whose processes may connect: the plugin's own user, where it has one. Undefined: processes of the service's user. */
  readonly uid?: number | undefined;
}

/** Where a plugin's processes connect to: nobody else's may. */
export interface EgressGate {
  /** UNIX socket on the host, to be shown to the sandbox. */
  readonly socketPath: string;
  close(): Promise<void>;
}

/** What went to one destination. */
export interface EgressTraffic {
  readonly plugin: string;
  /** `host:port` as it was asked for. */
  readonly destination: string;
  readonly connections: number;
  /** Why it was refused, and how often; empty: it was not. */
  readonly refused: Readonly<Record<string, number>>;
  readonly bytesUp: number;
  readonly bytesDown: number;
}

export interface EgressProxies {
  /** @throws {MairustError} `plugin_validation`: the list names what can never be reached; `too_many` */
  open(plugin: string, policy: EgressPolicy): Promise<EgressGate>;
  /** Since the start, by plugin and destination; bounded. */
  traffic(): readonly EgressTraffic[];
}
