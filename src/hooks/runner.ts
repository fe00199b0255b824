/**
 * The Hook Manager: runs the chain of one point. Callers know no plugins; plugins know neither each other nor the caller.
 *
 * Hooks run in order, parallel groups together; each sees the tags and the provenance that those before it left. Hooks in
 * mode `shadow` are started in their place and awaited at the end, so that they hold up nobody else. A final verdict stops
 * the chain. Failures follow the hook's own policy; the run never rejects.
 */
import type { Deadline } from "../core/deadline.ts";
import type { HookPlugins } from "../core/hook-plugin.ts";
import type { CallId } from "../core/ids.ts";
import { type HookOutcome, Merge } from "../core/merge.ts";
import type { StagedBlob } from "../core/ports/blobs.ts";
import type { HookDecision, HookPoint, HookRunner, MessageFacts } from "../core/ports/hooks.ts";
import type { Log } from "../core/ports/log.ts";
import type { TimelineEvent } from "../core/ports/timeline.ts";
import { type CallDeps, type CallResult, callHook } from "./call.ts";
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
  /**
   * From the next chain on, these hooks run; chains that run keep theirs.
   * @throws {MairustError} `config_invalid`; the old hooks stay
   */
  replace(hooks: readonly HookRow[], plugins: HookPlugins): void;
}

/** @throws {MairustError} `config_invalid` with all problems of the rows */
export function createHookRunner(options: HookRunnerOptions): ReloadableHookRunner {
  return new Runner(options);
}

interface Made {
  readonly hook: Hook;
  readonly result: CallResult;
  readonly recipients: number;
}

class Runner implements ReloadableHookRunner {
  readonly #options: HookRunnerOptions;
  readonly #deps: CallDeps;
  #hooks: HookSet;
  /** Calls that serve several recipients of one transaction: forgotten with the message. */
  readonly #shared = new WeakMap<StagedBlob, Map<string, Promise<Made>>>();

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

  replace(hooks: readonly HookRow[], plugins: HookPlugins): void {
    this.#hooks = compileHooks(hooks, plugins);
  }

  async run(point: HookPoint, facts: MessageFacts, deadline: Deadline): Promise<HookDecision> {
    const merge = new Merge(facts.tags);
    const events: TimelineEvent[] = [];
    const shadows: Array<Promise<Made | undefined>> = [];
    for (const group of this.#hooks.get(point) ?? []) {
      shadows.push(...group.filter(isShadow).map(hook => this.#call(hook, facts, merge, deadline)));
      const enforced = group.filter(hook => !isShadow(hook));
      const made = await Promise.all(enforced.map(hook => this.#call(hook, facts, merge, deadline)));
      for (const call of made) if (call !== undefined) events.push(this.#apply(call, facts, merge));
      if (merge.isFinal) break;
    }
    for (const call of await Promise.all(shadows)) {
      if (call !== undefined) events.push(this.#event(call, facts, undefined));
    }
    return merge.finish(events);
  }

  /** @returns undefined when the filter passes the message by */
  async #call(hook: Hook, facts: MessageFacts, merge: Merge, deadline: Deadline): Promise<Made | undefined> {
    const all = hook.perRecipient ? facts.recipients : (facts.domainRecipients ?? facts.recipients);
    const headers = this.#deps.views.headers(facts);
    const recipients = all.filter(recipient => hook.matches(facts, recipient, headers));
    if (!facts.recipients.some(recipient => recipients.includes(recipient))) return undefined;
    const make = () => this.#make(hook, facts, recipients, merge, deadline);
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
    merge: Merge,
    deadline: Deadline,
  ): Promise<Made> {
    const account = recipients.length === 1 ? facts.account : undefined;
    const state = { recipients, account, tags: merge.tags, provenance: merge.provenance };
    const result = await callHook(this.#deps, hook, facts, state, deadline);
    this.#report(hook, result, facts);
    return { hook, result, recipients: recipients.length };
  }

  #apply(call: Made, facts: MessageFacts, merge: Merge): TimelineEvent {
    return this.#event(call, facts, merge.add(outcomeOf(call)));
  }

  #event(call: Made, facts: MessageFacts, conflict: ReturnType<Merge["add"]>): TimelineEvent {
    const { hook, result, recipients } = call;
    return callEvent(hook, result, facts, this.#options.now(), { conflict, recipients });
  }

  #report(hook: Hook, result: CallResult, facts: MessageFacts): void {
    const { log, metrics } = this.#options;
    metrics.call({
      hook: hook.name,
      plugin: hook.plugin.id,
      outcome: result.outcome,
      seconds: result.ms / 1000,
    });
    for (const { item } of result.denied) metrics.denied(hook.plugin.id, item);
    const fields = { queue_id: facts.queueId, hook: hook.name, plugin: hook.plugin.id, mode: hook.mode };
    if (result.denied.length > 0) {
      const items = result.denied.map(({ item, why }) => `${item}: ${why}`).join("; ");
      log.warn("hook_denied", { ...fields, items });
    }
    if (result.outcome !== "ok") {
      log.warn("hook_failed", { ...fields, outcome: result.outcome, ms: result.ms, problem: result.problem });
    }
  }
}

function isShadow(hook: Hook): boolean {
  return hook.mode === "shadow";
}

function outcomeOf({ hook, result }: Made): HookOutcome {
  const named = { hook: hook.name, pluginId: hook.plugin.id };
  if (result.answer !== undefined) return { kind: "answer", ...named, answer: result.answer };
  return { kind: "failure", ...named, policy: result.outcome === "timeout" ? hook.onTimeout : hook.onError };
}
