/**
 * The life of a plugin by command, on the running service. Each operation looks at the records as they are now, plans
 * (`plugins/lifecycle-plan.ts`), and makes one change (`lifecycle-change.ts`); they come one after the other, with reloads and hooks.
 */
import { MairustError, NotFound } from "../core/errors.ts";
import type { HookRowChange } from "../core/ports/hook-admin.ts";
import type {
  LifecycleOptions,
  LifecycleResult,
  PluginDetail,
  PluginLifecycle,
} from "../core/ports/plugin-lifecycle.ts";
import type { PluginRecord } from "../core/ports/plugin-registry.ts";
import { switchedOff } from "../plugins/discovery.ts";
import { grantsOfFile } from "../plugins/enable.ts";
import { versionsOf } from "../plugins/installed.ts";
import {
  approvalOf,
  type Candidate,
  checkDependencies,
  dependencyError,
  isHarmless,
  type NewRecord,
  newRecord,
  nextStep,
  installed as recordOfInstalled,
  refusedState,
  rollbackTarget,
  rolledBack,
  switched,
  upgraded,
} from "../plugins/lifecycle-plan.ts";
import { namesOf, newlyAsked } from "../plugins/terms.ts";
import { type ChangeParts, type LifecycleChange, makeChange } from "./lifecycle-change.ts";
import { hooksText, lockedGrants, rowsForNewPoints, rowsToEnable, rowsToRemove } from "./lifecycle-rows.ts";
import {
  candidateOf,
  checkPackage,
  type NewPackage,
  openPackage,
  readPermissions,
  refuseUnusable,
} from "./plugin-candidates.ts";
import { pluginDetails, purgedPlugin } from "./plugin-details.ts";
import { inUseOf, type LookupParts, PluginLookup } from "./plugin-lookup.ts";
import type { Turns } from "./turns.ts";

export interface LifecycleParts extends ChangeParts, LookupParts {
  readonly turns: Turns;
  readonly health: PluginLifecycle["health"];
  readonly verify: PluginLifecycle["verify"];
  /** Logs and kept files of a plugin that is purged. */
  readonly purge: (id: string) => Promise<void>;
}

/** What an operation wants to be changed. */
interface Wanted extends Pick<LifecycleChange, "before" | "after" | "mustRun"> {
  readonly action: string;
  readonly done: readonly string[];
  readonly rows?: readonly HookRowChange[];
  readonly added?: NewPackage;
  readonly detail?: Readonly<Record<string, unknown>>;
  readonly purge?: () => Promise<void>;
}

export function pluginLifecycle(parts: LifecycleParts): PluginLifecycle {
  const lifecycle = new Lifecycle(parts);
  const { turns } = parts;
  return {
    list: async () => pluginDetails(inUseOf(parts), parts.hooks.brokenCircuits()),
    get: id => lifecycle.get(id),
    health: id => parts.health(id),
    verify: () => parts.verify(),
    install: (source, options) => turns(() => lifecycle.install(source, options)),
    approve: (id, options) => turns(() => lifecycle.approve(id, options)),
    enable: (id, options) => turns(() => lifecycle.enable(id, options)),
    disable: (id, options) => turns(() => lifecycle.disable(id, options)),
    upgrade: (bytes, options) => turns(() => lifecycle.upgrade(bytes, options)),
    rollback: (id, options) => turns(() => lifecycle.rollback(id, options)),
    uninstall: (id, options) => turns(() => lifecycle.uninstall(id, options)),
  };
}

class Lifecycle {
  readonly #parts: LifecycleParts;
  readonly #look: PluginLookup;

  constructor(parts: LifecycleParts) {
    this.#parts = parts;
    this.#look = new PluginLookup(parts);
  }

