/**
 * Component "plugin-care": looks after plugins that run. Asks each for its health by interval (synthetic, never with mail); looks at
 * installed packages again every hour and whenever keys or revocations change; ends a plugin that crashes again and again; reloads
 * folders under development when their files change. Whatever it finds is told, and never stops the service.
 */
import { messageOf, NotFound } from "../core/errors.ts";
import type { AdminAlerts } from "../core/ports/alerts.ts";
import type { EgressTraffic } from "../core/ports/egress.ts";
import type { PluginKeys } from "../core/ports/plugin-keys.ts";
import type { PluginHealthReport, PluginLifecycle } from "../core/ports/plugin-lifecycle.ts";
import type { Verification } from "../core/ports/plugin-packages.ts";
import type { PluginRecord } from "../core/ports/plugin-registry.ts";
import { brokenText } from "../hooks/circuits.ts";
import { type Component, component } from "../platform/component.ts";
import { every } from "../platform/deadline.ts";
import type { RootLog } from "../platform/log.ts";
import { switchedOff } from "../plugins/discovery.ts";
import { folderDigest, isUnchanged, readFolderFiles } from "../plugins/folder-files.ts";
import type { PluginHost } from "../plugins/host.ts";
import { newRecord, refusedState } from "../plugins/lifecycle-plan.ts";
import { type ChangeParts, makeChange } from "./lifecycle-change.ts";
import type { Settings } from "./settings.ts";
import type { Turns } from "./turns.ts";

const TICK_MS = 1000;
const VERIFY_MS = 3_600_000;
/** After a look that failed, because of the database for example. */
const VERIFY_AGAIN_MS = 60_000;
/** The crash rule. */
const CRASHES = 3;
const CRASH_WINDOW_MS = 3_600_000;
/** Crashes that are remembered of one plugin. */
const MAX_CRASHES = 20;

export interface CareParts extends ChangeParts {
  readonly settings: Settings;
  readonly log: RootLog;
  readonly version: string;
  readonly turns: Turns;
  readonly alerts: AdminAlerts;
  readonly keys: Pick<PluginKeys, "onChange">;
  readonly traffic: () => readonly EgressTraffic[];
  /** Told of the records that changed here or on another node. */
  readonly reread: () => Promise<void>;
  readonly listen: (onChange: () => void) => Promise<() => Promise<void>>;
}

export interface PluginCare {
  readonly component: Component;
  /** A process of a plugin in use ended by itself. */
  crashed(plugin: string, reason: string): void;
  readonly health: PluginLifecycle["health"];
  /** Look at all installed packages now. */
  verify(): Promise<void>;
}

/** An installed package that is worth something else than when it was looked at last. */
interface Changed {
  readonly id: string;
  readonly version: string;
  readonly now: Verification;
  readonly wasRunning: boolean;
}

const markOf = ({ state, revocation }: Verification): string => `${state} ${revocation?.severity ?? ""}`;

const isEnabled = (host: PluginHost | undefined, id: string): boolean =>
  host?.list().some(one => one.id === id && one.state === "enabled") === true;

export function pluginCare(parts: CareParts): PluginCare {
  const care = new Care(parts);
  const { version, log, keys } = parts;
  const ends: Array<() => Promise<void> | void> = [];
  const failed = (what: string) => (error: unknown) =>
    log.error("plugin_care_failed", { what, reason: messageOf(error) });
  return {
    crashed: (plugin, reason) => care.crashed(plugin, reason),
    health: id => care.health(id),
    verify: () => care.verify(),
    component: component({
      info: {
        name: "plugin-care",
        version,
        description: "health, verification, crash rule and development folders of plugins",
        type: "worker",
      },
      async start() {
        ends.push(every(TICK_MS, () => care.checkHealth(), failed("health")));
        ends.push(every(TICK_MS, () => care.watch(), failed("watch")));
        care.tellFound();
        ends.push(every(TICK_MS, () => care.verifyDue(), failed("verification")));
        ends.push(keys.onChange(() => void care.verify().catch(failed("verification"))));
        ends.push(await parts.listen(oneAtATime(parts.reread, failed("records"))));
      },
      async stop() {
        for (const end of ends.splice(0)) await end();
      },
    }),
  };
}

/** Many calls while one runs make one more. */
function oneAtATime(work: () => Promise<void>, failed: (error: unknown) => void): () => void {
  let isRunning = false;
  let isAsked = false;
  const run = async () => {
    isRunning = true;
    while (isAsked) {
      isAsked = false;
      await work().catch(failed);
    }
    isRunning = false;
  };
  return () => {
    isAsked = true;
    if (!isRunning) void run();
  };
}

interface Crash {
  readonly at: Date;
  readonly reason: string;
}

