/**
 * One run of the chain of one point, for all recipients of the message: who is in the scope of which hook, what each hook is shown,
 * and what its answer means for each of them.
 *
 * Hooks run in order, parallel groups together. A hook is called once for all recipients in its scope: those that its filter lets
 * through and whose own decision is not final. Recipients that are only observed make a second call, in shadow.
 */
import { setImmediate } from "node:timers/promises";
import type { Deadline } from "../core/deadline.ts";
import { messageOf } from "../core/errors.ts";
import { type HookOutcome, Merge } from "../core/merge.ts";
import type { MessageState } from "../core/permissions.ts";
import type {
  ChainOptions,
  HookDecision,
  HookDecisions,
  LateAnswer,
  MessageFacts,
} from "../core/ports/hooks.ts";
import type { TimelineEvent } from "../core/ports/timeline.ts";
import type { CallResult } from "./call.ts";
import { type CallRecord, callEvent, policyOf } from "./event.ts";
import type { Hook, HookGroup } from "./hook-set.ts";

/** A call that is to be made. */
export interface PlannedCall {
  readonly hook: Hook;
  readonly mode: "shadow" | "enforce";
  /** Whom it is for. */
  readonly recipients: readonly string[];
  /** Those of them that are this chain's. */
  readonly concerned: readonly string[];
  readonly state: MessageState;
  readonly attempt: number;
  /** In shadow because the hook is demoted. */
  readonly isDemoted: boolean;
}

/** What a chain needs of the one that runs it. */
export interface ChainHost {
  readonly now: () => Date;
  matches(hook: Hook, facts: MessageFacts, recipient: string): boolean;
  /** Never rejects. */
  call(planned: PlannedCall, facts: MessageFacts, deadline: Deadline | undefined): Promise<CallResult>;
  /** @throws {MairustError} the answer is lost */
  handOver(answer: LateAnswer): Promise<void>;
  /** The hook's answer about this recipient is applied: by its mode, as that stands now. */
  applies(hook: Hook, facts: MessageFacts, recipient: string): boolean;
  isDemoted(hook: Hook): boolean;
  /** A call in shadow, and what was decided without it for those that it was for. */
  compare(made: Made, facts: MessageFacts, each: ReadonlyMap<string, HookDecision>): void;
  /** A call in shadow, or a late answer, broke in our own code. */
  broke(hook: Hook, facts: MessageFacts, problem: string): void;
}

export interface Made {
  readonly planned: PlannedCall;
  readonly result: CallResult;
}

/** The decision for recipients that no hook has a say in. */
export function untouched(facts: MessageFacts, options: ChainOptions): HookDecisions {
  const decision = new Merge(facts.tags, options.provenance).finish();
  return { each: new Map(facts.recipients.map(recipient => [recipient, decision])), events: [] };
}

export class Chain {
  readonly #host: ChainHost;
  readonly #facts: MessageFacts;
  readonly #options: ChainOptions;
  readonly #merges: ReadonlyMap<string, Merge>;
  readonly #events: TimelineEvent[] = [];
  readonly #failed: Array<{ readonly hook: string; readonly problem: string }> = [];
  readonly #shadows: PlannedCall[] = [];
  /** Calls that go on after their time-out. */
  readonly #goingOn: Made[] = [];

