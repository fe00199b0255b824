/**
 * What stands between a hook and its plugin beside the breaker, and keeps it from going too far: bypass, budget, caps, and the
 * demotion of hooks that are over their thresholds. All of it is in memory, so that no call waits; `compose/hook-guard.ts` brings it
 * to the database and back.
 *
 * A hook's way: shadow → canary → enforce, each by a person; back to shadow by a person, or by itself:
 *
 *     canary, enforce ──over a threshold of `demote`──► demoted: as in shadow, until a person sets its mode
 *
 * Failures that are nobody's (nothing was sent, cut by the chain) do not count, nor does an open circuit: a plugin that is away is
 * the matter of the breaker and of the hook's policy; a demotion is for one that works badly.
 */
import type { Deadline } from "../core/deadline.ts";
import { type Difference, differencesOf, type ShadowOutcome } from "../core/hook-diff.ts";
import { FIGURES, type HookFigures, overThresholds } from "../core/hook-figures.ts";
import type { HookPlugin } from "../core/hook-plugin.ts";
import type { Bypass, Demotion, HookDiff } from "../core/ports/hook-guard.ts";
import type { HookDecision, MessageFacts } from "../core/ports/hooks.ts";
import { type BudgetHit, Budgets, type UsageSample } from "./budgets.ts";
import type { CallResult } from "./call.ts";
import { type CapHit, Caps } from "./caps.ts";
import { type Denial, Denials } from "./denials.ts";
import { policyOf } from "./event.ts";
import type { Hook } from "./hook-set.ts";
import { type GiveBack, PayloadRoom } from "./payload-room.ts";
import { SharedCounts } from "./shared-counts.ts";
import { SlidingCounts } from "./sliding-counts.ts";

/** Differences that wait to be written down; of more the first ones are kept. */
const MAX_PENDING_DIFFS = 200;
const MINUTE_MS = 60_000;

export interface GuardOptions {
  readonly now: () => Date;
  /** Milliseconds of a clock that never jumps. */
  readonly steadyNow: () => number;
  /** In effect already. */
  readonly onDemotion: (demotion: Demotion, plugin: string) => void;
  readonly onCap: (hit: CapHit) => void;
  readonly onBudget: (hit: BudgetHit) => void;
  readonly onUsage: (sample: UsageSample) => void;
  /** An answer went beyond the grant. */
  readonly onDenied: (denial: Denial) => void;
  /** `field`: `compared`, `differing`, and the fields that differ. */
  readonly onCompared: (hook: string, plugin: string, fields: readonly string[]) => void;
}

export interface Refused {
  readonly outcome: "bypassed" | "over_budget";
  readonly problem: string;
}

interface Turns {
  /** `budget.concurrency`. */
  readonly most: number;
  readonly room: PayloadRoom;
}

interface Watch {
  readonly windowS: number;
  readonly counts: SlidingCounts<keyof HookFigures>;
}

export class HookGuard {
  readonly caps: Caps;
  readonly budgets: Budgets;
  readonly figures = new SharedCounts("hook");
  readonly #options: GuardOptions;
  #demotions: ReadonlyMap<string, Demotion> = new Map();
  #bypasses: readonly Bypass[] = [];
  /** Hooks that stand, in mode canary or enforce. */
  #acting: ReadonlySet<string> = new Set();
  readonly #watches = new Map<string, Watch>();
  /** What {@link #watches} are about. */
  #marks: ReadonlyMap<string, string> = new Map();
  /** By plugin: after a reload it is another object, and calls of before may still be under way. */
  readonly #turns = new Map<string, Turns>();
  #diffs: HookDiff[] = [];
  readonly #denials: Denials;
  /** One call may serve many recipients, each with a chain of its own; it counts once, and makes a difference if it does for any. */
  readonly #compared = new WeakMap<CallResult, "same" | "differing">();

  constructor(options: GuardOptions) {
    const { now, onCap, onBudget, onUsage, onDenied } = options;
    const time = () => now().getTime();
    this.#options = options;
    this.caps = new Caps(time, onCap);
    this.#denials = new Denials(time, onDenied);
    this.budgets = new Budgets(time, onBudget, onUsage);
  }

  /** Of all hooks. */
  get demotions(): ReadonlyMap<string, Demotion> {
    return this.#demotions;
  }

