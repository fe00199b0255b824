/** The running service as the API sees it: components, readiness, configuration, reload, metrics. */
import type { ReloadResult, SystemControl } from "../core/admin-ports.ts";
import type { LoadedConfig } from "../platform/config/load.ts";
import { originText } from "../platform/config/problem.ts";
import { listConfig } from "../platform/config/show.ts";
import { deadlineAfter } from "../platform/deadline.ts";
import type { Metrics } from "../platform/metrics.ts";
import type { ComponentRegistry } from "../platform/registry.ts";
import type { Settings } from "./settings.ts";

/** A component that does not answer by then is in error. */
const HEALTH_MS = 3_000;

export interface ControlParts {
  readonly settings: Settings;
  readonly registry: ComponentRegistry;
  readonly metrics: Metrics;
  readonly reread: () => Promise<LoadedConfig>;
  /** Put a loaded configuration into effect; with `dryRun` only say what would change. */
  readonly apply: (loaded: LoadedConfig, dryRun: boolean) => Promise<ReloadResult>;
}

export function systemControl(parts: ControlParts): SystemControl {
  return {
    components: () => parts.registry.list(),
    async checks() {
      const deadline = deadlineAfter(HEALTH_MS);
      const { checks } = await parts.registry.healthAll(deadline);
      deadline.dispose();
      return checks.map(({ name, status, detail }) => ({ name, status, reason: detail ?? "" }));
    },
    config: () =>
      listConfig(parts.settings.loaded, "a").map(({ key, value, origin }) => ({
        key,
        value: value ?? null,
        origin: originText(origin),
      })),
    reload: async ({ dryRun }) => parts.apply(await parts.reread(), dryRun),
    metrics: async () => ({ contentType: parts.metrics.contentType, text: await parts.metrics.render() }),
  };
}
