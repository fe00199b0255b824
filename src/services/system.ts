/** Use cases on the service itself: readiness, components, configuration, reload. */
import type {
  ChangeOptions,
  CheckView,
  ComponentView,
  ConfigKeyView,
  ReloadResult,
} from "../core/admin-ports.ts";
import type { ServicePorts } from "./ports.ts";

export interface Readiness {
  readonly ready: boolean;
  readonly checks: readonly CheckView[];
}

/** Ready: nothing is in state `error`. Degraded parts still take mail. */
export async function readiness(ports: ServicePorts): Promise<Readiness> {
  const checks = await ports.system.checks();
  return { ready: checks.every(check => check.status !== "error"), checks };
}

export function listComponents(ports: ServicePorts): readonly ComponentView[] {
  return ports.system.components();
}

/** Effective configuration, secrets masked, with the origin of each key. */
export function showConfiguration(ports: ServicePorts): readonly ConfigKeyView[] {
  return ports.system.config();
}

/** @throws {MairustError} `config_invalid`: the old configuration stays */
export function reloadConfiguration(ports: ServicePorts, options: ChangeOptions): Promise<ReloadResult> {
  return ports.system.reload(options);
}

export function scrapeMetrics(
  ports: ServicePorts,
): Promise<{ readonly contentType: string; readonly text: string }> {
  return ports.system.metrics();
}
