/** A plugin's way out, opened and ready to be put into its sandbox: its gate, and the shim that leads there. */

import type { NetworkMode } from "../../core/plugin-terms.ts";
import type { EgressPolicy, EgressProxies } from "../../core/ports/egress.ts";
import { type Shim, shimFor } from "./shim.ts";

export interface OpenedDoor extends Shim {
  /** When no process of the plugin runs any more. */
  close(): Promise<void>;
}

/**
 * @returns opens the way out of one plugin
 * @throws {MairustError} what {@link EgressProxies.open} throws
 */
export function egressDoors(proxies: EgressProxies) {
  return async (
    plugin: string,
    network: { readonly mode: NetworkMode; readonly allow: readonly string[] },
    /** Of its processes; undefined: the service's own. */
    uid: number | undefined,
  ): Promise<OpenedDoor> => {
    const { mode, allow } = network;
    // Asked for by nobody: without a network there is no door.
    if (mode === "none") return { prefix: [], binds: [], env: {}, close: async () => {} };
    const policy: EgressPolicy = { mode, allow, uid };
    const gate = await proxies.open(plugin, policy);
    return { ...shimFor(policy, gate.socketPath), close: () => gate.close() };
  };
}
