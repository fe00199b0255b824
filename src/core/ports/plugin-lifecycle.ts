/** The life of a plugin by command: what can be done with one, and what can be seen of it. `compose/plugin-lifecycle.ts` does it. */
import type { PermissionsInput } from "../../wire/permissions.ts";
import type { Widening } from "../plugin-terms.ts";
import type { EgressTraffic } from "./egress.ts";
import type { SignatureState } from "./plugin-packages.ts";
import type { PluginRecord } from "./plugin-registry.ts";
import type { LimitReport } from "./sandbox.ts";

/** Who asks, and whether only to hear what would happen. */
export interface LifecycleOptions {
  readonly dryRun: boolean;
  /** For the audit log. */
  readonly actor: string;
}

/** One plugin, as far as it is known here. */
export interface PluginDetail {
  readonly id: string;
  readonly name: string;
  /** That runs, or would; "" when there is none. */
  readonly version: string;
  readonly origin: "package" | "folder" | "unknown";
  /** `enabled` and `refused` are what became of it here; the others stand in its record. */
  readonly state: "enabled" | "refused" | "failed" | "installed" | "disabled" | "uninstalled";
  /** Why it is not enabled, or not called. */
  readonly reason: string | undefined;
  /** Where payloads go; undefined unless it is enabled. */
  readonly destination: string | undefined;
  readonly signature: SignatureState | undefined;
  readonly signatureDetail: string | undefined;
  /** In effect. */
  readonly grants: PermissionsInput;
  /** Where the grants come from. */
  readonly grantedBy: "file" | "approval" | "nobody";
  readonly hooks: readonly { readonly name: string; readonly point: string; readonly mode: string }[];
  readonly record: PluginRecord | undefined;
  /** What the version that waits asks for beyond what was approved. */
  readonly waitsFor: readonly Widening[];
}

export interface PluginHealthReport {
  readonly id: string;
  readonly version: string;
  readonly status: "ok" | "degraded" | "error";
  readonly detail: string | undefined;
  readonly checkedAt: Date;
  /** Undefined: it is called as usual; else why it is not. */
  readonly circuit: string | undefined;
  /** Processes that ended by themselves within the last hour. */
  readonly crashes: readonly { readonly at: Date; readonly reason: string }[];
  /** What holds its processes; empty: it has none here, or nobody can say. */
  readonly limits: readonly LimitReport[];
  /** Where it connected to. */
  readonly egress: readonly EgressTraffic[];
}

/** What an operation did, or would do. */
export interface LifecycleResult {
  readonly plugin: PluginDetail;
  /** Sentences. */
  readonly done: readonly string[];
}

export interface PluginLifecycle {
  /** By id; those that were uninstalled and not purged among them. */
  list(): Promise<readonly PluginDetail[]>;
  /** @throws {NotFound} */
  get(id: string): Promise<PluginDetail>;
  /** Asked now. @throws {NotFound}, {MairustError} `invalid_state`: it has no process here */
  health(id: string): Promise<PluginHealthReport>;
  /** Look at all installed packages on this node now, as is done every hour. */
  verify(): Promise<void>;
  /**
   * A package, or a plugin of a folder. Nothing of it runs yet.
   * @throws {PluginError} with every reason against it; {MairustError} `already_exists`, `store_unavailable`, `disk_full`
   */
  install(
    source: { readonly package: Uint8Array } | { readonly folder: string },
    options: LifecycleOptions & { readonly downgrade: boolean },
  ): Promise<LifecycleResult>;
  /**
   * Agree to what it asks for. A version that waits takes the place of the one that runs.
   * @param permissions  as grants are written, less than it asks for; undefined: all of it
   * @param digest       of what was reviewed; another one is refused
   */
  approve(
    id: string,
    options: LifecycleOptions & {
      readonly permissions?: Readonly<Record<string, unknown>> | undefined;
      readonly digest?: string | undefined;
    },
  ): Promise<LifecycleResult>;
  /** @param mode  of its hooks; default: shadow for new ones */
  enable(
    id: string,
    options: LifecycleOptions & { readonly mode?: string | undefined },
  ): Promise<LifecycleResult>;
  /** @param cascade  those that need it as well */
  disable(id: string, options: LifecycleOptions & { readonly cascade: boolean }): Promise<LifecycleResult>;
  upgrade(
    bytes: Uint8Array,
    options: LifecycleOptions & { readonly downgrade: boolean },
  ): Promise<LifecycleResult>;
  /** To the version before. */
  rollback(id: string, options: LifecycleOptions): Promise<LifecycleResult>;
  /** @param purge  also its record, its hooks by command, settings, secrets, kept files and logs */
  uninstall(
    id: string,
    options: LifecycleOptions & { readonly purge: boolean; readonly cascade: boolean },
  ): Promise<LifecycleResult>;
}
