/** The configuration in effect. A reload exchanges it; what may change while running is read from here at each use. */
import type { LoadedConfig } from "../platform/config/load.ts";
import type { Config } from "../wire/config/schema.ts";

export interface Settings {
  readonly loaded: LoadedConfig;
  readonly config: Config;
  /** What the service was started with: what a reload cannot change is compared with it. */
  readonly startup: Config;
  replace(loaded: LoadedConfig): void;
}

export function createSettings(first: LoadedConfig): Settings {
  let current = first;
  return {
    startup: first.config,
    get loaded() {
      return current;
    },
    get config() {
      return current.config;
    },
    replace(loaded) {
      current = loaded;
    },
  };
}

export const BYTES_PER_MB = 1_048_576;
