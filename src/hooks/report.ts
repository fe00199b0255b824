/** What the log and the metrics hear of each call, once. Nothing that a plugin says is among it. */
import type { MessageFacts } from "../core/ports/hooks.ts";
import type { Log, LogFields } from "../core/ports/log.ts";
import type { CircuitState } from "./breaker.ts";
import type { CallResult } from "./call.ts";
import type { Hook } from "./hook-set.ts";

/** One finished call, for the metrics. A call that went on after its time-out is finished when that ended. */
export interface HookCallSample {
  readonly hook: string;
  readonly plugin: string;
  readonly outcome: CallResult["outcome"];
  readonly seconds: number;
}

export interface HookMetrics {
  call(sample: HookCallSample): void;
  /** An item of an answer was dropped: `mairust_plugin_denied_actions_total`. */
  denied(plugin: string, item: string, reason: "cap" | undefined): void;
  /** `mairust_plugin_circuit_state`; undefined: the plugin is gone. */
  circuit(plugin: string, state: CircuitState | undefined): void;
}

export interface ReportDeps {
  readonly log: Log;
  readonly metrics: HookMetrics;
}

export interface ReportedCall {
  readonly hook: Hook;
  readonly mode: "shadow" | "enforce";
  readonly result: CallResult;
  readonly recipients: readonly string[];
}

export function reportCall({ log, metrics }: ReportDeps, call: ReportedCall, facts: MessageFacts): void {
  const { hook, mode, result, recipients } = call;
  const { plugin } = hook;
  const named = { hook: hook.name, plugin: plugin.id };
  if (result.late === undefined)
    metrics.call({ ...named, outcome: result.outcome, seconds: result.ms / 1000 });
  for (const { item, reason } of result.denied) metrics.denied(plugin.id, item, reason);
  const fields = { ...messageFields(facts, recipients), ...named, mode, call_id: result.callId };
  if (result.denied.length > 0) {
    const items = result.denied.map(({ item, why }) => `${item}: ${why}`).join("; ");
    log.warn("hook_denied", { ...fields, items });
  }
  // Somebody's will: the timeline has it, and the log has it once.
  if (result.outcome === "bypassed") return;
  if (result.outcome !== "ok" && result.outcome !== "late") {
    const { outcome, ms, problem } = result;
    log.warn("hook_failed", {
      ...fields,
      outcome,
      ms,
      problem,
      ...(result.late ? { goes_on: true } : {}),
    });
  }
}

/** What every line about a message carries; of many recipients the first one and how many there are. */
export function messageFields(facts: MessageFacts, recipients: readonly string[]): LogFields {
  return {
    ...(facts.queueId === "" ? {} : { queue_id: facts.queueId }),
    id: facts.messageId,
    to: recipients[0],
    ...(recipients.length > 1 ? { recipients: recipients.length } : {}),
  };
}
