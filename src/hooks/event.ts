/** The timeline event of one hook call: what was sent, what came back, what became of it. */
import type { MessageFacts } from "../core/ports/hooks.ts";
import type { TimelineEvent } from "../core/ports/timeline.ts";
import type { CallResult } from "./call.ts";
import type { Hook } from "./hook-set.ts";

/** Longest text of a plugin that an event keeps, in UTF-16 units. */
const MAX_EVENT_TEXT = 500;

export interface CallEventExtras {
  /** The hook's folder replaced that of an earlier hook. */
  readonly conflict: { readonly folder: string; readonly replacedHook: string } | undefined;
  /** How many recipients the call was for. */
  readonly recipients: number;
}

/** Texts in `data` come from mail and plugins: they are shown escaped. */
export function callEvent(
  hook: Hook,
  result: CallResult,
  facts: MessageFacts,
  at: Date,
  extras: CallEventExtras,
): TimelineEvent {
  const { answer } = result;
  const [recipient] = facts.recipients;
  return {
    at,
    kind: "hook_call",
    ...(facts.recipients.length === 1 && recipient !== undefined ? { recipient } : {}),
    data: {
      call_id: result.callId,
      hook: hook.name,
      plugin: hook.plugin.id,
      version: hook.plugin.version,
      mode: hook.mode,
      outcome: result.outcome,
      ms: result.ms,
      verdict: answer?.action ?? null,
      code: answer?.reply?.code ?? null,
      tags: { add: answer?.tagsAdd ?? [], remove: answer?.tagsRemove ?? [] },
      folder: answer?.folder ?? null,
      reason: shortened(answer?.reason),
      explanation: shortened(answer?.explanation),
      problem: result.problem ?? null,
      policy: policyOf(hook, result),
      denied: result.denied,
      unknown_fields: result.unknownFields,
      conflict: extras.conflict ?? null,
      recipients: extras.recipients,
      bytes_sent: result.bytesSent,
      fields: result.fields,
    },
  };
}

function policyOf(hook: Hook, result: CallResult): string | null {
  if (result.outcome === "ok" || result.outcome === "skipped") return null;
  return result.outcome === "timeout" ? hook.onTimeout : hook.onError;
}

function shortened(text: string | undefined): string | null {
  return text === undefined ? null : text.slice(0, MAX_EVENT_TEXT);
}
