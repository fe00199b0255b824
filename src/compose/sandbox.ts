/** The sandbox of this service, and what it tells: in the log and in metrics, per plugin from its start to its end. */
import { join } from "node:path";
import type { EgressProxies } from "../core/ports/egress.ts";
import type { Log } from "../core/ports/log.ts";
import type { LimitReport } from "../core/ports/sandbox.ts";
import type { Metrics } from "../platform/metrics.ts";
import type { ConfinedListener } from "../runtimes/confined-transport.ts";
import { egressDoors } from "../runtimes/egress/door.ts";
import { Sandbox } from "../runtimes/sandbox/sandbox.ts";
import type { Config } from "../wire/config/schema.ts";

/** Some of those that a service gives to plugins, for what runs without one: the end of the default range. */
export const TRIAL_UIDS = [61_990, 61_999];

/** What a plugin of this host is held in: a tier, or the reason why there is none. */
export type HostSandbox = { readonly tier: number } | { readonly problem: string };

type Shown = Parameters<ConfinedListener["started"]>[1];

/** @param egress  absent: no plugin has a network */
export function createSandbox({ plugins, data_dir }: Config, egress: EgressProxies | undefined): Sandbox {
  const { user, uid_range: uidRange } = plugins;
  return new Sandbox({
    user,
    uidRange,
    uidFile: join(data_dir, "plugin-uids.json"),
    ...(egress === undefined ? {} : { openDoor: egressDoors(egress) }),
  });
}

/** Tried now, for what makes a configuration before there is a service. */
export async function tryHostSandbox(): Promise<HostSandbox> {
  const sandbox = new Sandbox({ uidRange: TRIAL_UIDS });
  try {
    const holding = await sandbox.holding();
    return "problem" in holding ? holding : { tier: holding.tier };
  } finally {
    sandbox.close();
  }
}

/** Of two versions of a plugin at the same time the later one is shown. */
export function confinedListener(metrics: Metrics, log: Log): ConfinedListener {
  const shown = new Map<string, Shown>();
  metrics.setPluginMemory(() => [...shown].map(([plugin, one]) => ({ plugin, bytes: one.memoryBytes() })));
  const hide = (plugin: string) => {
    for (const { limit, mechanism } of shown.get(plugin)?.limits ?? [])
      metrics.pluginLimitEnforced.remove({ plugin, limit, mechanism });
    shown.delete(plugin);
  };
  return {
    started(plugin, admitted) {
      hide(plugin);
      shown.set(plugin, admitted);
      for (const { limit, mechanism, enforcement } of admitted.limits)
        metrics.pluginLimitEnforced.set({ plugin, limit, mechanism }, enforcement === "enforced" ? 1 : 0);
      log.info("plugin_confined", { plugin, tier: admitted.tier, ...weakOnes(admitted.limits) });
    },
    stopped(plugin, admitted) {
      if (shown.get(plugin) === admitted) hide(plugin);
    },
  };
}

function weakOnes(limits: readonly LimitReport[]): Readonly<Record<string, string>> {
  const named = (enforcement: string) =>
    limits
      .filter(one => one.enforcement === enforcement)
      .map(({ limit }) => limit)
      .join(",");
  return { best_effort: named("best_effort"), not_enforced: named("not_enforced") };
}
