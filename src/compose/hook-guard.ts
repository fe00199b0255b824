/**
 * Component "hook_guard": brings what keeps hooks from going too far to the database and back. Bypasses, demotions, and what was
 * counted on all nodes are read at the start and every few seconds, and at once when a node says that something changed.
 *
 * What fails how: while the database is away this node goes on with what it knows, and keeps what it counted; a demotion is in effect
 * here before it is durable, and is written down when that works again.
 */
import { randomUUID } from "node:crypto";
import { messageOf } from "../core/errors.ts";
import type { HookPlugin } from "../core/hook-plugin.ts";
import type { AdminAlerts } from "../core/ports/alerts.ts";
import type { Audit } from "../core/ports/audit.ts";
import {
  type Demotion,
  DIFF_COUNT_HOURS,
  type GuardAdmin,
  type GuardRecords,
  type PluginUsage,
} from "../core/ports/hook-guard.ts";
import type { Tallies, Tally } from "../core/ports/tallies.ts";
import { DAY_MS } from "../hooks/budgets.ts";
import { CAP_WINDOW_MS } from "../hooks/caps.ts";
import { bypassText, HookGuard } from "../hooks/guard.ts";
import { type Component, component } from "../platform/component.ts";
import { every, within } from "../platform/deadline.ts";
import type { Health } from "../platform/health.ts";
import type { RootLog } from "../platform/log.ts";
import type { Metrics } from "../platform/metrics.ts";
import type { Db } from "../store/db.ts";
import { CAPPED_ITEMS } from "../wire/config/hooks.ts";
import { createTurns } from "./turns.ts";

const SYNC_MS = 5_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const CHANNEL = "mairust_hook_guard";

export interface HookGuardParts {
  readonly log: RootLog;
  readonly metrics: Metrics;
  readonly version: string;
  readonly db: Pick<Db, "listen" | "notify">;
  readonly records: GuardRecords;
  readonly tallies: Tallies;
  readonly alerts: AdminAlerts;
  readonly audit: Audit;
  /** Those that stand at hooks. */
  readonly plugins: () => readonly HookPlugin[];
  readonly now: () => Date;
}

export interface HookGuardHandle {
  readonly component: Component;
  readonly guard: HookGuard;
  readonly admin: GuardAdmin;
  /** At once, what else is done every few seconds. @throws {MairustError} `store_unavailable` */
  sync(): Promise<void>;
}

export function hookGuard(parts: HookGuardParts): HookGuardHandle {
  const { log, version, db } = parts;
  const ends: Array<() => unknown> = [];
  const node = randomUUID();
  const sync = new Sync(parts, () => db.notify(CHANNEL, node));
  const failed = (error: unknown) => log.warn("hook guard not in step", { reason: messageOf(error) });
  const soon = () => void sync.run().catch(failed);
  sync.onUrgent = soon;
  return {
    guard: sync.guard,
    sync: () => sync.run(),
    admin: adminOf(parts, sync),
    component: component({
      info: {
        name: "hook_guard",
        version,
        description: "bypass, demotions, caps and budgets of plugins",
        type: "service",
      },
      init: () => sync.run(),
      async start() {
        ends.push(await db.listen(CHANNEL, from => from === node || soon(), soon));
        ends.push(every(SYNC_MS, () => sync.run(), failed));
      },
      async stop(deadline) {
        for (const end of ends.splice(0)) await end();
        await within(sync.run(), deadline).catch(failed);
      },
      health: () => healthOf(sync.guard),
    }),
  };
}

/** Degraded: mail passes hooks that somebody means to be applied. */
function healthOf(guard: HookGuard): Health {
  const bypassed = guard.bypasses.map(
    bypass =>
      `${bypass.plugin === undefined ? "all plugins" : `plugin ${bypass.plugin}`}: ${bypassText(bypass)}`,
  );
  const demoted = guard.kept.map(({ hook, reason }) => `hook ${hook} is demoted: ${reason}`);
  const detail = [...bypassed, ...demoted].join("; ");
  return detail === "" ? { status: "ok" } : { status: "degraded", detail };
}

