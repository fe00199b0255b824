/** What the Hook Manager reports, as metrics of the service. */
import type { HookMetrics } from "../hooks/report.ts";
import type { Metrics } from "../platform/metrics.ts";

const CIRCUIT_STATES = { closed: 0, half_open: 1, open: 2 } as const;

const NOT_CALLED: ReadonlySet<string> = new Set(["skipped", "circuit_open", "bypassed", "over_budget"]);

export function hookMetrics(metrics: Metrics): HookMetrics {
  return {
    // What was not called is no call of the plugin, and no error of it.
    call({ hook, plugin, outcome, seconds }) {
      metrics.hookCalls.inc({ hook, plugin, outcome });
      if (NOT_CALLED.has(outcome)) return;
      metrics.hookDuration.observe({ hook, plugin }, seconds);
      metrics.pluginCalls.inc({ plugin });
      metrics.pluginDuration.observe({ plugin }, seconds);
      if (outcome === "ok" || outcome === "late")
        metrics.hookLastSuccess.set({ hook, plugin }, Date.now() / 1000);
      else metrics.pluginErrors.inc({ plugin, kind: outcome });
    },
    denied: (plugin, item, reason) =>
      metrics.pluginDeniedActions.inc({ plugin, item, ...(reason === undefined ? {} : { reason }) }),
    circuit(plugin, state) {
      if (state === undefined) metrics.pluginCircuitState.remove({ plugin });
      else metrics.pluginCircuitState.set({ plugin }, CIRCUIT_STATES[state]);
    },
  };
}
