/** Use cases on the service itself: readiness, components, configuration, reload. */
import type {
  ChangeOptions,
  CheckView,
  ComponentView,
  ConfigKeyView,
  ReloadResult,
} from "../core/admin-ports.ts";
import { messageOf } from "../core/errors.ts";
import type { Actor } from "./audit.ts";
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

/**
 * Recorded when the database takes it. A reload works without, as the signal for it does: files are the truth, and may be what
 * brings the database back.
 *
 * @throws {MairustError} `config_invalid`: the old configuration stays
 */
export async function reloadConfiguration(
  ports: ServicePorts,
  { dryRun, who }: ChangeOptions & Actor,
): Promise<ReloadResult> {
  const result = await ports.system.reload({ dryRun });
  if (!dryRun) await recordReload(ports, who, result);
  return result;
}

/** Never throws. */
export async function recordReload(
  { audit, log }: Pick<ServicePorts, "audit" | "log">,
  actor: string,
  { applied, needRestart }: ReloadResult,
): Promise<void> {
  const detail = { applied, need_restart: needRestart };
  await audit
    .record({ actor, action: "config.reload", object: "", detail })
    .catch((error: unknown) => log.warn("reload_not_recorded", { reason: messageOf(error) }));
}

export function scrapeMetrics(
  ports: ServicePorts,
): Promise<{ readonly contentType: string; readonly text: string }> {
  return ports.system.metrics();
}
