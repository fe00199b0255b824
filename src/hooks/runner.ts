/**
 * The Hook Manager: knows the hooks of all points and runs their chains. Callers know no plugins; plugins know neither each other nor
 * the caller.
 *
 * A chain (`chain.ts`) says which calls there are and what their answers mean; here they are made: shared between the recipients of a
 * domain, bounded in shadow, reported once each. Failures follow the hook's own policy; a run never rejects.
 *
 * Hooks in mode `shadow` see what they would see in their place, but are called when the decision has been made, so that they can
 * hold up neither the reply nor another hook; their events come by {@link HookDecisions.late}.
 */
import type { Deadline } from "../core/deadline.ts";
import type { HookPlugins } from "../core/hook-plugin.ts";
import type { CallId } from "../core/ids.ts";
import type {
  ChainOptions,
  HookDecisions,
  HookPoint,
  HookRunner,
  LateAnswers,
  MessageContent,
  MessageFacts,
  PointNeeds,
} from "../core/ports/hooks.ts";
import type { Ledger } from "../core/ports/ledger.ts";
import type { Log } from "../core/ports/log.ts";
import { type CallDeps, type CallResult, callHook, uncalled } from "./call.ts";
import { createMessageShare, isInCanary } from "./canary.ts";
import { Chain, type ChainHost, type PlannedCall, untouched } from "./chain.ts";
import { type BrokenCircuit, Circuits } from "./circuits.ts";
import type { HookGuard } from "./guard.ts";
import {
  compileHooks,
  groupsBehind,
  type Hook,
  type HookGroup,
  type HookRow,
  type HookSet,
} from "./hook-set.ts";
import { LateCalls } from "./late.ts";
import { MessageViews } from "./message-views.ts";
import { PayloadRoom } from "./payload-room.ts";
import { type HookMetrics, messageFields, reportCall } from "./report.ts";

export interface HookRunnerOptions {
  readonly plugins: HookPlugins;
  readonly hooks: readonly HookRow[];
  readonly log: Log;
  readonly metrics: HookMetrics;
  readonly now: () => Date;
  readonly newCallId: () => CallId;
  /** `limits.payload_bytes_in_flight`. */
  readonly payloadBytesInFlight: number;
  /** Hears of every payload before it leaves. */
  readonly ledger?: Ledger;
  /** Takes the answers of hooks with `late = "apply"`; without it, such calls end with their time-out. */
  readonly lateAnswers?: LateAnswers;
  /** Bypass, budgets, caps, demotions. Absent: there are none. */
  readonly guard?: HookGuard;
  /** On which side of a canary messages are: the same on all nodes. Absent: one of its own. */
  readonly canaryKey?: Uint8Array;
  /** Milliseconds of a clock that never jumps, for the breakers. Default: the process's. */
  readonly steadyNow?: () => number;
}

/** A {@link HookRunner} whose hooks can be exchanged. */
export interface ReloadableHookRunner extends HookRunner {
  /** From the next chain on, these hooks run; chains that run keep theirs. @param hooks  by `compileHooks` */
  replace(hooks: HookSet): void;
  /** Settles when the chains that run now have ended, with all that goes on after their decisions. Never rejects. */
  settled(): Promise<void>;
  /** Plugins that are not called now, because they failed too often: the health of the plugins names them. */
  brokenCircuits(): readonly BrokenCircuit[];
}

/** Most shadow calls at a time; a shadow call beyond it is recorded as skipped. Each keeps its message's bytes from being released. */
export const MAX_SHADOW_CALLS = 64;

/** @throws {MairustError} `config_invalid` with all problems of the rows */
export function createHookRunner(options: HookRunnerOptions): ReloadableHookRunner {
  return new Runner(options);
}

const NOTHING_NEEDED: PointNeeds = { headers: false, body: false, hold: false };

class Runner implements ReloadableHookRunner {
  readonly #options: HookRunnerOptions;
  readonly #deps: CallDeps;
  readonly #host: ChainHost;
  readonly #circuits: Circuits;
  #hooks: HookSet = new Map();
  #needs: ReadonlyMap<HookPoint, PointNeeds> = new Map();
  /** Calls that serve several recipients of one transaction: forgotten with the message. */
  readonly #shared = new WeakMap<MessageContent, Map<string, Promise<CallResult>>>();
  #shadowCalls = 0;
  /** Chains that run: their plugins must stay. */
  readonly #running = new Set<Promise<unknown>>();

