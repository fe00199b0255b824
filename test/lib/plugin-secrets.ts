/** Secrets of plugins for tests that have no database: one, the same for all. */
import type { PluginSecrets } from "../../src/core/ports/plugin-secrets.ts";

export const TEST_SECRET: Uint8Array = Buffer.alloc(32, 7);

export const fixedSecrets: PluginSecrets = {
  ensure: async () => undefined,
  current: () => ({ signing: [TEST_SECRET], staged: undefined }),
  activate: async () => undefined,
  rotate: () => Promise.reject(new Error("no rotation here")),
};