/** One run at a time, and no change by a person meanwhile. */
class Sync {
  readonly guard: HookGuard;
  readonly turns = createTurns();
  readonly #parts: HookGuardParts;
  readonly #tellOthers: () => Promise<void>;
  /** In effect here, not in the database yet. */
  #unsaved: readonly Demotion[] = [];
  onUrgent: () => void = () => undefined;

  constructor(parts: HookGuardParts, tellOthers: () => Promise<void>) {
    const { alerts, audit, metrics, log } = parts;
    this.#parts = parts;
    this.#tellOthers = tellOthers;
    const told = (actor: string, action: string, object: string, detail: Record<string, unknown>) =>
      void audit
        .record({ actor, action, object, detail })
        .catch(error => log.error("audit entry lost", { action, object, reason: messageOf(error) }));
    this.guard = new HookGuard({
      now: parts.now,
      steadyNow: () => performance.now(),
      onDemotion: (demotion, plugin) => {
        const { hook, reason } = demotion;
        alerts.tell({
          kind: "demotion",
          text: `hook "${hook}" goes back to shadow: ${reason}`,
          plugin,
          hook,
        });
        this.#unsaved = [...this.#unsaved, demotion];
        this.onUrgent();
      },
      onCap: ({ plugin, item, cap }) => {
        alerts.tell({
          kind: "cap",
          plugin,
          text: `plugin "${plugin}" is over its cap: ${item}, ${cap} in an hour`,
        });
        told("rule:cap", "plugin.cap", plugin, { item, cap });
      },
      onBudget: ({ plugin, text }) => {
        alerts.tell({ kind: "budget", plugin, text: `plugin "${plugin}" is not called today: ${text}` });
        told("rule:budget", "plugin.budget", plugin, { reason: text });
      },
      onDenied: ({ plugin, ...denial }) => told("rule:grant", "plugin.denied", plugin, denial),
      onUsage({ plugin, inputTokens, outputTokens, costUsd }) {
        metrics.pluginTokens.inc({ plugin, direction: "input" }, inputTokens);
        metrics.pluginTokens.inc({ plugin, direction: "output" }, outputTokens);
        metrics.pluginCost.inc({ plugin }, costUsd);
      },
      onCompared(hook, plugin, fields) {
        for (const field of fields) metrics.hookDiffs.inc({ hook, plugin, field });
      },
    });
  }

  run(): Promise<void> {
    return this.turns(async () => {
      // Each by itself: what cannot be written must not keep this node from hearing of a bypass, or of another node's demotion.
      const steps = [this.#read, this.#saveDemotions, this.#counts, this.#diffs];
      const failures: unknown[] = [];
      for (const step of steps) await step.call(this).catch(error => failures.push(error));
      if (failures.length > 0) throw failures[0];
    });
  }

  /** A change by a person: durable, then in effect here, then told to the others. */
  async change<T>(work: (records: GuardRecords) => Promise<T>): Promise<T> {
    const result = await this.turns(async () => {
      const done = await work(this.#parts.records);
      await this.#read();
      return done;
    });
    await this.#told();
    return result;
  }

  /** What was not written down yet must not come back afterwards. @returns whether there was one */
  restore(hook: string): Promise<boolean> {
    return this.change(async records => {
      const isUnsaved = this.#unsaved.some(one => one.hook === hook);
      const isSaved = await records.restore(hook);
      this.#unsaved = this.#unsaved.filter(one => one.hook !== hook);
      return isSaved || isUnsaved;
    });
  }

  async #saveDemotions(): Promise<void> {
    const { records, audit } = this.#parts;
    for (const demotion of this.#unsaved) {
      const { hook, reason } = demotion;
      await records.demote(demotion);
      await audit.record({ actor: "rule:demotion", action: "hook.demote", object: hook, detail: { reason } });
      this.#unsaved = this.#unsaved.filter(one => one !== demotion);
      await this.#told();
    }
  }

  /** Others read again by themselves: a notification that is lost only costs time. */
  async #told(): Promise<void> {
    await this.#tellOthers().catch(error =>
      this.#parts.log.warn("other nodes not told", { reason: messageOf(error) }),
    );
  }

  async #counts(): Promise<void> {
    const { tallies, now } = this.#parts;
    const { caps, budgets, figures } = this.guard;
    const all = [caps.counts, budgets.counts, figures];
    try {
      const taken = all.flatMap(counts => counts.take());
      if (taken.length > 0) await tallies.add(taken);
    } catch (error) {
      for (const counts of all) counts.failed();
      throw error;
    }
    for (const counts of all) counts.sent();
    // Nobody asks for them here.
    figures.use([]);
    // What is counted meanwhile is on top of what is read: it was not among what was taken.
    const time = now().getTime();
    const hour = await tallies.read("cap", new Date(time - CAP_WINDOW_MS - MINUTE_MS));
    const day = await tallies.read("usage", new Date(Math.floor(time / DAY_MS) * DAY_MS));
    caps.counts.use(hour);
    budgets.counts.use(day);
  }

  async #diffs(): Promise<void> {
    const diffs = this.guard.takeDiffs();
    try {
      await this.#parts.records.keepDiffs(diffs);
    } catch (error) {
      this.guard.putBackDiffs(diffs);
      throw error;
    }
  }

  async #read(): Promise<void> {
    const { records } = this.#parts;
    const [demotions, bypasses] = [await records.demotions(), await records.bypasses()];
    this.guard.setDemotions([...demotions, ...this.#unsaved]);
    this.guard.setBypasses(bypasses);
  }
}

