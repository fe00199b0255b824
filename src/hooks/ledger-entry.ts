/** The ledger's line about one call (message path, step 3): what leaves, who let it, and where it goes. Pure but for the digest. */
import { createHash } from "node:crypto";
import type { Grants } from "../core/permissions-grants.ts";
import type { MessageFacts } from "../core/ports/hooks.ts";
import type { LedgerEntry } from "../core/ports/ledger.ts";
import type { EgressRecord } from "./call.ts";
import type { Hook } from "./hook-set.ts";

export interface LedgerCall {
  readonly hook: Hook;
  readonly facts: MessageFacts;
  readonly record: EgressRecord;
  readonly attempt: number;
  /** How many recipients the call is for. */
  readonly recipients: number;
}

export function ledgerEntry({ hook, facts, record, attempt, recipients }: LedgerCall, at: Date): LedgerEntry {
  const { plugin } = hook;
  return {
    at,
    callId: record.callId,
    messageId: facts.messageId,
    queueId: facts.queueId,
    point: hook.point,
    hook: hook.name,
    pluginId: plugin.id,
    pluginVersion: plugin.version,
    mode: hook.mode,
    attempt,
    fields: record.fields,
    grants: readingGrants(plugin.grants),
    bytes: record.payload.byteLength,
    digest: createHash("sha256").update(record.payload).digest("hex"),
    destination: plugin.transport?.destination ?? "",
    recipients,
  };
}

/** The grants that let something out, as a configuration file writes them; those that change mail say nothing here. */
export function readingGrants(grants: Grants): Readonly<Record<string, unknown>> {
  const { read_headers: headers, read_body: body, read_attachments: attachments } = grants;
  return {
    ...(headers === false ? {} : { read_headers: headers === true ? true : [...headers] }),
    ...(body === "none" ? {} : { read_body: body }),
    ...(attachments === "none" ? {} : { read_attachments: attachments }),
  };
}
