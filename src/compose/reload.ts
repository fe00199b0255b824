/** Puts another configuration into effect while the service runs: what is read at each use changes by itself, the rest is done here. */
import type { ReloadResult } from "../core/admin-ports.ts";
import { messageOf } from "../core/errors.ts";
import { diffConfig } from "../platform/config/diff.ts";
import type { LoadedConfig } from "../platform/config/load.ts";
import type { RootLog } from "../platform/log.ts";
import type { ServerTls } from "../platform/tls-server.ts";
import type { HooksHandle } from "./hooks.ts";
import type { Settings } from "./settings.ts";
import type { Turns } from "./turns.ts";

export interface ReloadParts {
  readonly settings: Settings;
  readonly log: RootLog;
  readonly hooks: HooksHandle;
  readonly tls: ServerTls;
  /** Shared with all that changes the hooks. */
  readonly turns: Turns;
  /** Bring the rows of configured domains up to date. */
  readonly syncDomains: () => Promise<void>;
}

/** Keys whose change means other plugins or hooks. */
const HOOK_KEYS = /^(?:hooks|plugin|plugins)(?:[.[]|$)/u;
const DOMAIN_KEYS = /^(?:domains|defaults)(?:[.[]|$)/u;

/**
 * @returns a function that applies a configuration. One at a time: a second call waits for the first.
 *          When a step fails the configuration before is in effect again.
 */
export function reloader(parts: ReloadParts): (next: LoadedConfig, dryRun: boolean) => Promise<ReloadResult> {
  return (next, dryRun) => parts.turns(() => apply(parts, next, dryRun));
}

async function apply(parts: ReloadParts, next: LoadedConfig, dryRun: boolean): Promise<ReloadResult> {
  const { settings, log } = parts;
  const before = settings.loaded;
  const { live } = diffConfig(before.config, next.config);
  // What still waits for a restart is told again each time: compared with what the service was started with.
  const { restart } = diffConfig(settings.startup, next.config);
  const result = { applied: live, needRestart: restart };
  try {
    // Whatever can be refused is found out first, and leaves everything as it was. Certificates are read anew at each reload.
    const useCertificate = await parts.tls.prepare(next.config.tls);
    const hooks = live.some(key => HOOK_KEYS.test(key))
      ? await parts.hooks.prepare({ config: next.config })
      : undefined;
    if (dryRun) {
      await hooks?.abort();
      return result;
    }
    settings.replace(next);
    try {
      if (live.some(key => DOMAIN_KEYS.test(key))) await parts.syncDomains();
    } catch (error) {
      settings.replace(before);
      await hooks?.abort();
      throw error;
    }
    await hooks?.commit();
    useCertificate();
  } catch (error) {
    log.error("configuration not reloaded", { reason: messageOf(error) });
    throw error;
  }
  log.configure(next.config.log);
  log.info("configuration reloaded", { applied: live.join(" "), need_restart: restart.join(" ") });
  return result;
}