function adminOf({ records, tallies, plugins, now }: HookGuardParts, sync: Sync): GuardAdmin {
  const { guard } = sync;
  const counts = async (hook: string, sinceMs: number) => {
    await sync.run();
    const rows = await tallies.read("hook", new Date(now().getTime() - sinceMs), hook);
    return sums(rows);
  };
  return {
    demotion: hook => guard.demotions.get(hook),
    restore: hook => sync.restore(hook),
    async figures(hook, windowS) {
      const found = await counts(hook, windowS * 1000 + MINUTE_MS);
      const { calls = 0, errors = 0, slow = 0, compared = 0, differing = 0 } = found;
      return { calls, errors, slow, compared, differing };
    },
    diffCounts: async hook => withoutCalls(await counts(hook, DIFF_COUNT_HOURS * HOUR_MS)),
    async diffs(hook, limit) {
      await sync.run();
      return records.diffs(hook, limit);
    },
    bypasses: () => guard.bypasses,
    setBypass: bypass => sync.change(to => to.setBypass(bypass)),
    endBypass: plugin => sync.change(to => to.endBypass(plugin)),
    async usage(plugin, days) {
      await sync.run();
      const since = Math.floor(now().getTime() / DAY_MS) * DAY_MS - (days - 1) * DAY_MS;
      return usageOf(await tallies.read("usage", new Date(since), plugin));
    },
    allowances: () =>
      plugins().map(({ id, budget, caps = {} }) => ({
        plugin: id,
        budget,
        caps,
        used: Object.fromEntries(CAPPED_ITEMS.map(item => [item, guard.caps.used(id, item)])),
      })),
  };
}

function sums(rows: readonly Tally[]): Readonly<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const { what, amount } of rows) found[what] = (found[what] ?? 0) + amount;
  return found;
}

const withoutCalls = ({ calls: _, errors: __, slow: ___, ...rest }: Readonly<Record<string, number>>) => rest;

function usageOf(rows: readonly Tally[]): readonly PluginUsage[] {
  const days = new Map<string, Tally[]>();
  for (const row of rows) {
    const key = `${row.slot.toISOString().slice(0, 10)} ${row.name}`;
    days.set(key, [...(days.get(key) ?? []), row]);
  }
  return [...days].map(([key, some]) => {
    const { calls = 0, input_tokens: input = 0, output_tokens: output = 0, cost_usd: cost = 0 } = sums(some);
    const [day = "", plugin = ""] = key.split(" ");
    return { plugin, day, calls, inputTokens: input, outputTokens: output, costUsd: cost };
  });
}
