/** Use cases on plugins: list them, give one a new secret. */
import type { PluginLogPart, PluginView } from "../core/ports/plugin-admin.ts";
import type { NewSecret } from "../core/ports/plugin-secrets.ts";
import { DEFAULT_GRACE_S } from "../wire/plugin-secrets.ts";
import type { ServicePorts } from "./ports.ts";

export function listPlugins(ports: ServicePorts): readonly PluginView[] {
  return ports.plugins.list();
}

/** Lines of one answer, unless asked for another number. */
export const DEFAULT_LOG_LINES = 100;

/** @throws {MairustError} `not_found` */
export function readPluginLog(
  ports: ServicePorts,
  id: string,
  { lines = DEFAULT_LOG_LINES, after }: { readonly lines?: number; readonly after?: number },
): Promise<PluginLogPart> {
  return ports.plugins.log(id, { lines, after });
}

/**
 * @param graceS  how long the old secret signs beside the new one; 0: not at all
 * @throws {MairustError} `not_found`, `invalid_state`
 */
export function rotatePluginSecret(
  ports: ServicePorts,
  id: string,
  graceS: number = DEFAULT_GRACE_S,
): Promise<NewSecret> {
  return ports.plugins.rotateSecret(id, graceS);
}
