/** Hooks of the configuration that nobody answers, because their plugin is switched off or refused: said by name, never silent. */
import type { Log } from "../core/ports/log.ts";
import type { Config, HookConfig } from "../wire/config/schema.ts";

export interface IdleHook {
  readonly hook: string;
  readonly plugin: string;
  readonly mode: HookConfig["mode"];
  /**
   * `off`: the hook does not exist while its plugin is switched off. `all_off`: the same, for all plugins at once, which is
   * somebody's will. `refused`: the plugin may not or cannot run, so that each call fails.
   */
  readonly kind: "off" | "all_off" | "refused";
  readonly reason: string;
  /** What happens to mail at this hook. */
  readonly mail: string;
}

/**
 * @param refused  why, by plugin id
 * @param offOf    why a plugin is switched off; undefined: it is not
 */
export function findIdleHooks(
  config: Pick<Config, "plugins" | "hooks">,
  refused: ReadonlyMap<string, string>,
  offOf: (plugin: string) => string | undefined,
): readonly IdleHook[] {
  return config.hooks
    .filter(row => row.enabled)
    .flatMap((row): readonly IdleHook[] => {
      const named = { hook: row.name, plugin: row.plugin, mode: row.mode };
      const off = offOf(row.plugin);
      if (off !== undefined) {
        const kind = config.plugins.enabled === false ? "all_off" : "off";
        return [{ ...named, kind, reason: off, mail: "passes without this hook" }];
      }
      const reason = refused.get(row.plugin);
      return reason === undefined ? [] : [{ ...named, kind: "refused", reason, mail: mailOf(row) }];
    });
}

function mailOf({ mode, on_error }: HookConfig): string {
  if (mode === "shadow") return "is not changed: the hook is in shadow";
  if (on_error === "allow") return 'passes unchecked: on_error is "allow"';
  if (on_error === "reject") return 'is rejected: on_error is "reject"';
  if (on_error === "hold") return 'is held: on_error is "hold"';
  return `is deferred: on_error is "${on_error}"`;
}

/** One line per hook; one for all when all plugins are switched off. Nothing is lost with a shadow hook that is off. */
export function logIdleHooks(idle: readonly IdleHook[], log: Log): void {
  const allOff = idle.filter(({ kind }) => kind === "all_off");
  if (allOff.length > 0) {
    log.info("hooks_off", { hooks: namesOf(allOff), reason: allOff[0]?.reason });
  }
  for (const { hook, plugin, mode, kind, reason, mail } of idle) {
    const fields = { hook, plugin, mode, reason, mail };
    if (kind === "refused") log.error("hook_refused", fields);
    else if (kind === "off" && mode !== "shadow") log.warn("hook_off", fields);
  }
}

/** What the health of the plugins says of them. Those of refused plugins show as their plugin. */
export function healthOfIdle(idle: readonly IdleHook[]): {
  readonly troubles: readonly string[];
  readonly note: string | undefined;
} {
  const allOff = idle.filter(({ kind }) => kind === "all_off");
  return {
    troubles: idle
      .filter(({ kind, mode }) => kind === "off" && mode !== "shadow")
      .map(({ hook, plugin, reason }) => `hook ${hook} is off: ${plugin}: ${reason}`),
    note: allOff.length === 0 ? undefined : `hooks off: ${namesOf(allOff)}`,
  };
}

function namesOf(idle: readonly IdleHook[]): string {
  return idle.map(({ hook }) => hook).join(", ");
}
