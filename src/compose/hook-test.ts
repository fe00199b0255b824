/** Calls a hook on trial with a message that somebody gave: read like mail, kept on disk while the hook looks at it, gone after. */
import { MairustError } from "../core/errors.ts";
import type { HookPlugin } from "../core/hook-plugin.ts";
import type { CallId, MessageId } from "../core/ids.ts";
import type { MimeLimits } from "../core/mime/limits.ts";
import type { BlobStore } from "../core/ports/blobs.ts";
import type { HookTest, TestMessage } from "../core/ports/hook-admin.ts";
import type { MessageFacts } from "../core/ports/hooks.ts";
import type { Ledger } from "../core/ports/ledger.ts";
import type { Log } from "../core/ports/log.ts";
import { MessageReceiver, type ReceivedMessage } from "../delivery/received-message.ts";
import type { CallResult } from "../hooks/call.ts";
import { policyOf } from "../hooks/event.ts";
import { compileHooks, type Hook } from "../hooks/hook-set.ts";
import type { PayloadRoom } from "../hooks/payload-room.ts";
import { type TriedHook, tryHook } from "../hooks/try-hook.ts";
import { deadlineAfter } from "../platform/deadline.ts";
import type { HookConfig } from "../wire/config/schema.ts";
import type { HooksInUse } from "./hook-views.ts";

/** Somebody waits for the result, whatever the hook's own time-out is. */
const TEST_MS = 30_000;
/** Payloads of all tests together, apart from those of mail: a test never takes mail's room. */
export const TEST_PAYLOAD_BYTES = 8_388_608;

export interface HookTestParts {
  readonly blobs: BlobStore;
  readonly ledger: Ledger;
  readonly log: Log;
  readonly now: () => Date;
  readonly newMessageId: () => MessageId;
  readonly newCallId: () => CallId;
  readonly mimeLimits: () => MimeLimits;
  readonly room: PayloadRoom;
  /** Hears of each call: it costs what others cost. */
  readonly onTried: (plugin: HookPlugin, result: CallResult) => void;
}

/** @throws {MairustError} `config_invalid` (the hook cannot be compiled), `disk_full`, and what reading the content throws */
export async function testHook(
  parts: HookTestParts,
  row: HookConfig,
  { loaded }: HooksInUse,
  message: TestMessage,
): Promise<HookTest> {
  // In shadow: the plugin is told that nothing of its answer is applied.
  const set = compileHooks([{ ...row, mode: "shadow", enabled: true }], loaded.host);
  const [hook] = [...set.values()].flat(2);
  if (hook === undefined)
    throw new MairustError("internal", `Cannot compile hook "${row.name}": nothing came of it`);
  const receiver = new MessageReceiver({
    blobs: parts.blobs,
    id: parts.newMessageId(),
    receivedAt: parts.now(),
    limits: parts.mimeLimits(),
    log: parts.log,
  });
  try {
    for await (const chunk of message.content) await receiver.write(chunk);
  } catch (error) {
    await receiver.abort();
    throw error;
  }
  const received = await receiver.finish();
  const deadline = deadlineAfter(TEST_MS);
  try {
    const tried = await tryHook(parts, hook, factsOf(received, message), deadline);
    parts.onTried(hook.plugin, tried.result);
    return resultOf(hook, tried);
  } finally {
    deadline.dispose();
    await received.staged.discard();
  }
}

function factsOf(received: ReceivedMessage, message: TestMessage): MessageFacts {
  const { structure, staged } = received;
  const { recipients, mailFrom, direction, queueId } = message;
  return {
    messageId: received.id,
    receivedAt: received.receivedAt,
    sizeBytes: staged.sizeBytes,
    queueId,
    direction,
    stage: "store",
    mailFrom,
    recipients,
    observed: new Set(),
    account: recipients.length === 1 ? recipients[0] : undefined,
    client: {},
    authUser: undefined,
    tls: undefined,
    header: structure.headerHead,
    threadKey: structure.threadKey,
    tags: [],
    structure: received.packed,
    content: staged,
  };
}

function resultOf(hook: Hook, { matches, result }: TriedHook): HookTest {
  const { answer } = result;
  return {
    hook: hook.name,
    plugin: hook.plugin.id,
    point: hook.point,
    callId: result.callId,
    matches,
    outcome: result.outcome,
    ms: result.ms,
    fields: result.fields,
    bytes: result.bytesSent,
    verdict: answer?.action,
    reply: answer?.reply === undefined ? undefined : { code: answer.reply.code, text: answer.reply.text },
    reason: answer?.reason,
    explanation: answer?.explanation,
    tags: { add: answer?.tagsAdd ?? [], remove: answer?.tagsRemove ?? [] },
    folder: answer?.folder,
    denied: result.denied,
    problem: result.problem,
    policy: policyOf(hook, result),
  };
}
