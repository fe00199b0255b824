/** Rules of `plugin.toml` that go beyond the shape of single keys. */
import { patternProblem } from "../core/hook-filter.ts";
import { grantsOf, missingPrerequisites } from "../core/permissions-grants.ts";
import { HOOK_POINTS, MAX_SYNC_TIMEOUT_MS } from "../wire/config/hooks.ts";
import type { Manifest, ManifestHookKeys } from "../wire/manifest.ts";
import { scheduleProblem } from "./cron.ts";
import { ENDPOINT_FORM, parseEndpoint, UNIX_FORM } from "./endpoint.ts";
import { limitFindings } from "./manifest-limits.ts";
import { type Finding, shown } from "./problem.ts";
import { compareVersions, isAtMost, parseDependency } from "./semver.ts";
import { declarationFindings } from "./settings.ts";
import { urlDefaultFindings } from "./url-defaults.ts";

/** @param manifest  of the right shape */
export function manifestFindings(manifest: Manifest): readonly Finding[] {
  return [
    ...urlDefaultFindings(manifest),
    ...identityFindings(manifest),
    ...entryFindings(manifest),
    ...hookFindings(manifest),
    ...missingPrerequisites(grantsOf(manifest.permissions)).map(({ permission, code, text }) => ({
      path: ["permissions", permission],
      found: shown(manifest.permissions?.[permission]),
      allowed: text,
      code,
    })),
    ...limitFindings(manifest),
    ...declarationFindings(manifest),
    ...apiFindings(manifest),
    ...jobFindings(manifest),
  ];
}

function identityFindings({ id, compat, depends = [] }: Manifest): readonly Finding[] {
  const findings: Finding[] = [];
  const needed = depends.map(text => parseDependency(text).id);
  for (const [i, other] of needed.entries()) {
    const path = ["depends", i];
    if (other === id) findings.push({ path, found: shown(other), allowed: "another plugin than itself" });
    else if (needed.indexOf(other) < i)
      findings.push({ path, found: `${shown(other)} again`, allowed: "each plugin once" });
  }
  if (id.startsWith("mairust."))
    findings.push({
      path: ["id"],
      found: shown(id),
      allowed: "a name that is not under mairust., which is reserved",
    });
  const { mairust_min: min, mairust_max: max } = compat ?? {};
  if (min !== undefined && max !== undefined && !isAtMost(min, max)) {
    findings.push({
      path: ["compat", "mairust_max"],
      found: shown(max),
      allowed: `not below mairust_min ${min}`,
    });
  }
  return findings;
}

/** Is this host one that the plugin says it runs on? */
export function compatFinding(
  { compat }: Manifest,
  hostVersion: string,
  apis: readonly string[],
): Finding | undefined {
  const { mairust_min: min, mairust_max: max, api } = compat ?? {};
  if (min !== undefined && compareVersions(hostVersion, min) < 0) {
    return {
      path: ["compat", "mairust_min"],
      found: min,
      allowed: `at most ${hostVersion}, which is this version`,
    };
  }
  if (max !== undefined && !isAtMost(hostVersion, max)) {
    return {
      path: ["compat", "mairust_max"],
      found: max,
      allowed: `at least ${hostVersion}, which is this version`,
    };
  }
  if (api === undefined || apis.includes(api)) return undefined;
  return { path: ["compat", "api"], found: api, allowed: apis.join(", ") };
}