class Care {
  readonly #parts: CareParts;
  readonly #crashes = new Map<string, readonly Crash[]>();
  /** Plugins that the crash rule is about to end. */
  readonly #ending = new Set<string>();
  #checkedAt = Number.NEGATIVE_INFINITY;
  /** They were looked at when they were loaded. */
  #verifyAt = performance.now() + VERIFY_MS;
  /** What a folder under development held when it was last tried, by plugin. */
  readonly #tried = new Map<string, string>();
  /** Why the files of a folder under development are not in use. */
  readonly #unused = new Map<string, string>();

  constructor(parts: CareParts) {
    this.#parts = parts;
  }

  crashed(plugin: string, reason: string): void {
    const now = new Date();
    const recent = this.#recent(plugin, now);
    const all = [...recent, { at: now, reason }].slice(-MAX_CRASHES);
    this.#crashes.set(plugin, all);
    // What crashes while it is being ended changes nothing; what could not be ended is tried again with its next crash.
    if (all.length < CRASHES || this.#ending.has(plugin)) return;
    this.#ending.add(plugin);
    const { turns, log } = this.#parts;
    void turns(() => this.#fail(plugin, reason))
      .catch((error: unknown) => log.error("plugin_not_ended", { plugin, reason: messageOf(error) }))
      .finally(() => this.#ending.delete(plugin));
  }

  #recent(plugin: string, now: Date): readonly Crash[] {
    const since = now.getTime() - CRASH_WINDOW_MS;
    return (this.#crashes.get(plugin) ?? []).filter(({ at }) => at.getTime() > since);
  }

  async #fail(plugin: string, why: string): Promise<void> {
    const { registry, alerts } = this.#parts;
    if (await this.#isBeingEdited(plugin)) {
      this.#crashes.delete(plugin);
      return;
    }
    const before = await registry.find(plugin);
    if (before !== undefined && before.state !== "enabled" && before.state !== "installed") {
      // Ended meanwhile, by somebody else. When it is back, it begins anew.
      this.#crashes.delete(plugin);
      return;
    }
    const reason = `${CRASHES} crashes within an hour, the last: ${why}`;
    const after = { ...(before ?? newRecord(plugin, "failed")), state: "failed", reason } as const;
    const detail = { reason };
    const change = { id: plugin, action: "plugin.fail", actor: "rule:crash", before, after, detail };
    await makeChange(this.#parts, { ...change, mustRun: false, dryRun: false });
    this.#crashes.delete(plugin);
    const text = `plugin "${plugin}" was ended: ${reason}; mairust plugin enable ${plugin} starts it again`;
    alerts.tell({ kind: "crash_rule", plugin, text });
  }

  /** A spare, or whoever came in the place of another, began with files that are not in use: what runs is not to blame. */
  async #isBeingEdited(plugin: string): Promise<boolean> {
    const { settings, hooks } = this.#parts;
    if (settings.config.plugin[plugin]?.watch !== true) return false;
    const found = hooks
      .host()
      ?.list()
      .find(({ id }) => id === plugin)?.found;
    return found?.files !== undefined && !(await isUnchanged(found.folder, found.files));
  }

  /** All of them, when the interval is over. */
  async checkHealth(): Promise<void> {
    const { settings, hooks } = this.#parts;
    const now = performance.now();
    if (now - this.#checkedAt < settings.config.plugins.health_interval_s * 1000) return;
    this.#checkedAt = now;
    const host = hooks.host();
    const running = host?.list().filter(({ state }) => state === "enabled") ?? [];
    await Promise.all(running.map(({ id }) => host?.healthOf(id, 0)));
  }

  async health(id: string): Promise<PluginHealthReport> {
    const { hooks, traffic } = this.#parts;
    const host = hooks.host();
    const status = host?.list().find(one => one.id === id);
    if (host === undefined || status === undefined) throw new NotFound("plugin", id);
    const checkedAt = new Date();
    const health = await host.healthOf(id, 0);
    if (health === undefined) throw refusedState("ask", id, `it has no process here: ${status.reason}`);
    const broken = hooks.brokenCircuits().find(one => one.plugin === id);
    const unused = this.#unused.get(id);
    const details = [health.detail, unused].filter(text => text !== undefined);
    return {
      id,
      version: status.version,
      status: health.status,
      detail: details.length === 0 ? undefined : details.join("; "),
      checkedAt,
      circuit: broken && brokenText(broken),
      crashes: this.#recent(id, checkedAt),
      limits: host.find(id)?.transport?.limits?.() ?? [],
      egress: traffic().filter(({ plugin }) => plugin === id),
    };
  }

  /** When it is an hour since the last look, or a while since one that failed. */
  async verifyDue(): Promise<void> {
    if (performance.now() >= this.#verifyAt) await this.verify();
  }

  verify(): Promise<void> {
    this.#verifyAt = performance.now() + VERIFY_AGAIN_MS;
    return this.#parts.turns(async () => {
      const { registry, settings, log, hooks } = this.#parts;
      const changed: Changed[] = [];
      let isWhole = true;
      for (const record of await registry.list()) {
        if (record.version === undefined || record.state === "uninstalled") continue;
        if (switchedOff(record.id, settings.config.plugins) !== undefined) continue;
        try {
          const one = await this.#verifyOne(record, record.version);
          if (one !== undefined) changed.push(one);
        } catch (error) {
          isWhole = false;
          log.error("plugin_not_verified", { plugin: record.id, reason: messageOf(error) });
        }
      }
      if (changed.length > 0) {
        const prepared = await hooks.prepare({ needs: new Set() });
        for (const one of changed) await this.#record(one, prepared.hooks.loaded.host);
        await prepared.commit();
        for (const one of changed) this.#tell(one, isEnabled(hooks.host(), one.id));
      }
      if (isWhole) this.#verifyAt = performance.now() + VERIFY_MS;
    });
  }

  /** What was found bad when the service loaded it. */
  tellFound(): void {
    for (const { id, version, found, state } of this.#parts.hooks.host()?.list() ?? []) {
      const now = found?.installed?.verification;
      if (now?.state === "revoked" || now?.state === "modified")
        this.#tell({ id, version, now, wasRunning: false }, state === "enabled");
    }
  }

  /** @returns undefined: nothing changed */
  async #verifyOne(record: PluginRecord, version: string): Promise<Changed | undefined> {
    const { installed, hooks } = this.#parts;
    // As it is in use: what was found meanwhile may not be in effect yet.
    const { id } = record;
    const used = hooks
      .host()
      ?.list()
      .find(one => one.id === id);
    const before = used?.found?.installed?.verification;
    const now = (await installed.verify(record, version)).installed?.verification;
    if (now === undefined || (before !== undefined && markOf(before) === markOf(now))) return undefined;
    return { id, version, now, wasRunning: used?.state === "enabled" };
  }

  /** An end that nobody asked for, or a warning. What must not run ends also when that cannot be recorded. */
  async #record({ id, version, now, wasRunning }: Changed, next: PluginHost): Promise<void> {
    const { audit, log } = this.#parts;
    const stops = !isEnabled(next, id);
    if (!wasRunning || (!stops && now.state !== "revoked")) return;
    const entry = {
      actor: now.state === "revoked" ? "rule:revocation" : "rule:verification",
      action: stops ? "plugin.stop" : "plugin.warn",
      object: id,
      detail: { version, state: now.state, reason: now.detail },
    };
    await audit
      .record(entry)
      .catch((error: unknown) =>
        log.error("plugin_stop_not_recorded", { plugin: id, reason: messageOf(error) }),
      );
  }

