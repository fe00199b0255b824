/**
 * One call of one hook: within its time, past the breaker of its plugin, its answer judged. Whatever goes wrong becomes an outcome;
 * nothing is thrown.
 *
 * A hook with `late = "apply"` has two times: mail waits for the first, the call goes on to the second.
 */

import type { CheckedAnswer, DeniedItem } from "../core/answer.ts";
import type { Deadline } from "../core/deadline.ts";
import { MairustError, messageOf } from "../core/errors.ts";
import type { CallId } from "../core/ids.ts";
import type { MessageState } from "../core/permissions.ts";
import type { MessageFacts } from "../core/ports/hooks.ts";
import { deadlineAfter, within } from "../platform/deadline.ts";
import type { CallVerdict, Pass } from "./breaker.ts";
import type { Circuits } from "./circuits.ts";
import { type Exchange, type ExchangeDeps, exchange } from "./exchange.ts";
import type { Hook } from "./hook-set.ts";
import { type Judgement, judge, judgeLate } from "./judge.ts";
import type { LateCalls } from "./late.ts";

export type CallOutcome =
  | "ok"
  /** A good answer after the time-out, where that counts. */
  | "late"
  | "timeout"
  | "error"
  /** The answer broke the contract. */
  | "malformed"
  /** The answer went beyond the grant, and the plugin's manifest wants that to fail. */
  | "violation"
  /** Not called: the plugin failed too often. */
  | "circuit_open"
  /** Not called: somebody switched the plugin's calls off for a while. */
  | "bypassed"
  /** Not called: the plugin's budget of the day is used up. */
  | "over_budget"
  /** In shadow only: not called, because too many shadow calls are under way. */
  | "skipped";

export interface CallResult {
  readonly callId: CallId;
  readonly outcome: CallOutcome;
  /** Set iff `outcome` is `ok` or `late`. */
  readonly answer: CheckedAnswer | undefined;
  /** Why it failed, in our words. */
  readonly problem: string | undefined;
  readonly denied: readonly DeniedItem[];
  readonly unknownFields: number;
  readonly ms: number;
  /** What it says about the plugin. */
  readonly verdict: CallVerdict;
  /** What left: the names of granted fields, and octets. 0 when the payload never left. */
  readonly fields: readonly string[];
  readonly bytesSent: number;
  /** After a time-out: the call goes on, and this is what comes of it. Never rejects, within the hook's late time-out. */
  readonly late?: Promise<CallResult>;
}

export interface CallDeps extends ExchangeDeps {
  readonly newCallId: () => CallId;
  readonly circuits: Circuits;
  /** Undefined: nobody takes late answers, each call ends with its time-out. */
  readonly late: LateCalls | undefined;
}

export interface CallOptions {
  readonly mode: "shadow" | "enforce";
  /** From 1. */
  readonly attempt: number;
  /** The deadline of the whole chain; undefined: the hook's own time-out alone counts. */
  readonly chain: Deadline | undefined;
}

/** Call one hook's plugin once. Never rejects. */
export async function callHook(
  deps: CallDeps,
  hook: Hook,
  facts: MessageFacts,
  state: MessageState,
  options: CallOptions,
): Promise<CallResult> {
  const callId = deps.newCallId();
  // A plugin that is not loaded fails for a reason of its own, and has no circuit.
  const pass = hook.plugin.transport === undefined ? NO_PASS : deps.circuits.admit(hook.plugin);
  if ("refused" in pass) return uncalled(callId, "circuit_open", pass.refused);
  const { mode, attempt, chain } = options;
  const call: Exchange = { hook, facts, state, mode, attempt, callId, cost: 0, fields: [], bytesSent: 0 };
  return new Call(deps, call, pass, chain).run();
}

export type Uncalled = "skipped" | "circuit_open" | "bypassed" | "over_budget";

/** The result of a call that was not made. */
export function uncalled(callId: CallId, outcome: Uncalled, problem: string): CallResult {
  return {
    callId,
    outcome,
    answer: undefined,
    problem,
    denied: [],
    unknownFields: 0,
    ms: 0,
    verdict: "void",
    fields: [],
    bytesSent: 0,
  };
}

function outOfTime(): MairustError {
  return new MairustError("deadline", "Cannot finish in time: the deadline has passed");
}

/** Of a circuit that nobody has: it counts nowhere. */
const NO_PASS: Pass = { generation: -1 };

type Failed = Omit<Judgement, "outcome"> & { readonly outcome: "timeout" | "error" };

class Call {
  readonly #deps: CallDeps;
  readonly #call: Exchange;
  readonly #pass: Pass;
  readonly #chain: Deadline | undefined;
  readonly #startedAt = performance.now();
  readonly #timeoutMs: number;
  readonly #chainLeftMs: number;