  /** As the database has them, and those that it does not have yet. A hook that is restored starts anew. */
  setDemotions(demotions: readonly Demotion[]): void {
    const next = new Map(demotions.map(one => [one.hook, one]));
    for (const hook of this.#demotions.keys()) if (!next.has(hook)) this.#watches.delete(hook);
    this.#demotions = next;
  }

  /** Those that are in shadow although they are set to something else: what is demoted may be gone, or set to shadow, by now. */
  get kept(): readonly Demotion[] {
    return [...this.#demotions.values()].filter(({ hook }) => this.#acting.has(hook));
  }

  isDemoted(hook: string): boolean {
    return this.#demotions.size > 0 && this.#demotions.has(hook);
  }

  /** Each ends by itself, whether the database can be asked or not. */
  get bypasses(): readonly Bypass[] {
    const now = this.#options.now();
    return this.#bypasses.filter(({ until }) => until === undefined || until > now);
  }

  setBypasses(bypasses: readonly Bypass[]): void {
    this.#bypasses = bypasses;
  }

  /** These hooks stand from now on. One in another mode, or of another plugin, is not judged by what was before. */
  use(hooks: readonly Hook[]): void {
    const marks = new Map(hooks.map(hook => [hook.name, markOf(hook)]));
    this.#acting = new Set(hooks.filter(({ mode }) => mode !== "shadow").map(({ name }) => name));
    for (const name of this.#watches.keys())
      if (!marks.has(name) || marks.get(name) !== this.#marks.get(name)) this.#watches.delete(name);
    this.#marks = marks;
    const plugins = new Set(hooks.map(({ plugin }) => plugin.id));
    for (const id of this.#turns.keys()) if (!plugins.has(id)) this.#turns.delete(id);
  }

  /** Asked once before each call; a call that is not refused counts for the budget. */
  refusal({ plugin }: Hook): Refused | undefined {
    const bypass = this.#bypassOf(plugin.id);
    if (bypass !== undefined) return { outcome: "bypassed", problem: bypassText(bypass) };
    // Who is not loaded costs nothing.
    const over = plugin.transport === undefined ? undefined : this.budgets.take(plugin);
    return over === undefined ? undefined : { outcome: "over_budget", problem: over };
  }

  /** As {@link ExchangeDeps.turn}. */
  turn(plugin: HookPlugin, deadline: Deadline): Promise<GiveBack> | undefined {
    const most = plugin.budget?.concurrency;
    if (most === undefined) return undefined;
    const known = this.#turns.get(plugin.id);
    const turns = known?.most === most ? known : { most, room: new PayloadRoom(most) };
    this.#turns.set(plugin.id, turns);
    return turns.room.acquire(1, deadline);
  }

  /** After each call that is over. @returns what of it may be applied */
  settle(hook: Hook, mode: "shadow" | "enforce", result: CallResult): CallResult {
    // An open circuit, or no room in time, must not use up the day of a plugin that was never asked.
    if (wasTaken(hook.plugin, result) && result.bytesSent === 0) this.budgets.giveBack(hook.plugin.id);
    this.budgets.record(hook.plugin.id, result);
    this.#watch(hook, result);
    // What is dropped of a late answer may be so for being late alone.
    if (result.outcome !== "late") this.#denials.record(hook.name, hook.plugin.id, result.denied);
    return mode === "enforce" ? this.caps.apply(hook.plugin, result) : result;
  }

  /** A call on trial: it costs what others cost, and nothing else of it counts. */
  tried(plugin: HookPlugin, result: CallResult): void {
    if (result.bytesSent === 0) return;
    this.budgets.take(plugin);
    this.budgets.record(plugin.id, result);
  }

  /** A call in shadow, and what was done without it. */
  compare(
    hook: Hook,
    facts: MessageFacts,
    result: CallResult,
    each: ReadonlyMap<string, HookDecision>,
  ): void {
    const { answer } = result;
    const policy = policyOf(hook, result);
    if (answer === undefined && (policy === undefined || result.verdict === "void")) return;
    const outcome =
      answer === undefined
        ? { kind: "failure" as const, policy: policy ?? "allow" }
        : { kind: "answer" as const, answer };
    const found = firstDifference(outcome, each);
    const known = this.#compared.get(result);
    if (known === "differing" || (known === "same" && found === undefined)) return;
    this.#compared.set(result, found === undefined ? "same" : "differing");
    const fields = found?.differences.map(({ field }) => field) ?? [];
    const first = known === undefined ? ["compared"] : [];
    const all = [...first, ...(found === undefined ? [] : ["differing"]), ...fields];
    for (const what of all) this.#count(hook.name, what);
    this.#options.onCompared(hook.name, hook.plugin.id, all);
    const counts = this.#counts(hook);
    if (known === undefined) counts.add(this.#options.steadyNow(), "compared");
    if (found === undefined) return;
    counts.add(this.#options.steadyNow(), "differing");
    this.#keep(hook, facts, result, found);
    this.#judge(hook);
  }

  /** Differences to be written down. */
  takeDiffs(): readonly HookDiff[] {
    return this.#diffs.splice(0);
  }

  /** Those that could not be written. */
  putBackDiffs(diffs: readonly HookDiff[]): void {
    this.#diffs = [...diffs, ...this.#diffs].slice(0, MAX_PENDING_DIFFS);
  }

  #watch(hook: Hook, { verdict, ms }: CallResult): void {
    if (verdict === "void") return;
    const { latency_ms: limitMs } = hook.demote;
    this.#figure(hook, "calls");
    if (verdict === "failure") this.#figure(hook, "errors");
    const isSlow = limitMs > 0 && ms > limitMs;
    if (isSlow) this.#figure(hook, "slow");
    if (isSlow || verdict === "failure") this.#judge(hook);
  }

  #figure(hook: Hook, kind: keyof HookFigures): void {
    this.#counts(hook).add(this.#options.steadyNow(), kind);
    this.#count(hook.name, kind);
  }

  /** Over a threshold: from now on in shadow. */
  #judge(hook: Hook): void {
    if (hook.mode === "shadow" || this.isDemoted(hook.name)) return;
    const figures = this.#counts(hook).totals(this.#options.steadyNow());
    const over = overThresholds(figures, hook.demote, hook.mode === "canary");
    if (over.length === 0) return;
    const demotion = { hook: hook.name, reason: over.join("; "), at: this.#options.now() };
    this.#demotions = new Map([...this.#demotions, [hook.name, demotion]]);
    this.#options.onDemotion(demotion, hook.plugin.id);
  }

  #keep(
    { name, plugin, point }: Hook,
    { messageId, queueId }: MessageFacts,
    { callId }: CallResult,
    { recipient, differences }: FoundDifference,
  ): void {
    if (this.#diffs.length >= MAX_PENDING_DIFFS) return;
    const at = this.#options.now();
    const diff = {
      hook: name,
      plugin: plugin.id,
      point,
      at,
      callId,
      messageId,
      queueId,
      recipient,
      differences,
    };
    this.#diffs.push(diff);
  }

  #count(hook: string, what: string): void {
    const minute = Math.floor(this.#options.now().getTime() / MINUTE_MS) * MINUTE_MS;
    this.figures.add(hook, minute, what, 1);
  }

  #counts({ name, demote }: Hook): Watch["counts"] {
    const known = this.#watches.get(name);
    if (known?.windowS === demote.window_s) return known.counts;
    const counts = new SlidingCounts(demote.window_s * 1000, FIGURES);
    this.#watches.set(name, { windowS: demote.window_s, counts });
    return counts;
  }

  #bypassOf(plugin: string): Bypass | undefined {
    if (this.#bypasses.length === 0) return undefined;
    return this.bypasses.find(one => one.plugin === undefined || one.plugin === plugin);
  }
}

const markOf = ({ mode, plugin }: Hook) => `${mode} ${plugin.id} ${plugin.version}`;

/** What {@link HookGuard.refusal} counted before the call. */
function wasTaken({ transport }: HookPlugin, { outcome }: CallResult): boolean {
  const isUnasked = outcome === "bypassed" || outcome === "over_budget" || outcome === "skipped";
  return transport !== undefined && !isUnasked;
}

interface FoundDifference {
  readonly recipient: string;
  readonly differences: readonly Difference[];
}

function firstDifference(
  outcome: ShadowOutcome,
  each: ReadonlyMap<string, HookDecision>,
): FoundDifference | undefined {
  for (const [recipient, decision] of each) {
    const differences = differencesOf(outcome, decision);
    if (differences.length > 0) return { recipient, differences };
  }
  return undefined;
}

/** For people. */
export function bypassText({ until, by }: Bypass): string {
  const end = until === undefined ? "until somebody ends it" : `until ${until.toISOString()}`;
  return `calls are switched off ${end}, by ${by}`;
}