  #tell({ id, version, now, wasRunning }: Changed, runs: boolean): void {
    const { log, alerts } = this.#parts;
    const { state, detail } = now;
    const found = `plugin "${id}" ${version} is ${state}: ${detail}`;
    const isAllowed = state === "unsigned" && (runs || !wasRunning);
    if (state === "signed" || state === "private" || isAllowed) {
      log.info("plugin_verified", { plugin: id, text: found });
      return;
    }
    const goesOn = `it goes on; mairust plugin upgrade takes another version, mairust plugin disable ${id} ends it`;
    const what = runs
      ? state === "revoked"
        ? goesOn
        : "it goes on"
      : wasRunning
        ? "it was ended"
        : "it does not run";
    const kind = state === "revoked" ? "revocation" : "verification";
    alerts.tell({ kind, plugin: id, text: `${found}; ${what}` });
  }

  /** Files that were the same for one tick are complete. */
  async watch(): Promise<void> {
    const { settings } = this.#parts;
    const watched = Object.entries(settings.config.plugin).filter(([, entry]) => entry.watch === true);
    for (const [id] of watched) await this.#watchOne(id);
  }

  async #watchOne(id: string): Promise<void> {
    const found = this.#parts.hooks
      .host()
      ?.list()
      .find(one => one.id === id)?.found;
    if (found?.files === undefined || found.installed !== undefined) return;
    if (await isUnchanged(found.folder, found.files)) {
      this.#tried.delete(id);
      this.#unused.delete(id);
      return;
    }
    const digest = folderDigest(await readFolderFiles(found.folder));
    const tried = this.#tried.get(id);
    if (tried === digest) return;
    // Seen twice, it is not being written any more.
    this.#tried.set(id, tried === `${digest} seen` ? digest : `${digest} seen`);
    if (tried === `${digest} seen`) await this.#parts.turns(() => this.#reload(id));
  }

  async #reload(id: string): Promise<void> {
    const { hooks, log } = this.#parts;
    try {
      await (await hooks.prepare({ needs: new Set([id]), rereads: plugin => plugin === id })).commit();
      this.#unused.delete(id);
      log.info("plugin_reloaded", { plugin: id });
    } catch (error) {
      const reason = messageOf(error);
      this.#unused.set(id, `its files were changed and are not used: ${reason}`);
      log.error("plugin_not_reloaded", { plugin: id, reason });
    }
  }
}
