/** A chain with a guard over it, whose clock the test sets. */
import assert from "node:assert/strict";
import type { HookPlugin } from "../../../src/core/hook-plugin.ts";
import type { Demotion } from "../../../src/core/ports/hook-guard.ts";
import type { HookDecision, HookPoint, MessageFacts } from "../../../src/core/ports/hooks.ts";
import type { TimelineEvent } from "../../../src/core/ports/timeline.ts";
import { type GuardOptions, HookGuard } from "../../../src/hooks/guard.ts";
import type { HookRow } from "../../../src/hooks/hook-set.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { awake } from "./awake.ts";
import { factsOf } from "./message.ts";
import { type Behaviour, EVERYTHING, pluginOf, type Rig, rigOf } from "./rig.ts";

export interface GuardedRig extends Rig {
  readonly guard: HookGuard;
  readonly clock: { ms: number };
  readonly told: string[];
  readonly demoted: Demotion[];
  run(facts?: Partial<MessageFacts>, point?: HookPoint): Promise<Ran>;
}

export interface Ran {
  readonly decision: HookDecision;
  readonly events: readonly TimelineEvent[];
  readonly failed: boolean;
}

export function guarded(
  behave: Behaviour | Readonly<Record<string, Behaviour>>,
  rows: readonly HookRow[],
  change: Partial<HookPlugin> = {},
): GuardedRig {
  const clock = { ms: Date.parse("2026-03-01T12:00:00Z") };
  const told: string[] = [];
  const demoted: Demotion[] = [];
  const options: GuardOptions = {
    now: () => new Date(clock.ms),
    steadyNow: () => clock.ms,
    onDemotion: demotion => demoted.push(demotion),
    onCap: ({ plugin, item, cap }) => told.push(`cap ${plugin} ${item} ${cap}`),
    onBudget: ({ plugin, text }) => told.push(`budget ${plugin} ${text}`),
    onUsage: sample => told.push(`usage ${sample.inputTokens}+${sample.outputTokens} ${sample.costUsd}`),
    onDenied: ({ hook, item, why }) => told.push(`denied ${hook} ${item} ${why}`),
    onCompared: () => undefined,
  };
  const guard = new HookGuard(options);
  const behaviours = typeof behave === "function" ? { a: behave } : behave;
  const grants = { ...EVERYTHING, decide: ["reject" as const, "tempfail" as const, "hold" as const] };
  const plugins = Object.entries(behaviours).map(([id, one]) => pluginOf(id, one, grants, change));
  const rig = rigOf(plugins, rows, { guard });
  return {
    ...rig,
    guard,
    clock,
    told,
    demoted,
    async run(facts = {}, point = "pre_delivery") {
      const deadline = deadlineAfter(5000);
      const source = `Message-ID: <${Math.random()}@x.example>\n\nbody`;
      const ran = await awake(rig.runner.run(point, factsOf(source, facts), deadline));
      const late = (await awake(ran.late ?? Promise.resolve([]))) ?? [];
      deadline.dispose();
      const [decision] = ran.each.values();
      assert.ok(decision);
      return { decision, events: [...ran.events, ...late], failed: ran.failed !== undefined };
    },
  };
}

export const outcomes = ({ events }: Ran) => events.map(({ data }) => data.outcome);