  constructor(host: ChainHost, facts: MessageFacts, options: ChainOptions) {
    this.#host = host;
    this.#facts = facts;
    this.#options = options;
    this.#merges = new Map(
      facts.recipients.map(recipient => [recipient, new Merge(facts.tags, options.provenance)]),
    );
  }

  /** Once. */
  async run(groups: readonly HookGroup[], deadline: Deadline): Promise<HookDecisions> {
    for (const group of groups) {
      const open = [...this.#merges].flatMap(([recipient, merge]) => (merge.isFinal ? [] : [recipient]));
      if (open.length === 0) break;
      await this.#runGroup(
        group.flatMap(hook => this.#plan(hook, open)),
        deadline,
      );
    }
    const each = new Map([...this.#merges].map(([recipient, merge]) => [recipient, merge.finish()]));
    return {
      each,
      events: this.#events,
      ...this.#late(each),
      ...(this.#failed.length === 0 ? {} : { failed: this.#failed }),
    };
  }

  async #runGroup(calls: readonly PlannedCall[], deadline: Deadline): Promise<void> {
    if (calls.length === 0) return;
    this.#shadows.push(...calls.filter(({ mode }) => mode === "shadow"));
    const enforced = calls.filter(({ mode }) => mode === "enforce");
    const results = await Promise.all(
      enforced.map(planned => this.#host.call(planned, this.#facts, deadline)),
    );
    enforced.forEach((planned, i) => {
      const result = results[i];
      if (result !== undefined) this.#apply({ planned, result });
    });
    for (const merge of this.#merges.values()) merge.endGroup();
  }

  /** @param open  recipients whose decision is not final */
  #plan(hook: Hook, open: readonly string[]): readonly PlannedCall[] {
    const shared = hook.perRecipient ? undefined : this.#facts.domainRecipients;
    const scope = (shared ?? open).filter(one => this.#host.matches(hook, this.#facts, one));
    const inScope = new Set(scope);
    const concerned = open.filter(one => inScope.has(one));
    if (concerned.length === 0) return [];
    const applied = new Set(scope.filter(one => this.#isApplied(hook, one)));
    const call = (mode: PlannedCall["mode"]) => {
      const mine = (one: string) => applied.has(one) === (mode === "enforce");
      const whom = concerned.filter(mine);
      return whom.length === 0 ? [] : [this.#planned(hook, mode, scope.filter(mine), whom)];
    };
    return [...call("enforce"), ...call("shadow")];
  }

  /** Recipients that are only observed are so whatever the hook's mode is. */
  #isApplied(hook: Hook, recipient: string): boolean {
    if (hook.mode === "shadow" || this.#facts.observed.has(recipient)) return false;
    return this.#host.applies(hook, this.#facts, recipient);
  }

  #planned(
    hook: Hook,
    mode: PlannedCall["mode"],
    recipients: readonly string[],
    concerned: readonly string[],
  ): PlannedCall {
    const account = recipients.length === 1 ? this.#facts.account : undefined;
    const shown = Merge.shown(concerned.map(recipient => this.#mergeOf(recipient)));
    const { attempt = 1 } = this.#options;
    const isDemoted = mode === "shadow" && hook.mode !== "shadow" && this.#host.isDemoted(hook);
    const state = { recipients, account, ...shown };
    return { hook, mode, recipients, concerned, attempt, isDemoted, state };
  }

  #apply(made: Made): void {
    const { planned, result } = made;
    const { hook } = planned;
    if (result.late !== undefined) this.#goingOn.push(made);
    const outcome = outcomeOf(made);
    if (outcome === undefined) this.#failed.push({ hook: hook.name, problem: result.problem ?? "" });
    const conflicts = planned.concerned.map(recipient =>
      outcome === undefined ? undefined : this.#mergeOf(recipient).add(outcome),
    );
    const conflict = conflicts.find(one => one !== undefined);
    this.#events.push(this.#event({ ...recordOf(made), conflict }));
  }

  /** What goes on after the decision; never rejects. */
  #late(each: ReadonlyMap<string, HookDecision>): Pick<HookDecisions, "late"> {
    if (this.#shadows.length + this.#goingOn.length === 0) return {};
    const calls = [
      ...this.#goingOn.map(made => this.#guarded(made.planned.hook, () => this.#endLate(made, each))),
      ...this.#shadows.map(planned => this.#guarded(planned.hook, () => this.#runShadow(planned, each))),
    ];
    return { late: Promise.all(calls).then(events => events.flat()) };
  }

  async #guarded(hook: Hook, run: () => Promise<TimelineEvent>): Promise<readonly TimelineEvent[]> {
    try {
      return [await run()];
    } catch (error) {
      this.#host.broke(hook, this.#facts, messageOf(error));
      return [];
    }
  }

  async #runShadow(planned: PlannedCall, each: ReadonlyMap<string, HookDecision>): Promise<TimelineEvent> {
    // Whoever waits for the decision goes first.
    await setImmediate();
    const result = await this.#host.call(planned, this.#facts, undefined);
    const made = { planned, result: (await result.late) ?? result };
    const decisions = planned.concerned.map(recipient => [recipient, each.get(recipient)] as const);
    const known = decisions.flatMap(([recipient, one]) =>
      one === undefined ? [] : [[recipient, one] as const],
    );
    this.#host.compare(made, this.#facts, new Map(known));
    return this.#event(recordOf(made));
  }

  async #endLate(made: Made, each: ReadonlyMap<string, HookDecision>): Promise<TimelineEvent> {
    const result = await (made.result.late ?? made.result);
    const why = await this.#applyLate({ ...made, result }, each);
    return this.#event({
      ...recordOf({ ...made, result }),
      late: { applied: why === undefined, why: why ?? null },
    });
  }

  /** @returns why the answer changes nothing, or undefined: it will be applied */
  async #applyLate(
    { planned, result }: Made,
    each: ReadonlyMap<string, HookDecision>,
  ): Promise<string | undefined> {
    if (result.answer === undefined) return result.problem ?? "there is no answer";
    // A final decision drops every side action of every plugin.
    const recipients = planned.concerned.filter(recipient => {
      const action = each.get(recipient)?.action;
      return action === "deliver" || action === "hold";
    });
    if (recipients.length === 0) return "the message was refused";
    const changes = changesOf(result.answer);
    if (changes === undefined) return "it changes nothing";
    const { hook } = planned;
    const { messageId, queueId } = this.#facts;
    const everyone = this.#facts.everyone === true && recipients.length === this.#facts.recipients.length;
    try {
      await this.#host.handOver({
        point: hook.point,
        hook: hook.name,
        pluginId: hook.plugin.id,
        pluginVersion: hook.plugin.version,
        callId: result.callId,
        messageId,
        queueId,
        recipients,
        ...(everyone ? { everyone } : {}),
        changes,
      });
      return undefined;
    } catch (error) {
      this.#host.broke(hook, this.#facts, messageOf(error));
      return messageOf(error);
    }
  }

  #mergeOf(recipient: string): Merge {
    const merge = this.#merges.get(recipient);
    if (merge === undefined) throw new Error("a call is for somebody who is not in the chain");
    return merge;
  }

  #event(record: CallRecord): TimelineEvent {
    return callEvent(record, this.#host.now());
  }
}

