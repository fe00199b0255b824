/** What a sandbox does for script plugins, and what it honestly cannot; `runtimes/sandbox/` implements it. */
import type { NetworkMode } from "../plugin-terms.ts";

/** 3: namespaces, own uid, cgroup; 2: namespaces; 1: Landlock, seccomp, rlimits; 0: rlimits. */
export type SandboxTier = 0 | 1 | 2 | 3;

export const LIMIT_NAMES = [
  "cpu",
  "memory",
  "wall_time",
  "processes",
  "files",
  "disk",
  "network",
  "secrets",
  "process_tree",
] as const;
export type LimitName = (typeof LIMIT_NAMES)[number];

export type Enforcement = "enforced" | "best_effort" | "not_enforced" | "not_applicable";

export interface LimitReport {
  readonly limit: LimitName;
  /** `rlimit_data`, `cgroup_v1`, `netns+proxy` …; "" when nothing does it. */
  readonly mechanism: string;
  readonly enforcement: Enforcement;
  /** What was tried, and what came of it. */
  readonly evidence: string;
}

/** How much of the host a script plugin may use. */
export interface Confinement {
  /** `plugins.allow_unsandboxed` names it: tier 0, whatever this host could do. */
  readonly bare: boolean;
  /** Processor time of one call. */
  readonly cpuMs: number;
  readonly memoryMb: number;
  readonly network: { readonly mode: NetworkMode; readonly allow: readonly string[] };
  /** Absolute path of a folder of the host that stays over calls and upgrades; undefined: nothing stays. */
  readonly persistentDir: string | undefined;
  /** `plugins.require_limits`: without these it does not start. */
  readonly requireLimits: readonly string[];
}
