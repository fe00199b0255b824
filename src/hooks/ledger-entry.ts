/** The egress ledger's entry of one call: made of the very bytes that leave, before they do. */
import { createHash } from "node:crypto";
import type { MessageFacts } from "../core/ports/hooks.ts";
import type { LedgerEntry } from "../core/ports/ledger.ts";
import type { Hook } from "./hook-set.ts";

export interface Leaving {
  readonly at: Date;
  readonly callId: string;
  readonly mode: "shadow" | "enforce";
  readonly attempt: number;
  readonly fields: readonly string[];
  readonly payload: Uint8Array;
  readonly destination: string;
  readonly recipients: number;
}

export function ledgerEntry(hook: Hook, facts: MessageFacts, leaving: Leaving): LedgerEntry {
  const { payload, ...call } = leaving;
  return {
    ...call,
    messageId: facts.messageId,
    queueId: facts.queueId,
    point: hook.point,
    hook: hook.name,
    pluginId: hook.plugin.id,
    pluginVersion: hook.plugin.version,
    grants: hook.grantsWritten,
    bytes: payload.byteLength,
    digest: createHash("sha256").update(payload).digest("hex"),
  };
}
