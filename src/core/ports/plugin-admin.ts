/** The plugins of this process as the API sees them. */
import type { NewSecret } from "./plugin-secrets.ts";

export interface PluginView {
  readonly id: string;
  readonly name: string;
  /** "" when its manifest was not found. */
  readonly version: string;
  readonly state: "disabled" | "refused" | "enabled";
  /** Why it is not enabled, or not called. */
  readonly reason: string | undefined;
  /** Where payloads go; undefined unless it is enabled. */
  readonly destination: string | undefined;
}

/** Some lines of a plugin's log: its own words. */
export interface PluginLogPart {
  readonly lines: readonly string[];
  /** Where to go on, in octets. */
  readonly end: number;
}

export interface PluginAdmin {
  /** By id. */
  list(): readonly PluginView[];
  /**
   * @param graceS  how long the old secret signs beside the new one
   * @throws {MairustError} `not_found`; `invalid_state`: it is not called by HTTP or not enabled, or the secret before is in its grace
   */
  rotateSecret(id: string, graceS: number): Promise<NewSecret>;
  /** @param after  where the last reading ended; undefined: the last lines. @throws {MairustError} `not_found` */
  log(
    id: string,
    which: { readonly lines: number; readonly after: number | undefined },
  ): Promise<PluginLogPart>;
}
