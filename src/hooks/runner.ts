/**
 * The Hook Manager: runs the chain of one point. Callers know no plugins; plugins know neither each other nor the caller.
 *
 * Hooks run in order, parallel groups together; each sees the tags and the provenance that those before it left. A final verdict
 * stops the chain. Failures follow the hook's own policy; the run never rejects.
 *
 * Hooks in mode `shadow` see what they would see in their place, but are called when the decision has been made, so that they can
 * hold up neither the reply nor another hook; their events come by {@link HookDecisions.late}.
 */
import { setImmediate } from "node:timers/promises";
import type { Deadline } from "../core/deadline.ts";
import { messageOf } from "../core/errors.ts";
import type { HookPlugins } from "../core/hook-plugin.ts";
import type { CallId } from "../core/ids.ts";
import { type HookOutcome, Merge } from "../core/merge.ts";
import type { MessageState } from "../core/permissions.ts";
import type {
  HookDecisions,
  HookPoint,
  HookRunner,
  MessageContent,
  MessageFacts,
  PointNeeds,
} from "../core/ports/hooks.ts";
import type { Log, LogFields } from "../core/ports/log.ts";
import type { TimelineEvent } from "../core/ports/timeline.ts";
import { type CallDeps, type CallResult, callHook, skippedCall } from "./call.ts";
import { callEvent } from "./event.ts";
import { compileHooks, type Hook, type HookRow, type HookSet } from "./hook-set.ts";
import { MessageViews } from "./message-views.ts";
import { PayloadRoom } from "./payload-room.ts";

/** One finished call, for the metrics. */
export interface HookCallSample {
  readonly hook: string;
  readonly plugin: string;
  readonly outcome: CallResult["outcome"];
  readonly seconds: number;
}

export interface HookMetrics {
  call(sample: HookCallSample): void;
  /** An item of an answer was dropped: `mairust_plugin_denied_actions_total`. */
  denied(plugin: string, item: string): void;
}

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
  readonly beforeSend?: CallDeps["beforeSend"];
}

/** A {@link HookRunner} whose hooks can be exchanged. */
export interface ReloadableHookRunner extends HookRunner {
  /** From the next chain on, these hooks run; chains that run keep theirs. @param hooks  by `compileHooks` */
  replace(hooks: HookSet): void;
}

/** Most shadow calls at a time; a shadow call beyond it is recorded as skipped. Each keeps its message's bytes from being released. */
export const MAX_SHADOW_CALLS = 64;

/** @throws {MairustError} `config_invalid` with all problems of the rows */
export function createHookRunner(options: HookRunnerOptions): ReloadableHookRunner {
  return new Runner(options);
}

interface Made {
  readonly hook: Hook;
  readonly result: CallResult;
  readonly recipients: number;
}

/** What the hooks before it left when a hook's turn came. */
type Place = Pick<MessageState, "tags" | "provenance">;

interface Shadow {
  readonly hook: Hook;
  readonly place: Place;
}

class Runner implements ReloadableHookRunner {
  readonly #options: HookRunnerOptions;
  readonly #deps: CallDeps;
  #hooks: HookSet;
  /** Calls that serve several recipients of one transaction: forgotten with the message. */
  readonly #shared = new WeakMap<MessageContent, Map<string, Promise<Made>>>();
  #shadowCalls = 0;