  constructor(options: HookRunnerOptions) {
    this.#options = options;
    const { log, metrics, now, payloadBytesInFlight, lateAnswers, guard } = options;
    this.#circuits = new Circuits({
      log,
      now: options.steadyNow ?? (() => performance.now()),
      onState: (plugin, state) => metrics.circuit(plugin, state),
    });
    const late = lateAnswers && new LateCalls(payloadBytesInFlight, lateAnswers);
    this.#deps = {
      views: new MessageViews(),
      room: new PayloadRoom(payloadBytesInFlight),
      now,
      newCallId: options.newCallId,
      ledger: options.ledger,
      circuits: this.#circuits,
      late,
      turn: (plugin, deadline) => guard?.turn(plugin, deadline),
    };
    const share = createMessageShare(options.canaryKey ?? new Uint8Array());
    this.#host = {
      now,
      matches: (hook, facts, recipient) => hook.matches(facts, recipient, this.#deps.views.headers(facts)),
      call: (planned, facts, deadline) => this.#call(planned, facts, deadline),
      isDemoted: hook => guard?.isDemoted(hook.name) === true,
      applies(hook, facts, recipient) {
        if (guard?.isDemoted(hook.name) === true) return false;
        return hook.mode === "enforce" || isInCanary(hook, facts, recipient, share);
      },
      compare: ({ planned, result }, facts, each) => guard?.compare(planned.hook, facts, result, each),
      handOver: async answer => late?.handOver(answer),
      broke: (hook, facts, problem) =>
        log.error("hook_late_failed", {
          ...messageFields(facts, facts.recipients),
          hook: hook.name,
          problem,
        }),
    };
    this.replace(compileHooks(options.hooks, options.plugins));
  }

  has(point: HookPoint): boolean {
    return this.#groups(point).length > 0;
  }

  needs(point: HookPoint): PointNeeds {
    return this.#needs.get(point) ?? NOTHING_NEEDED;
  }

  replace(hooks: HookSet): void {
    this.#hooks = hooks;
    this.#needs = new Map([...hooks].map(([point, groups]) => [point, needsOf(groups)]));
    const standing = [...hooks.values()].flat(2).map(({ plugin }) => plugin);
    this.#circuits.use(standing.filter(({ transport }) => transport !== undefined));
    this.#options.guard?.use([...hooks.values()].flat(2));
  }

  async settled(): Promise<void> {
    await Promise.allSettled(this.#running);
  }

  brokenCircuits(): readonly BrokenCircuit[] {
    return this.#circuits.broken();
  }

  async run(
    point: HookPoint,
    facts: MessageFacts,
    deadline: Deadline,
    options: ChainOptions = {},
  ): Promise<HookDecisions> {
    const all = this.#groups(point);
    const behind = options.after === undefined ? all : groupsBehind(all, options.after);
    const { only } = options;
    const groups =
      only === undefined ? behind : behind.map(group => group.filter(hook => only.has(hook.name)));
    if (groups.length === 0) return untouched(facts, options);
    const decisions = new Chain(this.#host, facts, options).run(groups, deadline);
    this.#keep(decisions);
    return decisions;
  }

  #keep(decisions: Promise<HookDecisions>): void {
    const whole = decisions.then(({ late }) => late);
    const forget = () => this.#running.delete(whole);
    this.#running.add(whole);
    whole.then(forget, forget);
  }

  #groups(point: HookPoint): readonly HookGroup[] {
    return this.#hooks.get(point) ?? [];
  }

  #call(planned: PlannedCall, facts: MessageFacts, deadline: Deadline | undefined): Promise<CallResult> {
    const make = () => this.#make(planned, facts, deadline);
    return planned.hook.perRecipient || facts.domainRecipients === undefined
      ? make()
      : this.#share(planned, facts, make);
  }

  /** One call per transaction and domain: who comes first makes it, the others wait for the same answer. */
  #share(
    { hook, mode, attempt, recipients }: PlannedCall,
    facts: MessageFacts,
    make: () => Promise<CallResult>,
  ): Promise<CallResult> {
    const calls = this.#shared.get(facts.content) ?? new Map<string, Promise<CallResult>>();
    this.#shared.set(facts.content, calls);
    const key = [hook.name, mode, attempt, ...recipients].join("\0");
    const running = calls.get(key) ?? make();
    calls.set(key, running);
    return running;
  }

  async #make(planned: PlannedCall, facts: MessageFacts, chain: Deadline | undefined): Promise<CallResult> {
    const { hook, mode, state, attempt } = planned;
    const make = () => callHook(this.#deps, hook, facts, state, { mode, attempt, chain });
    const settle = (one: CallResult) => this.#settle(planned, facts, one);
    const made = await (mode === "shadow"
      ? this.#inShadow(() => this.#guarded(hook, make))
      : this.#guarded(hook, make));
    // A call that goes on is settled when it ends.
    if (made.late === undefined) return settle(made);
    reportCall(this.#options, { ...planned, result: made }, facts);
    return { ...made, late: made.late.then(settle) };
  }

  async #guarded(hook: Hook, make: () => Promise<CallResult>): Promise<CallResult> {
    const refused = this.#options.guard?.refusal(hook);
    return refused === undefined
      ? make()
      : uncalled(this.#options.newCallId(), refused.outcome, refused.problem);
  }

  /** @returns what of the result may be applied */
  #settle(planned: PlannedCall, facts: MessageFacts, made: CallResult): CallResult {
    const { hook, mode } = planned;
    const result = this.#options.guard?.settle(hook, mode, made) ?? made;
    reportCall(this.#options, { ...planned, result }, facts);
    return result;
  }

  async #inShadow(make: () => Promise<CallResult>): Promise<CallResult> {
    if (this.#shadowCalls >= MAX_SHADOW_CALLS) {
      const problem = `${MAX_SHADOW_CALLS} shadow calls are under way`;
      return uncalled(this.#options.newCallId(), "skipped", problem);
    }
    this.#shadowCalls++;
    try {
      return await make();
    } finally {
      this.#shadowCalls--;
    }
  }
}

function needsOf(groups: readonly HookGroup[]): PointNeeds {
  const needs = groups.flat().map(hook => hook.needs);
  return {
    headers: needs.some(({ headers }) => headers),
    body: needs.some(({ body }) => body),
    hold: needs.some(({ hold }) => hold),
    ...(needs.some(({ appendText }) => appendText) ? { appendText: true } : {}),
    ...(needs.some(({ addRecipients }) => addRecipients) ? { addRecipients: true } : {}),
  };
}
