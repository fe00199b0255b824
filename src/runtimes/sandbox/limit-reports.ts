/** What holds one plugin, in the words of the report: what the probe found of its tier, as far as it goes for this plugin. */
import type {
  Confinement,
  Enforcement,
  LimitName,
  LimitReport,
  SandboxTier,
} from "../../core/ports/sandbox.ts";
import { LIMIT_NAMES } from "../../core/ports/sandbox.ts";
import type { CgroupAbilities } from "./cgroups.ts";
import type { Finding, Findings } from "./probe.ts";

export interface HeldBy {
  readonly tier: Exclude<SandboxTier, 0>;
  readonly findings: Findings;
  readonly cgroups: CgroupAbilities | undefined;
  readonly ownUid: boolean;
}

/** @returns one report for each limit, in the order of {@link LIMIT_NAMES} */
export function reportsOf(
  { tier, findings, cgroups, ownUid }: HeldBy,
  confinement: Confinement,
): readonly LimitReport[] {
  const spaces = tier >= 2;
  const group = (has: boolean | undefined) =>
    has === true && cgroups !== undefined ? `cgroup_v${cgroups.version}` : undefined;
  const files = [spaces ? "mount_namespace" : "landlock", ownUid ? "uid" : undefined, "seccomp"];
  const reports: Readonly<Record<LimitName, LimitReport>> = {
    cpu: report(
      "cpu",
      ["poll", group(cgroups?.cpu), "rlimit_cpu"],
      cpuOf(findings.cpu, cgroups),
      findings.cpu,
    ),
    memory: report(
      "memory",
      ["rlimit_data", group(cgroups?.memory) ?? "rss_poll"],
      memoryOf(findings, cgroups?.memory === true),
      findings.memory,
    ),
    wall_time: report("wall_time", ["kill"], enforced(findings.wall_time), findings.wall_time),
    processes: report(
      "processes",
      [spaces ? "rlimit_nproc_in_namespace" : "rlimit_nproc", group(cgroups?.processes)],
      // Without a namespace the limit counts all that its user runs.
      capped(findings.processes, spaces || ownUid || cgroups?.processes === true),
      findings.processes,
    ),
    files: report("files", files, enforced(findings.files), findings.files),
    disk: diskReport(spaces, findings.disk, confinement, cgroups?.memory === true),
    network: networkReport(spaces, findings.network, confinement),
    secrets: report(
      "secrets",
      ["close_range", "clean_environment"],
      enforced(findings.secrets),
      findings.secrets,
    ),
    process_tree: report(
      "process_tree",
      [spaces ? "pid_namespace" : "subreaper"],
      enforced(findings.process_tree),
      findings.process_tree,
    ),
  };
  return LIMIT_NAMES.map(name => reports[name]);
}

/** Of a plugin that `plugins.allow_unsandboxed` names. @param user  the user that it runs as, where that is not the service's */
export function bareReports(hasPrlimit: boolean, user: string | undefined): readonly LimitReport[] {
  const untried = "not tried: plugins.allow_unsandboxed names it";
  const by = (limit: LimitName, mechanism: string, enforcement: Enforcement): LimitReport => ({
    limit,
    mechanism,
    enforcement,
    evidence: untried,
  });
  const rlimit = (limit: LimitName, name: string) =>
    hasPrlimit ? by(limit, name, "best_effort") : by(limit, "", "not_enforced");
  return [
    by("cpu", "poll+rlimit_cpu", "best_effort"),
    by("memory", hasPrlimit ? "rlimit_data+rss_poll" : "rss_poll", "best_effort"),
    by("wall_time", "kill", "enforced"),
    rlimit("processes", "rlimit_nproc"),
    user === undefined ? by("files", "", "not_enforced") : by("files", "uid", "best_effort"),
    rlimit("disk", "rlimit_fsize"),
    by("network", "", "not_enforced"),
    by("secrets", "clean_environment", "best_effort"),
    by("process_tree", "process_group", "best_effort"),
  ];
}

/** Without an account of the tree, who ends before anybody looked has used nothing. */
function cpuOf(finding: Finding, cgroups: CgroupAbilities | undefined): Enforcement {
  return capped(finding, cgroups?.cpu === true);
}

function memoryOf({ memory }: Findings, byKernel: boolean): Enforcement {
  if (!memory.holds) return memory.tree ? "best_effort" : "not_enforced";
  return memory.tree && byKernel ? "enforced" : "best_effort";
}

/**
 * One size for everything where `/work` is a file system of its own; else what one file may hold. Of files without content only the
 * kernel's account of memory knows.
 */
function diskReport(
  spaces: boolean,
  finding: Finding,
  { persistentDir }: Confinement,
  countsMemory: boolean,
): LimitReport {
  const isBounded = spaces && countsMemory && persistentDir === undefined;
  const mechanism = [spaces ? "sized_tmpfs" : undefined, "rlimit_fsize"];
  const evidence =
    persistentDir === undefined
      ? finding.evidence
      : `${finding.evidence}; of what it keeps only the size at its start`;
  return report("disk", mechanism, capped(finding, isBounded), { ...finding, evidence });
}

function networkReport(spaces: boolean, finding: Finding, { network }: Confinement): LimitReport {
  const space = spaces ? "network_namespace" : undefined;
  if (network.mode === "none") return report("network", [space, "seccomp"], enforced(finding), finding);
  return report("network", [space, "proxy"], capped(finding, spaces), {
    ...finding,
    evidence: `without its proxy: ${finding.evidence}`,
  });
}

function enforced({ holds }: Finding): Enforcement {
  return holds ? "enforced" : "not_enforced";
}

function capped(finding: Finding, isWhole: boolean): Enforcement {
  if (!finding.holds) return "not_enforced";
  return isWhole ? "enforced" : "best_effort";
}

function report(
  limit: LimitName,
  mechanisms: readonly (string | undefined)[],
  enforcement: Enforcement,
  { evidence }: Finding,
): LimitReport {
  const mechanism = enforcement === "not_enforced" ? "" : mechanisms.filter(Boolean).join("+");
  return { limit, mechanism, enforcement, evidence };
}

/** @returns why a plugin may not start that needs these limits; undefined: they are all enforced */
export function missingLimits(
  required: readonly string[],
  reports: readonly LimitReport[],
): string | undefined {
  const missing = required.flatMap(name => {
    const found = reports.find(({ limit }) => limit === name);
    if (found === undefined) return [`"${name}", which is no limit (there are ${LIMIT_NAMES.join(", ")})`];
    const { enforcement, evidence } = found;
    if (enforcement === "enforced" || enforcement === "not_applicable") return [];
    return [`"${name}", which is ${enforcement.replace("_", " ")} here (${evidence})`];
  });
  return missing.length === 0 ? undefined : `plugins.require_limits asks for ${missing.join(", and ")}`;
}