  constructor(options: HookRunnerOptions) {
    this.#options = options;
    this.#hooks = compileHooks(options.hooks, options.plugins);
    this.#deps = {
      views: new MessageViews(),
      room: new PayloadRoom(options.payloadBytesInFlight),
      newCallId: options.newCallId,
      ...(options.beforeSend === undefined ? {} : { beforeSend: options.beforeSend }),
    };
  }

  has(point: HookPoint): boolean {
    return (this.#hooks.get(point)?.length ?? 0) > 0;
  }

  replace(hooks: HookSet): void {
    this.#hooks = hooks;
  }

  needs(point: HookPoint): PointNeeds {
    const grants = (this.#hooks.get(point) ?? []).flat().map(hook => hook.plugin.grants);
    return {
      headers: grants.length > 0,
      body: grants.some(one => one.read_body !== "none" || one.read_attachments !== "none"),
      hold: grants.some(one => one.decide.has("hold")),
    };
  }

  async run(point: HookPoint, facts: MessageFacts, deadline: Deadline): Promise<HookDecisions> {
    const merge = new Merge(facts.tags);
    const events: TimelineEvent[] = [];
    const shadows: Shadow[] = [];
    for (const group of this.#hooks.get(point) ?? []) {
      const place: Place = { tags: merge.tags, provenance: merge.provenance };
      shadows.push(...group.filter(isShadow).map(hook => ({ hook, place })));
      const enforced = group.filter(hook => !isShadow(hook));
      const made = await Promise.all(enforced.map(hook => this.#call(hook, facts, place, deadline)));
      for (const call of made) if (call !== undefined) events.push(this.#apply(call, facts, merge));
      if (merge.isFinal) break;
    }
    const decision = merge.finish();
    const each = new Map(facts.recipients.map(recipient => [recipient, decision]));
    return { each, events, ...(shadows.length === 0 ? {} : { late: this.#runShadows(shadows, facts) }) };
  }

  /** Never rejects; takes no longer than the slowest hook's time-out. */
  async #runShadows(shadows: readonly Shadow[], facts: MessageFacts): Promise<readonly TimelineEvent[]> {
    // Whoever waits for the decision goes first.
    await setImmediate();
    const results = await Promise.allSettled(
      shadows.map(({ hook, place }) => this.#call(hook, facts, place, undefined)),
    );
    return results.flatMap((result, i) => {
      if (result.status === "fulfilled")
        return result.value === undefined ? [] : [this.#event(result.value, facts, undefined)];
      this.#options.log.error("hook_failed", {
        ...messageFields(facts, facts.recipients),
        hook: shadows[i]?.hook.name,
        mode: "shadow",
        problem: messageOf(result.reason),
      });
      return [];
    });
  }

  /**
   * @param deadline  the chain's; undefined for a shadow call
   * @returns undefined when the filter passes the message by
   */
  async #call(
    hook: Hook,
    facts: MessageFacts,
    place: Place,
    deadline: Deadline | undefined,
  ): Promise<Made | undefined> {
    const all = hook.perRecipient ? facts.recipients : (facts.domainRecipients ?? facts.recipients);
    const headers = this.#deps.views.headers(facts);
    const recipients = all.filter(recipient => hook.matches(facts, recipient, headers));
    if (!facts.recipients.some(recipient => recipients.includes(recipient))) return undefined;
    const make = () => this.#make(hook, facts, recipients, place, deadline);
    return hook.perRecipient || facts.domainRecipients === undefined
      ? make()
      : this.#share(hook, facts, recipients, make);
  }

  /** One call per transaction and domain: who comes first makes it, the others wait for the same answer. */
  #share(
    hook: Hook,
    facts: MessageFacts,
    recipients: readonly string[],
    make: () => Promise<Made>,
  ): Promise<Made> {
    const calls = this.#shared.get(facts.content) ?? new Map<string, Promise<Made>>();
    this.#shared.set(facts.content, calls);
    const key = [hook.name, ...recipients].join("\0");
    const running = calls.get(key) ?? make();
    calls.set(key, running);
    return running;
  }

  async #make(
    hook: Hook,
    facts: MessageFacts,
    recipients: readonly string[],
    place: Place,
    deadline: Deadline | undefined,
  ): Promise<Made> {
    const account = recipients.length === 1 ? facts.account : undefined;
    const state = { recipients, account, ...place };
    const result = isShadow(hook)
      ? await this.#callShadow(hook, facts, state)
      : await callHook(this.#deps, hook, facts, state, deadline);
    this.#report(hook, result, facts, recipients);
    return { hook, result, recipients: recipients.length };
  }

  async #callShadow(hook: Hook, facts: MessageFacts, state: MessageState): Promise<CallResult> {
    if (this.#shadowCalls >= MAX_SHADOW_CALLS) {
      const problem = `${MAX_SHADOW_CALLS} shadow calls are under way`;
      return skippedCall(this.#options.newCallId(), problem);
    }
    this.#shadowCalls++;
    try {
      return await callHook(this.#deps, hook, facts, state, undefined);
    } finally {
      this.#shadowCalls--;
    }
  }

  #apply(call: Made, facts: MessageFacts, merge: Merge): TimelineEvent {
    return this.#event(call, facts, merge.add(outcomeOf(call)));
  }

  #event(call: Made, facts: MessageFacts, conflict: ReturnType<Merge["add"]>): TimelineEvent {
    const { hook, result, recipients } = call;
    return callEvent(hook, result, facts, this.#options.now(), { conflict, recipients });
  }

  #report(hook: Hook, result: CallResult, facts: MessageFacts, recipients: readonly string[]): void {
    const { log, metrics } = this.#options;
    metrics.call({
      hook: hook.name,
      plugin: hook.plugin.id,
      outcome: result.outcome,
      seconds: result.ms / 1000,
    });
    for (const { item } of result.denied) metrics.denied(hook.plugin.id, item);
    const call = { hook: hook.name, plugin: hook.plugin.id, mode: hook.mode, call_id: result.callId };
    const fields = { ...messageFields(facts, recipients), ...call };
    if (result.denied.length > 0) {
      const items = result.denied.map(({ item, why }) => `${item}: ${why}`).join("; ");
      log.warn("hook_denied", { ...fields, items });
    }
    if (result.outcome !== "ok") {
      log.warn("hook_failed", { ...fields, outcome: result.outcome, ms: result.ms, problem: result.problem });
    }
  }
}

/** What every line about a message carries; of many recipients the first one and how many there are. */
function messageFields(facts: MessageFacts, recipients: readonly string[]): LogFields {
  return {
    ...(facts.queueId === "" ? {} : { queue_id: facts.queueId }),
    id: facts.messageId,
    to: recipients[0],
    ...(recipients.length > 1 ? { recipients: recipients.length } : {}),
  };
}

function isShadow(hook: Hook): boolean {
  return hook.mode === "shadow";
}

function outcomeOf({ hook, result }: Made): HookOutcome {
  const named = { place: { priority: hook.priority, name: hook.name }, pluginId: hook.plugin.id };
  if (result.answer !== undefined) return { kind: "answer", ...named, answer: result.answer };
  return { kind: "failure", ...named, policy: result.outcome === "timeout" ? hook.onTimeout : hook.onError };
}
