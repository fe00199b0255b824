/**
 * What becomes of a plugin's record with each step of its life, or why the step is refused. Pure: states and what is allowed in each.
 *
 *     (none) ──install──► installed ──enable──► enabled ──disable──► disabled ──enable──► enabled
 *     enabled ──three crashes──► failed ──enable──► enabled
 *     installed, enabled, disabled, failed ──upgrade, rollback──► the same state, another version (or that one waits for consent)
 *     any ──uninstall──► uninstalled ──install──► installed
 */
import { MairustError, PluginDependencyError } from "../core/errors.ts";
import { grantedTerms, type PluginTerms, type Widening } from "../core/plugin-terms.ts";
import {
  MAX_PREVIOUS_VERSIONS,
  type PluginApproval,
  type PluginRecord,
} from "../core/ports/plugin-registry.ts";
import type { Manifest } from "../wire/manifest.ts";
import type { PermissionsInput } from "../wire/permissions.ts";
import { compareVersions, parseDependency, satisfies } from "./semver.ts";
import { newlyAsked } from "./terms.ts";

export type NewRecord = Omit<PluginRecord, "rowVersion" | "updatedAt">;

/** A version that is to be approved or to run. */
export interface Candidate {
  readonly version: string;
  readonly digest: string;
  readonly asked: PluginTerms;
}

const EMPTY = {
  reason: undefined,
  version: undefined,
  previous: [],
  pending: undefined,
  highestVersion: undefined,
  developerKey: undefined,
  approval: undefined,
} as const;

/** A record of a plugin that has none. */
export function newRecord(id: string, state: PluginRecord["state"]): NewRecord {
  return { id, state, ...EMPTY };
}

/** @param version  undefined: a folder's */
export function installed(
  id: string,
  before: PluginRecord | undefined,
  candidate: Candidate | undefined,
): NewRecord {
  if (before !== undefined && before.state !== "uninstalled") {
    const what = before.version === undefined ? "as a folder" : `in version ${before.version}`;
    const text = `plugin "${id}" is installed already ${what}; mairust plugin upgrade takes another version`;
    throw new MairustError("already_exists", `Cannot install: ${text}`, { publicText: text });
  }
  const { highestVersion, developerKey } = before ?? EMPTY;
  const version = candidate?.version;
  return {
    ...newRecord(id, "installed"),
    version,
    highestVersion: higher(highestVersion, version),
    developerKey: developerKey ?? candidate?.asked.signer,
  };
}

/** Another version beside the one that runs. */
export interface Upgrade {
  readonly record: NewRecord;
  /** Not empty: it waits, and the one that runs goes on as it was. */
  readonly waitsFor: readonly Widening[];
}

/** @param current  what the version before asks for; undefined: nobody can say, so that all of it is new */
export function upgraded(
  before: PluginRecord,
  candidate: Candidate,
  current: PluginTerms | undefined,
  grantedByFile: boolean,
): Upgrade {
  const highestVersion = higher(before.highestVersion, candidate.version);
  const waitsFor = consentNeeded(before, candidate.asked, current, grantedByFile);
  // Nobody agreed to anything yet, so there is nothing to go on with.
  const isFree = before.state === "installed" && before.approval === undefined;
  if (waitsFor.length > 0 && !isFree)
    return { record: { ...before, pending: candidate.version, highestVersion }, waitsFor };
  return { record: { ...switched(before, candidate.version), highestVersion }, waitsFor: [] };
}

function consentNeeded(
  before: PluginRecord,
  asked: PluginTerms,
  current: PluginTerms | undefined,
  grantedByFile: boolean,
): readonly Widening[] {
  const agreed = before.approval?.terms ?? current;
  if (agreed === undefined) return [{ kind: "permission", name: "", approved: undefined, asked: undefined }];
  const pinned = { ...agreed, signer: agreed.signer ?? before.developerKey };
  // What a file grants is granted, whatever a version asks for.
  if (grantedByFile) return newlyAsked({ ...asked, permissions: {} }, undefined, pinned);
  return newlyAsked(asked, current, pinned);
}

