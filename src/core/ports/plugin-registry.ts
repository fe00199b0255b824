/**
 * What was decided about each plugin, kept in the database: which version runs, whether it may, with what rights. Plugins that a
 * configuration file grants rights to need no record; what a file says goes before it.
 */
import type { PluginTerms } from "../plugin-terms.ts";
import type { HookRowChange } from "./hook-admin.ts";

export type PluginLifeState =
  /** It is here, and was not enabled yet. */
  | "installed"
  | "enabled"
  /** Somebody switched it off: its hooks do not exist meanwhile. */
  | "disabled"
  /** The crash rule ended it: its hooks stay, and follow `on_error`, until somebody enables it again. */
  | "failed"
  /** Its files are gone; what is kept is kept for the next install. */
  | "uninstalled";

export interface PluginApproval {
  /** What was granted, and what was agreed to beside. */
  readonly terms: PluginTerms;
  readonly version: string;
  /** SHA-256, hex: of the package, or of `plugin.toml` of a folder. */
  readonly digest: string;
  readonly by: string;
  readonly at: Date;
}

export interface PluginRecord {
  readonly id: string;
  readonly state: PluginLifeState;
  /** Why it is in this state. */
  readonly reason: string | undefined;
  /** The installed version that runs; undefined: it is a folder's. */
  readonly version: string | undefined;
  /** For `rollback`, newest first; at most {@link MAX_PREVIOUS_VERSIONS}. */
  readonly previous: readonly string[];
  /** Installed beside the one that runs, and waits for somebody's consent. */
  readonly pending: string | undefined;
  /** The highest version ever installed: a lower one needs somebody's word. */
  readonly highestVersion: string | undefined;
  /** Fingerprint of the developer key of its first signed package. */
  readonly developerKey: string | undefined;
  readonly approval: PluginApproval | undefined;
  /** Rises with every change. */
  readonly rowVersion: number;
  readonly updatedAt: Date;
}

export const MAX_PREVIOUS_VERSIONS = 2;

/** A package as it came. */
export interface StoredPackage {
  readonly version: string;
  readonly bytes: Uint8Array;
}

/** `store/plugin-registry.ts`. */
export interface PluginRegistry {
  /** By id. @throws {MairustError} `store_unavailable` */
  list(): Promise<readonly PluginRecord[]>;
  find(id: string): Promise<PluginRecord | undefined>;
  /**
   * In one commit: the record, the package that came with it, the end of the packages that it no longer names, and its hooks by
   * command. Other nodes are told.
   * @param rowVersion  that it has now; undefined: it is new
   * @throws {StaleVersion}, {MairustError} `already_exists`, `store_unavailable`: nothing of it is done then
   */
  put(
    record: Omit<PluginRecord, "rowVersion" | "updatedAt">,
    rowVersion: number | undefined,
    added?: StoredPackage,
    rows?: readonly HookRowChange[],
  ): Promise<PluginRecord>;
  /** In one commit: the record, its packages, settings, the secrets that its calls were signed with, and its hooks by command. @throws as {@link put} */
  purge(id: string, rows?: readonly HookRowChange[]): Promise<void>;
  /** So that every node can unpack it. */
  package(id: string, version: string): Promise<Uint8Array | undefined>;
}
