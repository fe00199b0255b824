/** Hooks that a plugin's manifest asks for, as rows like those of the configuration: always in mode shadow. */
import type { HookPoint } from "../core/ports/hooks.ts";
import { DEMOTE_DEFAULTS } from "../wire/config/hooks.ts";
import type { HookConfig } from "../wire/config/schema.ts";
import type { Manifest } from "../wire/manifest.ts";

const DEFAULTS = { priority: 100, timeout_ms: 2000, policy: "tempfail", late_timeout_ms: 60_000 } as const;
/** Longest hook name. */
const MAX_NAME = 64;

export function rowsOfManifest({ id, hooks }: Manifest): readonly HookConfig[] {
  return (hooks?.on ?? []).map(point => {
    const keys = { ...hooks, ...hooks?.[point] };
    return {
      // One point: the plugin's own name says enough. From the right, because that is where ids differ.
      name: (hooks?.on.length === 1 ? id : `${id}.${point}`).slice(-MAX_NAME).replace(/^[^a-z0-9]+/, ""),
      point,
      plugin: id,
      priority: keys.priority ?? DEFAULTS.priority,
      mode: "shadow",
      canary_percent: 10,
      canary_for: [],
      demote: DEMOTE_DEFAULTS,
      timeout_ms: keys.timeout_ms ?? DEFAULTS.timeout_ms,
      on_timeout: keys.on_timeout ?? DEFAULTS.policy,
      on_error: keys.on_error ?? DEFAULTS.policy,
      late: keys.late ?? "drop",
      late_timeout_ms: keys.late_timeout_ms ?? DEFAULTS.late_timeout_ms,
      per_recipient: keys.per_recipient ?? true,
      parallel: keys.parallel ?? false,
      enabled: true,
      filter: {
        recipient: keys.filter_recipient_matches ?? "",
        sender: keys.filter_sender_matches ?? "",
        domain: "",
        size_min_bytes: 0,
        size_max_bytes: 0,
        header: {},
        sample_percent: 100,
      },
    };
  });
}

export function violationPolicy({ hooks }: Manifest, point: HookPoint): "drop" | "error" {
  return hooks?.[point]?.on_violation ?? hooks?.on_violation ?? "drop";
}