/** @throws {MairustError} `invalid_state` */
export function rollbackTarget({ id, previous, version }: PluginRecord): string {
  const [target] = previous;
  if (target === undefined)
    throw refusedState("roll back", id, `there is no version before ${version ?? "its folder"}`);
  return target;
}

/** The other version takes the place of the one that runs. */
export function switched(before: PluginRecord, version: string): NewRecord {
  const olds = [before.version, ...before.previous].flatMap(one =>
    one === undefined || one === version ? [] : [one],
  );
  return { ...before, version, pending: undefined, previous: olds.slice(0, MAX_PREVIOUS_VERSIONS) };
}

/** The version goes, and the one that ran before it is back. */
export function rolledBack(before: PluginRecord, version: string): NewRecord {
  const previous = before.previous.filter(one => one !== version);
  return { ...before, version, pending: undefined, previous };
}

/** @throws {PluginError} rights beyond what it asks for, or that do not hold together */
export function approvalOf(
  { version, digest, asked }: Candidate,
  permissions: PermissionsInput | undefined,
  by: string,
  at: Date,
): PluginApproval {
  const terms = permissions === undefined ? asked : grantedTerms(asked, permissions);
  return { terms, version, digest, by, at };
}

/** May be agreed to without a person: reads header fields and nothing else, runs here, reaches nobody. */
export function isHarmless({ permissions, network, remote, policies }: PluginTerms): boolean {
  const { read_headers: _headers, ...rest } = permissions;
  const asksMore = Object.values(rest).some(
    value =>
      value === true ||
      (typeof value === "string" && value !== "none") ||
      (Array.isArray(value) && value.length > 0),
  );
  const softens = Object.values(policies).some(
    one => one?.onError !== "tempfail" || one.onTimeout !== "tempfail",
  );
  return !asksMore && !softens && network.mode === "none" && remote === undefined;
}

/**
 * @param there  versions of the plugins that count, by id
 * @throws {PluginDependencyError} with everything that is missing
 */
export function checkDependencies(
  { id, depends = [] }: Manifest,
  there: ReadonlyMap<string, string>,
  what: "installed" | "enabled",
): void {
  const problems = depends.flatMap(text => {
    const dependency = parseDependency(text);
    const version = there.get(dependency.id);
    if (version === undefined) return [`it depends on "${dependency.id}", which is not ${what}`];
    return satisfies(version, dependency) ? [] : [`it depends on "${text}", found version ${version}`];
  });
  if (problems.length > 0) throw dependencyError(id, problems.join("; "));
}

export function dependencyError(id: string, why: string): PluginDependencyError {
  const text = `plugin "${id}": ${why}`;
  return new PluginDependencyError("plugin_dependency", `Cannot change ${text}`, {
    publicText: text,
    context: { why, plugin: id },
  });
}

/** @returns who cannot do without the plugin, those first that nobody else needs */
export function dependants(
  id: string,
  manifests: ReadonlyMap<string, Pick<Manifest, "depends">>,
): readonly string[] {
  const seen = new Set([id]);
  const order: string[] = [];
  const visit = (needed: string) => {
    for (const [other, { depends = [] }] of manifests) {
      if (seen.has(other) || !depends.some(text => parseDependency(text).id === needed)) continue;
      seen.add(other);
      visit(other);
      // After all that need it.
      order.push(other);
    }
  };
  visit(id);
  return order;
}

export function refusedState(action: string, id: string, publicText: string): MairustError {
  return new MairustError("invalid_state", `Cannot ${action} plugin "${id}": ${publicText}`, { publicText });
}

function higher(a: string | undefined, b: string | undefined): string | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return compareVersions(a, b) >= 0 ? a : b;
}

/** What somebody does next with a plugin that was just installed. */
export function nextStep({ id, approval }: NewRecord): string {
  return approval === undefined
    ? `nothing of it runs: mairust plugin review ${id}, then approve and enable`
    : `approved by plugins.auto_approve or before: mairust plugin enable ${id}`;
}