function entryFindings({ entry, ui }: Manifest): readonly Finding[] {
  const findings: Finding[] = [];
  const need = (key: keyof Manifest["entry"], ok: boolean, allowed: string) => {
    if (!ok) findings.push({ path: ["entry", key], found: shown(entry[key]), allowed });
  };
  const { protocol } = entry;
  if (entry.type === "ui") {
    if (ui === undefined)
      findings.push({
        path: ["ui", "bundle"],
        found: "nothing",
        allowed: "an .html or .js file for type ui",
      });
  } else need("protocol", protocol !== undefined, "how the plugin is called, for type hook and service");
  const endpoint = entry.endpoint ?? "";
  const target = parseEndpoint(endpoint);
  if (protocol === "http" || protocol === "mta-hooks")
    need(
      "endpoint",
      target !== undefined && target.socketPath === undefined,
      `${ENDPOINT_FORM} for protocol ${protocol}`,
    );
  if (protocol === "unix")
    need("endpoint", target?.socketPath !== undefined, `${UNIX_FORM} for protocol unix`);
  if (protocol === "grpc") need("endpoint", endpoint !== "", "where the server listens for protocol grpc");
  need(
    "endpoint",
    endpoint === "" || ["http", "unix", "grpc", "mta-hooks"].includes(protocol ?? ""),
    "only with protocol http, unix, grpc or mta-hooks",
  );
  if (protocol === "script")
    need("command", entry.command !== undefined, 'a list such as ["python3", "main.py"] for protocol script');
  else if (protocol !== "container")
    need("command", entry.command === undefined, "only with protocol script");
  if (protocol === "wasm") need("module", entry.module !== undefined, "a .wasm file for protocol wasm");
  else need("module", entry.module === undefined, "only with protocol wasm");
  need("mode", entry.mode === undefined || protocol === "script", "only with protocol script");
  need(
    "workers",
    entry.workers === undefined || protocol === "script" || protocol === "wasm",
    "only with protocol script or wasm",
  );
  need(
    "health_cmd",
    entry.health_cmd === undefined || entry.health_endpoint === undefined,
    "either health_endpoint or health_cmd",
  );
  need(
    "health_endpoint",
    entry.health_endpoint === undefined || parseEndpoint(entry.health_endpoint) !== undefined,
    `${ENDPOINT_FORM}, or ${UNIX_FORM}`,
  );
  return findings;
}

/** What is called on behalf of a user is called as hooks are. */
function apiFindings({ api }: Manifest): readonly Finding[] {
  if (api === undefined || parseEndpoint(api.endpoint) !== undefined) return [];
  return [
    { path: ["api", "endpoint"], found: shown(api.endpoint), allowed: `${ENDPOINT_FORM}, or ${UNIX_FORM}` },
  ];
}

function jobFindings({ jobs = {} }: Manifest): readonly Finding[] {
  return Object.entries(jobs).flatMap(([name, { schedule }]) => {
    const allowed = schedule === undefined ? undefined : scheduleProblem(schedule);
    return allowed === undefined
      ? []
      : [{ path: ["jobs", name, "schedule"], found: shown(schedule), allowed }];
  });
}

function hookFindings({ entry, hooks }: Manifest): readonly Finding[] {
  if (hooks !== undefined && entry.type === "ui")
    return [{ path: ["hooks"], found: "a table", allowed: "only with type hook or service" }];
  if (hooks === undefined) {
    return entry.type === "hook"
      ? [{ path: ["hooks", "on"], found: "nothing", allowed: "the hook points of a plugin of type hook" }]
      : [];
  }
  const findings = patternFindings(hooks, ["hooks"]);
  for (const [i, point] of hooks.on.entries())
    if (hooks.on.indexOf(point) < i)
      findings.push({ path: ["hooks", "on", i], found: `${shown(point)} again`, allowed: "each point once" });
  for (const point of HOOK_POINTS) {
    const own = hooks[point];
    const on = hooks.on.includes(point);
    if (own !== undefined && !on)
      findings.push({ path: ["hooks", point], found: "a table", allowed: `"${point}" in hooks.on first` });
    if (own !== undefined) findings.push(...patternFindings(own, ["hooks", point]));
    const timeout = own?.timeout_ms ?? hooks.timeout_ms;
    if (!on || point === "post_receive" || timeout === undefined || timeout <= MAX_SYNC_TIMEOUT_MS) continue;
    const path = own?.timeout_ms === undefined ? ["hooks", "timeout_ms"] : ["hooks", point, "timeout_ms"];
    findings.push({
      path,
      found: shown(timeout),
      allowed: `at most ${MAX_SYNC_TIMEOUT_MS} at ${point}, which mail waits for`,
    });
  }
  return findings;
}

function patternFindings(keys: ManifestHookKeys, path: readonly string[]): Finding[] {
  const findings: Finding[] = [];
  for (const name of ["filter_recipient_matches", "filter_sender_matches"] as const) {
    const pattern = keys[name];
    if (pattern === undefined) continue;
    const problem = patternProblem(pattern);
    if (problem !== undefined) {
      findings.push({ path: [...path, name], found: shown(pattern), allowed: `an RE2 pattern (${problem})` });
    }
  }
  return findings;
}