  constructor(deps: CallDeps, call: Exchange, pass: Pass, chain: Deadline | undefined) {
    this.#timeoutMs = call.hook.timeoutMs;
    this.#chainLeftMs = chain?.remainingMs() ?? Number.POSITIVE_INFINITY;
    this.#deps = deps;
    this.#call = call;
    this.#pass = pass;
    this.#chain = chain;
  }

  run(): Promise<CallResult> {
    const { lateTimeoutMs } = this.#call.hook;
    const { late } = this.#deps;
    return lateTimeoutMs === undefined || late === undefined
      ? this.#runOnce()
      : this.#runTwoSpeeds(lateTimeoutMs, late);
  }

  async #runOnce(): Promise<CallResult> {
    const { callId, hook } = this.#call;
    const deadline = deadlineAfter(this.#timeoutMs, this.#chain);
    try {
      const bytes = await within(exchange(this.#deps, this.#call, deadline), deadline);
      // On a busy loop the answer can be heard before the timer that ended its time.
      if (deadline.remainingMs() === 0) throw outOfTime();
      return this.#end(judge(bytes, callId, hook));
    } catch (error) {
      return this.#end(this.#failed(error, deadline));
    } finally {
      deadline.dispose();
    }
  }

  /** The plugin has the late time-out, and mail waits for the first one only. */
  async #runTwoSpeeds(lateTimeoutMs: number, late: LateCalls): Promise<CallResult> {
    const { callId, hook } = this.#call;
    const cut = new AbortController();
    const whole = deadlineAfter(lateTimeoutMs, cut.signal);
    const wait = deadlineAfter(this.#timeoutMs, this.#chain);
    const answer = within(exchange(this.#deps, this.#call, whole), whole);
    let leave: (() => void) | undefined;
    try {
      return this.#end(judge(await within(answer, wait), callId, hook));
    } catch (error) {
      const failed = this.#failed(error, wait);
      // A call that has not even room for its payload would only be in the way.
      const canGoOn = wait.signal.aborted && !whole.signal.aborted && this.#call.cost > 0;
      if (canGoOn) leave = late.enter(this.#call.cost);
      if (leave === undefined) return this.#end(failed);
      return { ...this.#result(failed), late: this.#runLate(answer, whole, leave) };
    } finally {
      wait.dispose();
      if (leave === undefined) {
        // Without a place among the late ones the plugin's time is over too.
        cut.abort(outOfTime());
        whole.dispose();
      }
    }
  }

  async #runLate(
    answer: Promise<Uint8Array>,
    whole: ReturnType<typeof deadlineAfter>,
    leave: () => void,
  ): Promise<CallResult> {
    const { callId, hook } = this.#call;
    try {
      const judgement = judgeLate(await answer, callId, hook);
      return this.#end(judgement, judgement.outcome === "ok" ? "late" : judgement.outcome);
    } catch (error) {
      return this.#end(this.#failed(error, whole));
    } finally {
      leave();
      whole.dispose();
    }
  }

  #failed(error: unknown, deadline: Deadline): Failed {
    const isLate = deadline.signal.aborted || (error instanceof MairustError && error.code === "deadline");
    const missing = this.#call.bytesSent === 0 ? "nothing was sent" : "no answer";
    return {
      outcome: isLate ? "timeout" : "error",
      answer: undefined,
      problem: isLate ? `${missing} within ${Math.round(this.#elapsed())} ms` : messageOf(error),
      denied: [],
      unknownFields: 0,
    };
  }

  /** The call is over: the breaker hears of it. */
  #end(judgement: Judgement | Failed, outcome: CallOutcome = judgement.outcome): CallResult {
    const verdict = this.#verdict(outcome);
    this.#deps.circuits.settle(this.#call.hook.plugin, this.#pass, verdict, judgement.problem);
    return { ...this.#result(judgement, outcome), verdict };
  }

  /** What never left, and what the chain cut before its own time, says nothing about the plugin. */
  #verdict(outcome: CallOutcome): CallVerdict {
    if (outcome === "ok" || outcome === "late") return "success";
    const isCutByChain = outcome === "timeout" && this.#isChainShorter() && this.#elapsed() < this.#timeoutMs;
    return this.#call.bytesSent === 0 || isCutByChain ? "void" : "failure";
  }

  #isChainShorter(): boolean {
    return this.#chainLeftMs < this.#timeoutMs || this.#chain?.signal.aborted === true;
  }

  #result(judgement: Judgement | Failed, outcome: CallOutcome = judgement.outcome): CallResult {
    const { callId, fields, bytesSent } = this.#call;
    return { callId, ...judgement, outcome, ms: this.#elapsed(), verdict: "void", fields, bytesSent };
  }

  /** Milliseconds, to the microsecond: more digits are noise. */
  #elapsed(): number {
    return Math.round((performance.now() - this.#startedAt) * 1000) / 1000;
  }
}
