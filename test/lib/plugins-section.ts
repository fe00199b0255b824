/** `[plugins]` of a configuration for tests that load plugins without one: these folders, nothing let through. */
import type { Config } from "../../src/wire/config/schema.ts";

export function pluginsSection(change: Partial<Config["plugins"]>): Config["plugins"] {
  return {
    dir: "/nonexistent",
    folders: [],
    enabled: true,
    allow: [],
    deny: [],
    allow_unsigned: [],
    allow_unsandboxed: [],
    require_limits: [],
    auto_approve: "none",
    user: "mairust-plugin",
    uid_range: [61_000, 61_999],
    health_interval_s: 30,
    ...change,
  };
}
