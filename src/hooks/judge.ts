/** Step 4 of the message path: what a plugin's answer is worth, in time and after it. */
import { type AnsweredCall, type CheckedAnswer, checkAnswer, type DeniedItem } from "../core/answer.ts";
import type { CallId } from "../core/ids.ts";
import type { Hook } from "./hook-set.ts";

export interface Judgement {
  readonly outcome: "ok" | "malformed" | "violation";
  /** Set iff `outcome` is `ok`. */
  readonly answer: CheckedAnswer | undefined;
  /** Why it failed, in our words. */
  readonly problem: string | undefined;
  readonly denied: readonly DeniedItem[];
  readonly unknownFields: number;
}

export function judge(bytes: Uint8Array, callId: CallId, hook: Hook): Judgement {
  const { plugin, point } = hook;
  return verdictOn(bytes, callId, hook, point, denied =>
    plugin.onViolation(point) === "error" ? denied : [],
  );
}

/**
 * An answer that came after the time-out is taken as one of `post_receive`: it changes the stored message and decides nothing. What
 * is dropped for that alone is no violation: in time it would have been right.
 */
export function judgeLate(bytes: Uint8Array, callId: CallId, hook: Hook): Judgement {
  const { plugin, point } = hook;
  return verdictOn(bytes, callId, hook, "post_receive", denied => {
    if (denied.length === 0 || plugin.onViolation(point) === "drop") return [];
    const inTime = checkAnswer(bytes, callOf(plugin, callId), plugin.grants, point);
    if (inTime.kind === "malformed") return denied;
    return denied.filter(late =>
      inTime.denied.some(({ item, why }) => item === late.item && why === late.why),
    );
  });
}

function verdictOn(
  bytes: Uint8Array,
  callId: CallId,
  { plugin }: Hook,
  point: Hook["point"],
  violations: (denied: readonly DeniedItem[]) => readonly DeniedItem[],
): Judgement {
  const checked = checkAnswer(bytes, callOf(plugin, callId), plugin.grants, point);
  if (checked.kind === "malformed") {
    const { problem } = checked;
    return { outcome: "malformed", answer: undefined, problem, denied: [], unknownFields: 0 };
  }
  const { answer, denied } = checked;
  const unknownFields = checked.unknown.length;
  if (violations(denied).length > 0) {
    const problem = "the answer went beyond the grant";
    return { outcome: "violation", answer: undefined, problem, denied, unknownFields };
  }
  return { outcome: "ok", answer, problem: undefined, denied, unknownFields };
}

function callOf({ id, bccAllowed }: Hook["plugin"], callId: CallId): AnsweredCall {
  return { callId, pluginId: id, ...(bccAllowed === undefined ? {} : { bccAllowed }) };
}
