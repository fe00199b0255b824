/**
 * Steps 3 and 4 of the message path for one hook: payload from grants, the call within its time, the answer checked. Whatever
 * goes wrong becomes an outcome; nothing is thrown.
 */

import { type CheckedAnswer, checkAnswer, type DeniedItem } from "../core/answer.ts";
import type { Deadline } from "../core/deadline.ts";
import { MairustError, messageOf } from "../core/errors.ts";
import type { CallId } from "../core/ids.ts";
import { type MessageState, project, sentFields } from "../core/permissions.ts";
import type { MessageFacts } from "../core/ports/hooks.ts";
import type { PluginTransport } from "../core/ports/plugin-transport.ts";
import { deadlineAfter, within } from "../platform/deadline.ts";
import type { Hook } from "./hook-set.ts";
import type { MessageViews } from "./message-views.ts";
import type { PayloadRoom } from "./payload-room.ts";

export type CallOutcome =
  | "ok"
  | "timeout"
  | "error"
  /** The answer broke the contract. */
  | "malformed"
  /** The answer went beyond the grant, and the plugin's manifest wants that to fail. */
  | "violation"
  /** In shadow only: not called, because too many shadow calls are under way. */
  | "skipped";

export interface CallResult {
  readonly callId: CallId;
  readonly outcome: CallOutcome;
  /** Set iff `outcome` is `ok`. */
  readonly answer: CheckedAnswer | undefined;
  /** Why it failed, in our words. */
  readonly problem: string | undefined;
  readonly denied: readonly DeniedItem[];
  readonly unknownFields: number;
  readonly ms: number;
  /** What left: the names of granted fields, and octets. 0 when the payload never left. */
  readonly fields: readonly string[];
  readonly bytesSent: number;
}

/** What a payload was before it left; the place where the egress ledger hears of it. */
export interface EgressRecord {
  readonly callId: CallId;
  readonly hook: string;
  readonly pluginId: string;
  readonly fields: readonly string[];
  readonly payload: Uint8Array;
}

export interface CallDeps {
  readonly views: MessageViews;
  readonly room: PayloadRoom;
  readonly newCallId: () => CallId;
  /** Awaited before a payload leaves; a failure keeps it in. */
  readonly beforeSend?: (record: EgressRecord, deadline: Deadline) => Promise<void>;
}

/**
 * Call one hook's plugin once. Never rejects.
 * @param chain  the deadline of the whole chain; undefined: the hook's own time-out alone counts
 */
export async function callHook(
  deps: CallDeps,
  hook: Hook,
  facts: MessageFacts,
  state: MessageState,
  chain: Deadline | undefined,
): Promise<CallResult> {
  const startedAt = performance.now();
  const callId = deps.newCallId();
  const deadline = deadlineAfter(hook.timeoutMs, chain);
  const sent = { fields: [] as readonly string[], bytes: 0 };
  try {
    const answer = await within(exchange(deps, hook, facts, state, callId, deadline, sent), deadline);
    return {
      callId,
      ...judge(answer, callId, hook),
      ms: elapsed(startedAt),
      fields: sent.fields,
      bytesSent: sent.bytes,
    };
  } catch (error) {
    const late = deadline.signal.aborted || (error instanceof MairustError && error.code === "deadline");
    return {
      callId,
      outcome: late ? "timeout" : "error",
      answer: undefined,
      problem: late ? `no answer within ${Math.round(elapsed(startedAt))} ms` : messageOf(error),
      denied: [],
      unknownFields: 0,
      ms: elapsed(startedAt),
      fields: sent.fields,
      bytesSent: sent.bytes,
    };
  } finally {
    deadline.dispose();
  }
}

/** The result of a call that was not made. */
export function skippedCall(callId: CallId, problem: string): CallResult {
  return {
    callId,
    outcome: "skipped",
    answer: undefined,
    problem,
    denied: [],
    unknownFields: 0,
    ms: 0,
    fields: [],
    bytesSent: 0,
  };
}

async function exchange(
  deps: CallDeps,
  hook: Hook,
  facts: MessageFacts,
  state: MessageState,
  callId: CallId,
  deadline: Deadline,
  sent: { fields: readonly string[]; bytes: number },
): Promise<Uint8Array> {
  const { plugin } = hook;
  const transport = loadedTransport(hook);
  const view = await deps.views.view(facts, plugin.grants);
  const payload = project(view, state, plugin.grants, {
    callId,
    point: hook.point,
    mode: hook.mode,
    attempt: 1,
    deadlineMs: deadline.remainingMs(),
    pluginId: plugin.id,
    pluginVersion: plugin.version,
    settings: plugin.settings,
  });
  const bytes = Buffer.from(JSON.stringify(payload));
  const release = await deps.room.acquire(bytes.byteLength, deadline);
  try {
    const fields = sentFields(payload);
    await deps.beforeSend?.(
      { callId, hook: hook.name, pluginId: plugin.id, fields, payload: bytes },
      deadline,
    );
    // The hook may have been given up while it waited: then nothing leaves.
    deadline.signal.throwIfAborted();
    sent.fields = fields;
    sent.bytes = bytes.byteLength;
    return await transport.call(bytes, { callId, traceparent: "" }, deadline);
  } finally {
    release();
  }
}

function loadedTransport({ plugin }: Hook): PluginTransport {
  if (plugin.transport !== undefined) return plugin.transport;
  const why = plugin.failure ?? "it is not loaded";
  throw new MairustError("plugin_load", `Cannot call plugin "${plugin.id}": ${why}`);
}

function judge(
  bytes: Uint8Array,
  callId: CallId,
  hook: Hook,
): Pick<CallResult, "outcome" | "answer" | "problem" | "denied" | "unknownFields"> {
  const checked = checkAnswer(bytes, { callId, pluginId: hook.plugin.id }, hook.plugin.grants, hook.point);
  if (checked.kind === "malformed") {
    return {
      outcome: "malformed",
      answer: undefined,
      problem: checked.problem,
      denied: [],
      unknownFields: 0,
    };
  }
  const { answer, denied } = checked;
  const unknownFields = checked.unknown.length;
  if (denied.length > 0 && hook.plugin.onViolation(hook.point) === "error") {
    return {
      outcome: "violation",
      answer: undefined,
      problem: "the answer went beyond the grant",
      denied,
      unknownFields,
    };
  }
  return { outcome: "ok", answer, problem: undefined, denied, unknownFields };
}

/** Milliseconds, to the microsecond: more digits are noise. */
function elapsed(startedAt: number): number {
  return Math.round((performance.now() - startedAt) * 1000) / 1000;
}
