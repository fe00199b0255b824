/**
 * The only way out of a sandbox: a CONNECT proxy for each plugin, each on a UNIX socket of its own (`gate.ts`) in one folder.
 * Names are looked up here, addresses checked here (`rules.ts`), and what went where is counted (`traffic.ts`).
 * Fails when a gate opens: a list that cannot be meant, a socket that cannot be made. Sockets that a killed service left are taken over.
 */
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { MairustError } from "../../core/errors.ts";
import type { EgressGate, EgressPolicy, EgressProxies } from "../../core/ports/egress.ts";
import type { Log } from "../../core/ports/log.ts";
import { type Dial, dialAddresses } from "./dial.ts";
import { GATE_LIMITS, type GateLimits, openGate } from "./gate.ts";
import { dnsResolve, type EgressResolve } from "./resolve.ts";
import { readRules } from "./rules.ts";
import { TrafficTable } from "./traffic.ts";
import { TUNNEL_LIMITS, type TunnelLimits } from "./tunnel.ts";

export interface EgressOptions {
  /** Absolute path of a folder for the sockets alone. */
  readonly folder: string;
  /** Ports of this host that no plugin may reach, besides those of every mail system: asked for each connection. */
  readonly reservedPorts: () => ReadonlySet<number>;
  readonly log: Log;
  readonly resolve?: EgressResolve;
  readonly dial?: Dial;
  readonly gateLimits?: GateLimits;
  readonly tunnelLimits?: TunnelLimits;
}

/** Gates at a time: two versions of a plugin have one each while it is upgraded. */
const MAX_GATES = 512;

export function createEgressProxies(options: EgressOptions): EgressProxies {
  return new Proxies(options);
}

class Proxies implements EgressProxies {
  readonly #options: EgressOptions;
  readonly #traffic = new TrafficTable();
  /** Names of sockets that are in use. */
  readonly #names = new Set<string>();

  constructor(options: EgressOptions) {
    this.#options = options;
  }

  async open(plugin: string, policy: EgressPolicy): Promise<EgressGate> {
    const { reservedPorts, resolve = dnsResolve, log } = this.#options;
    const rules = readRules(plugin, policy, reservedPorts());
    const name = this.#take(plugin);
    try {
      const folder = this.#folder();
      const gate = await openGate({
        path: join(folder, name),
        uid: policy.uid,
        limits: this.#options.gateLimits ?? GATE_LIMITS,
        context: {
          rules,
          reservedPorts,
          resolve,
          dial: this.#options.dial ?? dialAddresses,
          limits: this.#options.tunnelLimits ?? TUNNEL_LIMITS,
          row: destination => this.#traffic.row(plugin, destination),
        },
        onError: error => log.error("egress gate failed", { plugin, error: error.message }),
      });
      const close = async () => {
        await gate.close();
        this.#names.delete(name);
      };
      return { socketPath: gate.socketPath, close };
    } catch (error) {
      this.#names.delete(name);
      throw error;
    }
  }

  traffic() {
    return this.#traffic.list();
  }

  /** Others may go through it, to reach the one socket that is theirs; they cannot list it. */
  #folder(): string {
    const { folder } = this.#options;
    mkdirSync(folder, { recursive: true, mode: 0o711 });
    chmodSync(folder, 0o711);
    return folder;
  }

  /** Names come again, so that what killed services leave does not add up. */
  #take(plugin: string): string {
    if (this.#names.size >= MAX_GATES)
      throw new MairustError(
        "too_many",
        `Cannot open the network of plugin "${plugin}": ${MAX_GATES} are open`,
      );
    const base = createHash("sha256").update(plugin).digest("hex").slice(0, 16);
    let name = `${base}.0`;
    for (let i = 1; this.#names.has(name); i++) name = `${base}.${i}`;
    this.#names.add(name);
    return name;
  }
}
