/** What hooks want changed → the edits that a milter answers with, and what is told of them (message path, step 5). Pure. */
import type { EnvelopeRecipient } from "../core/envelope.ts";
import type { HookDecision } from "../core/ports/hooks.ts";
import type { MilterEdit } from "../core/ports/milter.ts";
import type { EditReport, EditRules, SafeEdits } from "./message-edits.ts";
import { encodeHeaderValue } from "./prefix.ts";

/** Most blind recipients that all hooks together add to one message. */
export const MAX_MESSAGE_BCC = 20;

export interface BccPlan {
  readonly add: readonly string[];
  readonly skipped: EditReport["skipped"];
}

/** Who is a recipient already is not added again. */
export function planBcc(wanted: readonly string[], recipients: readonly EnvelopeRecipient[]): BccPlan {
  const there = new Set(recipients.map(({ address }) => address.raw.toLowerCase()));
  const fresh = [...new Map(wanted.map(address => [address.toLowerCase(), address]))].flatMap(
    ([key, address]) => (there.has(key) ? [] : [address]),
  );
  const why = `more than ${MAX_MESSAGE_BCC} for one message`;
  return {
    add: fresh.slice(0, MAX_MESSAGE_BCC),
    skipped: fresh.slice(MAX_MESSAGE_BCC).map(what => ({ item: "recipients", what, why })),
  };
}

/** All or none of them are sent. */
export function milterEdits(
  { headers, fields, body }: Pick<SafeEdits, "headers" | "fields" | "body">,
  addBcc: readonly string[],
): readonly MilterEdit[] {
  return [
    ...headers.map(
      ([name, value]) => ({ kind: "add_header", name, value: encodeHeaderValue(value) }) as const,
    ),
    ...fields.map(
      ({ name, index, value }): MilterEdit =>
        index === undefined
          ? { kind: "add_header", name, value }
          : { kind: "change_header", index, name, value },
    ),
    ...(body === undefined ? [] : [{ kind: "replace_body", body } as const]),
    ...addBcc.map(address => ({ kind: "add_recipient", address }) as const),
  ];
}

/**
 * Counts what was dropped, once for each plugin that asked for such a thing: which of several plugins a field is of, the merged decision
 * does not say.
 */
export function countDropped(
  { skipped }: EditReport,
  decisions: readonly HookDecision[],
  denied: EditRules["denied"],
): void {
  for (const item of new Set(skipped.map(one => one.item))) {
    const entries = decisions.flatMap(({ provenance }) => provenance);
    const askers = entries.filter(({ changes }) => changes.some(change => change === item));
    for (const plugin of new Set(askers.map(entry => entry.plugin_id))) denied(plugin, item);
  }
}
