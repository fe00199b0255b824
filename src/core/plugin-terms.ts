/**
 * What an administrator agrees to when a plugin is approved: rights, points, limits, and whom it is from. One value for what a
 * manifest asks for and for what was approved, so that an update can be compared with it.
 */
import type { PermissionsInput } from "../wire/permissions.ts";
import type { HookPoint } from "./ports/hooks.ts";

export type NetworkMode = "none" | "local-only" | "outbound-limited" | "unlimited";

export interface PluginTerms {
  /** Asked for, or granted. */
  readonly permissions: PermissionsInput;
  readonly points: readonly HookPoint[];
  /** By point: what failures of its hooks mean when nobody says otherwise. */
  readonly policies: Readonly<
    Partial<Record<HookPoint, { readonly onTimeout: string; readonly onError: string }>>
  >;
  /** `allow`: `host:port`, of `local-only` and `outbound-limited`. */
  readonly network: { readonly mode: NetworkMode; readonly allow: readonly string[] };
  /** Defaults filled in. */
  readonly limits: {
    readonly cpuMs: number;
    readonly memoryMb: number;
    readonly wallTimeMs: number | undefined;
  };
  /** `reject_per_hour` …; absent: without a cap. */
  readonly caps: Readonly<Record<string, number>>;
  readonly protocol: string;
  /** Host and port of a plugin that is called by HTTP; undefined: it runs here. */
  readonly remote: string | undefined;
  /** Fingerprint of the developer's key that signed the package; undefined: nobody did, or it is a folder. */
  readonly signer: string | undefined;
}

/** Limits of a plugin whose manifest sets none. */
export const DEFAULT_CPU_MS = 5000;
export const DEFAULT_MEMORY_MB = 256;