function recordOf({ planned, result }: Made): CallRecord {
  const { hook, mode, isDemoted, recipients, concerned } = planned;
  return { hook, mode, isDemoted, result, recipients: recipients.length, concerned };
}

/** @returns undefined: the call failed where no policy applies */
function outcomeOf({ planned: { hook }, result }: Made): HookOutcome | undefined {
  const named = { place: { priority: hook.priority, name: hook.name }, pluginId: hook.plugin.id };
  const origin = { point: hook.point, pluginVersion: hook.plugin.version, callId: result.callId };
  if (result.answer !== undefined) return { kind: "answer", ...named, answer: result.answer, origin };
  const policy = policyOf(hook, result);
  return policy === undefined ? undefined : { kind: "failure", ...named, policy };
}

/** @returns undefined: nothing */
function changesOf(answer: NonNullable<CallResult["answer"]>): LateAnswer["changes"] | undefined {
  const { tagsAdd, tagsRemove, systemFlags, keywords, folder, metadata } = answer;
  const lists = tagsAdd.length + tagsRemove.length + keywords.length + metadata.size;
  if (lists === 0 && systemFlags === 0 && folder === undefined) return undefined;
  return { tagsAdd, tagsRemove, systemFlags, keywords, folder, metadata: Object.fromEntries(metadata) };
}
