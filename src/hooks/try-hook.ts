/** One call of one hook on trial: as in the chain, recorded in the ledger as in the chain, and nothing of the answer is applied. */
import type { Deadline } from "../core/deadline.ts";
import type { CallId } from "../core/ids.ts";
import type { MessageFacts } from "../core/ports/hooks.ts";
import type { Ledger } from "../core/ports/ledger.ts";
import type { Log } from "../core/ports/log.ts";
import { type CallResult, callHook } from "./call.ts";
import { Circuits } from "./circuits.ts";
import type { Hook } from "./hook-set.ts";
import { MessageViews } from "./message-views.ts";
import type { PayloadRoom } from "./payload-room.ts";

export interface TryOptions {
  readonly ledger: Ledger;
  readonly log: Log;
  readonly now: () => Date;
  readonly newCallId: () => CallId;
  /** Octets that payloads of tests may take together. */
  readonly room: PayloadRoom;
  /** What the plugin is told. Default: shadow, nothing of its answer is applied. */
  readonly mode?: "shadow" | "enforce";
}

export interface TriedHook {
  /** The filter lets the message through for at least one recipient. */
  readonly matches: boolean;
  readonly result: CallResult;
}

/** Call a hook for all recipients of the facts, whatever its filter and its mode say. Never rejects. */
export async function tryHook(
  options: TryOptions,
  hook: Hook,
  facts: MessageFacts,
  deadline: Deadline,
): Promise<TriedHook> {
  const { ledger, log, now, newCallId, room } = options;
  const views = new MessageViews();
  // A circuit of its own: an open one does not keep the call in, and a call on trial opens none.
  const circuits = new Circuits({ log, now: () => performance.now(), onState: () => undefined });
  const deps = { views, room, ledger, now, newCallId, circuits, late: undefined };
  const { recipients } = facts;
  const headers = views.headers(facts);
  const matches = recipients.some(recipient => hook.matches(facts, recipient, headers));
  const state = { recipients, account: facts.account, tags: facts.tags, provenance: [] };
  const call = { mode: options.mode ?? "shadow", attempt: 1, chain: deadline } as const;
  return { matches, result: await callHook(deps, hook, facts, state, call) };
}
