/**
 * Step 3 of the message path for one hook: room for the payload, the payload from the grants, its entry in the ledger, and the
 * plugin's answer as bytes. Nothing leaves before the ledger has it, nor when the call was given up meanwhile.
 */
import type { Deadline } from "../core/deadline.ts";
import { MairustError } from "../core/errors.ts";
import type { CallId } from "../core/ids.ts";
import { type MessageState, project, sentFields } from "../core/permissions.ts";
import { payloadCost } from "../core/permissions-cost.ts";
import { jsonLine } from "../core/permissions-json.ts";
import type { MessageFacts } from "../core/ports/hooks.ts";
import type { Ledger } from "../core/ports/ledger.ts";
import type { PluginTransport } from "../core/ports/plugin-transport.ts";
import type { Hook } from "./hook-set.ts";
import { ledgerEntry } from "./ledger-entry.ts";
import type { MessageViews } from "./message-views.ts";
import type { PayloadRoom } from "./payload-room.ts";
import { traceparent } from "./traceparent.ts";

export interface ExchangeDeps {
  readonly views: MessageViews;
  readonly room: PayloadRoom;
  readonly now: () => Date;
  /** Hears of every payload before it leaves; a failure keeps it in. */
  readonly ledger: Ledger | undefined;
}

/** One call of one hook, and how far it came. */
export interface Exchange {
  readonly hook: Hook;
  readonly facts: MessageFacts;
  readonly state: MessageState;
  readonly mode: "shadow" | "enforce";
  readonly attempt: number;
  readonly callId: CallId;
  /** Octets of the room for payloads that it holds: what the payload can take, then what it takes. */
  cost: number;
  /** What left: the names of granted fields, and octets. 0: nothing left. */
  fields: readonly string[];
  bytesSent: number;
}

/**
 * @param deadline  the plugin's: the payload tells what is left of it
 * @throws {MairustError} `deadline`; `plugin_load`, `plugin_failed`; `too_many`: no room; `blob_missing`, `blob_damaged`; the ledger's
 */
export async function exchange(deps: ExchangeDeps, call: Exchange, deadline: Deadline): Promise<Uint8Array> {
  const { hook, facts } = call;
  const transport = loadedTransport(hook);
  // A shared call is for more recipients than its chain has.
  const cost =
    payloadCost({ ...facts, recipients: call.state.recipients }, hook.plugin.grants) + hook.settingsBytes;
  const giveBack = await deps.room.acquire(cost, deadline);
  call.cost = cost;
  try {
    const { payload, fields } = await payloadOf(deps, call, transport, deadline);
    // The bound is mostly many times what came of it: others need not wait for that while the plugin thinks.
    call.cost = Math.min(cost, payload.byteLength);
    giveBack(call.cost);
    if (deps.ledger !== undefined) {
      const { callId, mode, attempt, state } = call;
      const { destination } = transport;
      const recipients = state.recipients.length;
      const leaving = { at: deps.now(), callId, mode, attempt, fields, payload, destination, recipients };
      await deps.ledger.record(ledgerEntry(hook, facts, leaving), deadline);
    }
    deadline.signal.throwIfAborted();
    call.fields = fields;
    call.bytesSent = payload.byteLength;
    const trace = traceparent(facts.messageId, call.callId);
    return await transport.call(payload, { callId: call.callId, traceparent: trace }, deadline);
  } finally {
    giveBack();
  }
}

function loadedTransport({ plugin }: Hook): PluginTransport {
  if (plugin.transport !== undefined) return plugin.transport;
  const why = plugin.failure ?? "it is not loaded";
  throw new MairustError("plugin_load", `Cannot call plugin "${plugin.id}": ${why}`);
}

async function payloadOf(
  deps: ExchangeDeps,
  { hook, facts, state, callId, mode, attempt }: Exchange,
  transport: PluginTransport,
  deadline: Deadline,
): Promise<{ readonly payload: Uint8Array; readonly fields: readonly string[] }> {
  const { plugin } = hook;
  const view = await deps.views.view(facts, plugin.grants);
  const payload = project(view, state, plugin.grants, {
    callId,
    point: hook.point,
    mode,
    attempt,
    deadlineMs: deadline.remainingMs(),
    pluginId: plugin.id,
    pluginVersion: plugin.version,
    settings: plugin.settings,
  });
  const bytes = Buffer.from(jsonLine(payload));
  return transport.encode?.(bytes) ?? { payload: bytes, fields: sentFields(payload) };
}
