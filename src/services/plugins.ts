/** Use cases on plugins: read their logs, give one a new secret. */
import type { PluginLogPart } from "../core/ports/plugin-admin.ts";
import type { NewSecret } from "../core/ports/plugin-secrets.ts";
import { DEFAULT_GRACE_S } from "../wire/plugin-secrets.ts";
import { type Actor, audited } from "./audit.ts";
import type { ServicePorts } from "./ports.ts";

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
 * @param graceS  how long the old secret signs beside the new one; 0: not at all; default a day
 * @throws {MairustError} `not_found`, `invalid_state`
 */
export function rotatePluginSecret(
  ports: ServicePorts,
  id: string,
  graceS: number | undefined,
  { who }: Actor,
): Promise<NewSecret> {
  const grace = graceS ?? DEFAULT_GRACE_S;
  const entry = { actor: who, action: "plugin.rotate", object: id, detail: { grace_s: grace } };
  return audited(ports, entry, { dryRun: false }, () => ports.plugins.rotateSecret(id, grace));
}