  async get(id: string): Promise<PluginDetail> {
    const inUse = inUseOf(this.#parts);
    const detail = pluginDetails(inUse, this.#parts.hooks.brokenCircuits()).find(one => one.id === id);
    if (detail === undefined) throw new NotFound("plugin", id);
    const { record } = detail;
    if (record?.pending === undefined) return detail;
    const [asked, current] = await Promise.all([
      this.#look.installedCandidate(record, record.pending),
      this.#look.current(id, record),
    ]);
    const agreed = record.approval?.terms ?? current?.asked;
    const waitsFor = agreed === undefined ? [] : newlyAsked(asked.asked, current?.asked, agreed);
    return { ...detail, waitsFor };
  }

  async install(
    source: Parameters<PluginLifecycle["install"]>[0],
    options: LifecycleOptions & { readonly downgrade: boolean },
  ): Promise<LifecycleResult> {
    if ("folder" in source) return this.#installFolder(source.folder, options);
    const given = await openPackage(source.package);
    const { id } = given.manifest;
    const before = await this.#parts.registry.find(id);
    const added = await checkPackage(this.#parts, source.package, given, before, options.downgrade);
    const restored = await this.#restored(before, added, options);
    if (restored !== undefined) return restored;
    this.#look.refuseRunning(id, before);
    checkDependencies(given.manifest, this.#look.versions(false), "installed");
    const candidate = await this.#look.candidate(added);
    const after = this.#autoApproved(recordOfInstalled(id, before, candidate), candidate);
    const done = [`installed ${id} ${candidate.version}: ${added.verification.detail}`, nextStep(after)];
    return this.#change(
      id,
      { before, after, added, done, mustRun: false, action: "plugin.install" },
      options,
    );
  }

  async #installFolder(id: string, options: LifecycleOptions): Promise<LifecycleResult> {
    const before = await this.#parts.registry.find(id);
    const found = await this.#look.found(id);
    if (found === undefined) throw new NotFound("plugin", id);
    this.#look.refuseRunning(id, before);
    refuseUnusable(found.manifest, this.#parts.version);
    const candidate = await candidateOf(found, this.#parts);
    const after = this.#autoApproved(recordOfInstalled(id, before, undefined), candidate);
    const done = [`installed ${id} as its folder: ${found.folder}`, nextStep(after)];
    return this.#change(id, { before, after, done, mustRun: false, action: "plugin.install" }, options);
  }

  async approve(id: string, options: Parameters<PluginLifecycle["approve"]>[1]): Promise<LifecycleResult> {
    const before = await this.#parts.registry.find(id);
    if (before?.pending !== undefined) await this.#look.usable(before, before.pending);
    const candidate = await this.#look.reviewed(id, before);
    if (options.digest !== undefined && options.digest !== candidate.digest)
      throw refusedState("approve", id, "it is not what was reviewed; look at it again");
    const byFile = grantsOfFile(this.#parts.settings.config.plugin[id]);
    if (byFile !== undefined && options.permissions !== undefined) throw lockedGrants(this.#parts, id);
    const approval = approvalOf(
      candidate,
      byFile ?? readPermissions(id, options.permissions),
      options.actor,
      new Date(),
    );
    const { pending } = before ?? {};
    const base: NewRecord =
      before === undefined || before.state === "uninstalled"
        ? recordOfInstalled(id, before, undefined)
        : pending === undefined
          ? before
          : switched(before, pending);
    const after = { ...base, approval, developerKey: candidate.asked.signer ?? base.developerKey };
    const rows = pending === undefined ? [] : await rowsForNewPoints(this.#parts, before, pending);
    return this.#change(
      id,
      {
        ...{ before, after, rows, action: "plugin.approve" },
        mustRun: after.state === "enabled",
        done: [
          `approved ${id} ${candidate.version}`,
          ...(pending === undefined ? [] : [`version ${pending} takes the place of ${before?.version}`]),
          ...(after.state === "installed" ? [`nothing of it runs: mairust plugin enable ${id}`] : []),
        ],
        detail: {
          version: candidate.version,
          digest: candidate.digest,
          permissions: approval.terms.permissions,
        },
      },
      options,
    );
  }

  async enable(id: string, options: Parameters<PluginLifecycle["enable"]>[1]): Promise<LifecycleResult> {
    const { settings, registry } = this.#parts;
    const off = switchedOff(id, settings.config.plugins);
    if (off !== undefined) throw refusedState("enable", id, off);
    const before = await registry.find(id);
    const found = await this.#look.foundFor(id, before);
    if (found === undefined || before?.state === "uninstalled") throw new NotFound("plugin", id);
    const isEnabled = pluginDetails(inUseOf(this.#parts)).some(
      one => one.id === id && one.state === "enabled",
    );
    if (isEnabled && before?.state === "enabled" && options.mode === undefined)
      throw refusedState("enable", id, "it is enabled already");
    // What was revoked as vulnerable goes on where it runs, and nobody begins with it.
    if (!isEnabled && before?.version !== undefined) await this.#look.usable(before, before.version);
    const named = inUseOf(this.#parts).loaded.hooks.some(({ plugin }) => plugin === id);
    const isFolder = found.installed === undefined;
    const hasGrants =
      before?.approval !== undefined || grantsOfFile(settings.config.plugin[id]) !== undefined;
    if (!hasGrants && !(isFolder && named && before?.state === "failed"))
      throw refusedState("enable", id, `nobody approved what it asks for: mairust plugin approve ${id}`);
    checkDependencies(found.manifest, this.#look.versions(true), "enabled");
    const rows = await rowsToEnable(this.#parts, found.manifest, options.mode);
    const after: NewRecord = { ...(before ?? newRecord(id, "enabled")), state: "enabled", reason: undefined };
    const hooks = rows.map(({ name }) => name);
    const done = [`enabled ${id} ${found.manifest.version}`, ...(hooks.length > 0 ? [hooksText(rows)] : [])];
    const detail = { version: found.manifest.version, mode: options.mode ?? "shadow", hooks };
    return this.#change(
      id,
      { before, after, rows, done, detail, mustRun: true, action: "plugin.enable" },
      options,
    );
  }

  async disable(id: string, options: Parameters<PluginLifecycle["disable"]>[1]): Promise<LifecycleResult> {
    return this.#disable(id, options, await this.#cascade(id, options));
  }

  async #disable(id: string, options: LifecycleOptions, others: readonly string[]): Promise<LifecycleResult> {
    const before = await this.#parts.registry.find(id);
    if (before === undefined && (await this.#look.found(id)) === undefined) throw new NotFound("plugin", id);
    const isIdle = before?.state === "installed" && this.#look.running(id) === undefined;
    if (before?.state === "disabled" || before?.state === "uninstalled" || isIdle)
      throw refusedState("disable", id, `it is ${before.state}`);
    const after: NewRecord = {
      ...(before ?? newRecord(id, "disabled")),
      state: "disabled",
      reason: `by ${options.actor}`,
    };
    const done = [...others, `disabled ${id}: its hooks do not exist meanwhile`];
    const detail = before === undefined ? {} : { version: before.version };
    return this.#change(
      id,
      { before, after, done, detail, mustRun: false, action: "plugin.disable" },
      options,
    );
  }

  async upgrade(
    bytes: Uint8Array,
    options: LifecycleOptions & { readonly downgrade: boolean },
  ): Promise<LifecycleResult> {
    const given = await openPackage(bytes);
    const { id, version } = given.manifest;
    const before = await this.#parts.registry.find(id);
    if (before?.version === undefined || before.state === "uninstalled")
      throw refusedState("upgrade", id, "no package of it is installed; mairust plugin install does that");
    const added = await checkPackage(this.#parts, bytes, given, before, options.downgrade);
    const restored = await this.#restored(before, added, options);
    if (restored !== undefined) return restored;
    checkDependencies(given.manifest, this.#look.versions(before.state === "enabled"), "enabled");
    const current = await this.#look.current(id, before);
    const byFile = grantsOfFile(this.#parts.settings.config.plugin[id]) !== undefined;
    const candidate = await this.#look.candidate(added);
    const { record: after, waitsFor } = upgraded(before, candidate, current?.asked, byFile);
    const waits = waitsFor.length > 0;
    const done = waits
      ? [
          `version ${version} waits: it asks for more than was approved (${namesOf(waitsFor)})`,
          `version ${before.version} goes on with what it was granted; mairust plugin review ${id}, then approve`,
        ]
      : [`version ${version} takes the place of ${before.version}; mairust plugin rollback ${id} goes back`];
    const detail = { from: before.version, to: version, waits, digest: given.digest };
    const mustRun = !waits && after.state === "enabled";
    return this.#change(
      id,
      { before, after, added, done, detail, mustRun, action: "plugin.upgrade" },
      options,
    );
  }

  async rollback(id: string, options: LifecycleOptions): Promise<LifecycleResult> {
    const before = await this.#look.known(id);
    const target = rollbackTarget(before);
    await this.#look.usable(before, target);
    const [candidate, current] = [
      await this.#look.installedCandidate(before, target),
      await this.#look.current(id, before),
    ];
    const byFile = grantsOfFile(this.#parts.settings.config.plugin[id]) !== undefined;
    const { waitsFor } = upgraded(before, candidate, current?.asked, byFile);
    const isWaiting = waitsFor.length > 0 && before.state !== "installed";
    const after: NewRecord = isWaiting ? { ...before, pending: target } : rolledBack(before, target);
    const done = isWaiting
      ? [`version ${target} waits: it asks for more than was approved (${namesOf(waitsFor)})`]
      : [`version ${target} is back in the place of ${before.version}`];
    const mustRun = !isWaiting && after.state === "enabled";
    const detail = { from: before.version, to: target, waits: isWaiting };
    return this.#change(id, { before, after, done, detail, mustRun, action: "plugin.rollback" }, options);
  }

  async uninstall(
    id: string,
    options: Parameters<PluginLifecycle["uninstall"]>[1],
  ): Promise<LifecycleResult> {
    const before = await this.#look.known(id);
    if (before.state === "uninstalled" && !options.purge)
      throw refusedState("uninstall", id, "it is uninstalled; --purge takes what was kept");
    const others = await this.#cascade(id, options);
    const { highestVersion, developerKey } = before;
    const gone = { ...newRecord(id, "uninstalled"), highestVersion, developerKey };
    const rows = options.purge ? await rowsToRemove(this.#parts, id) : [];
    const what = options.purge
      ? "with its record, hooks by command, settings, secrets, kept files and logs"
      : "its settings, hooks and logs are kept";
    return this.#change(
      id,
      {
        ...{ before, rows, mustRun: false, action: "plugin.uninstall" },
        after: options.purge ? "purge" : gone,
        done: [...others, `uninstalled ${id}: ${what}`],
        detail: { version: before.version, purge: options.purge },
        purge: () => this.#parts.purge(id),
      },
      options,
    );
  }

  async #change(
    id: string,
    { added, done, detail, ...wanted }: Wanted,
    options: LifecycleOptions,
  ): Promise<LifecycleResult> {
    const { installed } = this.#parts;
    const version = added?.package.manifest.version ?? "";
    const { dryRun, actor } = options;
    let isKept = false;
    try {
      if (added !== undefined) await installed.add(added.package, added.verification);
      await this.#parts.onStep?.("unpacked");
      const stored = added && { version, bytes: added.bytes };
      const change = { ...wanted, id, added: stored, detail: detail ?? { version }, actor, dryRun };
      const inUse = await makeChange(this.#parts, change);
      isKept = !dryRun;
      const plugin = pluginDetails(inUse).find(one => one.id === id) ?? purgedPlugin(id);
      return { plugin, done };
    } finally {
      if (added !== undefined && !isKept) await installed.remove(id, version);
    }
  }

  /** The same package again: its files are put back where they were modified. */
  async #restored(
    before: PluginRecord | undefined,
    { package: given, verification }: NewPackage,
    options: LifecycleOptions,
  ): Promise<LifecycleResult | undefined> {
    const { id, version } = given.manifest;
    if (before === undefined || !versionsOf(before).includes(version)) return undefined;
    const { installed, registry } = this.#parts;
    const stored = await registry.package(id, version);
    const isSame = stored !== undefined && (await openPackage(stored)).digest === given.digest;
    // Other nodes have the files of that one, and somebody may have reviewed it.
    if (!isSame)
      throw refusedState("install", id, `version ${version} is installed, and this is another package of it`);
    if (before.version !== version) return undefined;
    const now = await installed.verify(before, version);
    if (now.installed?.verification.state !== "modified")
      throw new MairustError("already_exists", `Cannot install "${id}" ${version}: it is there`, {
        publicText: `version ${version} of plugin "${id}" is installed, and its files are as they should be`,
      });
    if (!options.dryRun) await installed.add(given, verification);
    const wanted = { before, after: before, mustRun: before.state === "enabled", action: "plugin.restore" };
    return this.#change(
      id,
      { ...wanted, done: [`the files of ${id} ${version} are as they were again`] },
      options,
    );
  }

  #autoApproved(record: NewRecord, candidate: Candidate): NewRecord {
    const { auto_approve: rule } = this.#parts.settings.config.plugins;
    if (rule !== "headers" || !isHarmless(candidate.asked)) return record;
    // Another signer is for somebody to agree to, whatever it asks for.
    if (record.developerKey !== candidate.asked.signer) return record;
    return { ...record, approval: approvalOf(candidate, undefined, "rule:auto_approve", new Date()) };
  }

  /** Disable who needs the plugin, those first that nobody needs. @throws {PluginDependencyError} without `cascade` */
  async #cascade(
    id: string,
    options: LifecycleOptions & { readonly cascade: boolean },
  ): Promise<readonly string[]> {
    const others = this.#look.dependants(id);
    if (others.length === 0) return [];
    if (!options.cascade)
      throw dependencyError(id, `${others.join(", ")} cannot do without it; --cascade disables them too`);
    const done: string[] = [];
    for (const other of others) done.push(...(await this.#disable(other, options, [])).done);
    return done;
  }
}
