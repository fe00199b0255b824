/** One call of one hook on trial: as in the chain, recorded in the ledger as in the chain, and nothing of the answer is applied. */
import type { Deadline } from "../core/deadline.ts";
import type { CallId } from "../core/ids.ts";
import type { MessageFacts } from "../core/ports/hooks.ts";
import type { Ledger } from "../core/ports/ledger.ts";
import { type CallResult, callHook } from "./call.ts";
import type { Hook } from "./hook-set.ts";
import { ledgerEntry } from "./ledger-entry.ts";
import { MessageViews } from "./message-views.ts";
import type { PayloadRoom } from "./payload-room.ts";

export interface TryOptions {
  readonly ledger: Ledger;
  readonly now: () => Date;
  readonly newCallId: () => CallId;
  /** Octets that payloads of tests may take together. */
  readonly room: PayloadRoom;
}

export interface TriedHook {
  /** The filter lets the message through for at least one recipient. */
  readonly matches: boolean;
  readonly result: CallResult;
}

/**
 * Call a hook for all recipients of the facts, whatever its filter says. Never rejects.
 * @param hook  compiled in mode shadow: the plugin is told so
 */
export async function tryHook(
  options: TryOptions,
  hook: Hook,
  facts: MessageFacts,
  deadline: Deadline,
): Promise<TriedHook> {
  const { ledger, now, newCallId, room } = options;
  const views = new MessageViews();
  const { recipients } = facts;
  const deps = {
    views,
    room,
    newCallId,
    beforeSend: (record: Parameters<typeof ledgerEntry>[0]["record"], ends: Deadline) =>
      ledger.record(
        ledgerEntry({ hook, facts, record, attempt: 1, recipients: recipients.length }, now()),
        ends,
      ),
  };
  const headers = views.headers(facts);
  const matches = recipients.some(recipient => hook.matches(facts, recipient, headers));
  const state = { recipients, account: facts.account, tags: facts.tags, provenance: [] };
  return { matches, result: await callHook(deps, hook, facts, state, deadline) };
}
