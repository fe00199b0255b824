/** The timeline event of one hook call: what was sent, what came back, what became of it. */
import type { FailurePolicy } from "../core/merge.ts";
import type { TimelineEvent } from "../core/ports/timeline.ts";
import type { CallResult } from "./call.ts";
import type { Hook } from "./hook-set.ts";

/** Longest text of a plugin that an event keeps, in UTF-16 units. */
const MAX_EVENT_TEXT = 500;

/** One call as the timeline has it. */
export interface CallRecord {
  readonly hook: Hook;
  readonly mode: "shadow" | "enforce";
  readonly isDemoted: boolean;
  readonly result: CallResult;
  /** How many recipients the call was for. */
  readonly recipients: number;
  /** Whom it was for, of this chain's. */
  readonly concerned: readonly string[];
  /** The hook's folder replaced that of an earlier hook. */
  readonly conflict?: { readonly folder: string; readonly replacedHook: string } | undefined;
  /** After the time-out: whether the answer is used, and if not, why. */
  readonly late?: { readonly applied: boolean; readonly why: string | null };
}

/** Texts in `data` come from mail and plugins: they are shown escaped. */
export function callEvent(record: CallRecord, at: Date): TimelineEvent {
  const { hook, result, concerned } = record;
  const { answer } = result;
  const [recipient] = concerned;
  return {
    at,
    kind: "hook_call",
    ...(concerned.length === 1 && recipient !== undefined ? { recipient } : {}),
    data: {
      call_id: result.callId,
      hook: hook.name,
      plugin: hook.plugin.id,
      version: hook.plugin.version,
      mode: record.mode,
      ...(hook.mode === record.mode ? {} : { configured: hook.mode }),
      ...(record.isDemoted ? { demoted: true } : {}),
      outcome: result.outcome,
      ms: result.ms,
      verdict: answer?.action ?? null,
      code: answer?.reply?.code ?? null,
      tags: { add: answer?.tagsAdd ?? [], remove: answer?.tagsRemove ?? [] },
      folder: answer?.folder ?? null,
      reason: shortened(answer?.reason),
      explanation: shortened(answer?.explanation),
      problem: result.problem ?? null,
      policy: policyOf(hook, result) ?? null,
      denied: result.denied,
      unknown_fields: result.unknownFields,
      conflict: record.conflict ?? null,
      recipients: record.recipients,
      bytes_sent: result.bytesSent,
      fields: result.fields,
      ...(record.late === undefined ? {} : { late: record.late }),
    },
  };
}

/** The one way from a failed call to what happens to the mail. @returns undefined: the call did not fail, or no policy applies */
export function policyOf(hook: Hook, { outcome }: CallResult): FailurePolicy | undefined {
  if (outcome === "ok" || outcome === "late" || outcome === "skipped") return undefined;
  if (outcome === "bypassed") return "allow";
  const overBudget = outcome === "over_budget" ? hook.plugin.budget?.overBudget : undefined;
  if (overBudget === "skip") return "allow";
  if (hook.point === "post_receive") return undefined;
  if (overBudget === "defer") return "tempfail";
  return outcome === "timeout" ? hook.onTimeout : hook.onError;
}

function shortened(text: string | undefined): string | null {
  return text === undefined ? null : text.slice(0, MAX_EVENT_TEXT);
}
