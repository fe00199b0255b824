/** Where an operation on a plugin finds what it is about: installed versions, folders, samples, records, and what they ask for. */
import { MairustError, NotFound, PluginSecurityError } from "../core/errors.ts";
import type { PluginRecord } from "../core/ports/plugin-registry.ts";
import { discoverPlugins, type FoundPlugin } from "../plugins/discovery.ts";
import { type Candidate, dependants, refusedState } from "../plugins/lifecycle-plan.ts";
import type { HooksInUse } from "./hook-views.ts";
import type { ChangeParts } from "./lifecycle-change.ts";
import { type CandidateParts, candidateOf, type NewPackage } from "./plugin-candidates.ts";

export interface LookupParts extends CandidateParts, Pick<ChangeParts, "hooks" | "registry" | "installed"> {
  /** Folder of the samples of this package. */
  readonly samples?: string | undefined;
}

/** @throws {MairustError} `draining`: the plugins are not there yet, or no more */
export function inUseOf({ hooks }: Pick<ChangeParts, "hooks">): HooksInUse {
  const inUse = hooks.inUse();
  if (inUse !== undefined) return inUse;
  throw new MairustError("draining", "Cannot look at the plugins: they are not started");
}

export class PluginLookup {
  readonly #parts: LookupParts;

  constructor(parts: LookupParts) {
    this.#parts = parts;
  }

  /** What is to be approved: the version that waits, else the one that is there. */
  async reviewed(id: string, record: PluginRecord | undefined): Promise<Candidate> {
    if (record?.pending !== undefined) return this.installedCandidate(record, record.pending);
    const found = await this.foundFor(id, record);
    if (found === undefined) throw new NotFound("plugin", id);
    return candidateOf(found, this.#parts);
  }

  async current(id: string, record: PluginRecord): Promise<Candidate | undefined> {
    const found = await this.foundFor(id, record).catch(() => undefined);
    return found && candidateOf(found, this.#parts);
  }

  async installedCandidate(record: PluginRecord, version: string): Promise<Candidate> {
    return candidateOf(await this.#parts.installed.find(record, version), this.#parts);
  }

  /** As it is now, not as it was looked at last: files and revocations may be others since. @throws {PluginSecurityError} */
  async usable(record: PluginRecord, version: string): Promise<FoundPlugin> {
    const found = await this.#parts.installed.verify(record, version);
    const verification = found.installed?.verification;
    if (verification?.state !== "revoked" && verification?.state !== "modified") return found;
    const text = `plugin "${record.id}" ${version} is ${verification.state}: ${verification.detail}`;
    throw new PluginSecurityError("plugin_security", `Cannot use ${text}`, {
      publicText: text,
      context: { why: text, plugin: record.id },
    });
  }

  candidate({ package: { manifest, digest }, verification }: NewPackage): Promise<Candidate> {
    return candidateOf({ folder: "", manifest, installed: { digest, verification } }, this.#parts);
  }

  async foundFor(id: string, record: PluginRecord | undefined): Promise<FoundPlugin | undefined> {
    return record?.version === undefined
      ? this.found(id)
      : this.#parts.installed.find(record, record.version);
  }

  async found(id: string): Promise<FoundPlugin | undefined> {
    const { samples } = this.#parts;
    const known = inUseOf(this.#parts)
      .loaded.host.list()
      .find(one => one.id === id)?.found;
    if (known !== undefined || samples === undefined) return known;
    return (await discoverPlugins([samples])).plugins.get(id);
  }

  async known(id: string): Promise<PluginRecord> {
    const record = await this.#parts.registry.find(id);
    if (record === undefined) throw new NotFound("plugin", id);
    return record;
  }

  /** Where what runs under this id was loaded from. */
  running(id: string): string | undefined {
    return this.#enabled().find(one => one.id === id)?.folder;
  }

  /** Installed is not enabled: what a configuration runs from a folder would end, and its hooks would hold up mail. */
  refuseRunning(id: string, before: PluginRecord | undefined): void {
    const folder = this.running(id);
    if (folder === undefined || (before !== undefined && before.state !== "uninstalled")) return;
    const how = `mairust plugin disable ${id}, then uninstall, ends that`;
    throw refusedState("install", id, `it runs from ${folder}, as the configuration says; ${how}`);
  }

  /** Enabled ones that cannot do without the plugin, those first that nobody needs. */
  dependants(id: string): readonly string[] {
    const manifests = this.#enabled().flatMap(({ id: one, found }) =>
      found === undefined ? [] : [[one, found.manifest] as const],
    );
    return dependants(id, new Map(manifests));
  }

  #enabled() {
    const all = inUseOf(this.#parts).loaded.host.list();
    return all.filter(({ state }) => state === "enabled");
  }

  /** Versions by id. */
  versions(onlyEnabled: boolean): ReadonlyMap<string, string> {
    const all = inUseOf(this.#parts).loaded.host.list();
    const counted = all.filter(
      ({ state, version }) => version !== "" && (!onlyEnabled || state === "enabled"),
    );
    return new Map(counted.map(({ id, version }) => [id, version]));
  }
}
