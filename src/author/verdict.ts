/** What came of a call on trial, as authors see it: the answer after the permission engine, with what was dropped and why. Pure. */
import { FLAG_ANSWERED, FLAG_FLAGGED, FLAG_SEEN } from "../core/ports/store.ts";
import type { CallResult } from "../hooks/call.ts";
import type { PluginVerdict } from "../wire/author-calls.ts";

const FLAGS: ReadonlyArray<readonly [bit: number, name: string]> = [
  [FLAG_SEEN, "\\Seen"],
  [FLAG_ANSWERED, "\\Answered"],
  [FLAG_FLAGGED, "\\Flagged"],
];

export function verdictOf(result: CallResult, pluginId: string): PluginVerdict {
  const { answer, outcome, problem, denied, unknownFields } = result;
  const prefix = `plugin:${pluginId}:`;
  const metadata = [...(answer?.metadata ?? [])].map(([key, value]) => [
    key.startsWith(prefix) ? key.slice(prefix.length) : key,
    value,
  ]);
  return {
    outcome,
    problem: problem ?? null,
    action: answer?.action ?? null,
    code: answer?.reply?.code ?? null,
    reply: answer?.reply?.text ?? null,
    reason: answer?.reason ?? null,
    explanation: answer?.explanation ?? null,
    tags: answer?.tagsAdd ?? [],
    tags_removed: answer?.tagsRemove ?? [],
    flags: answer === undefined ? [] : [...flagNames(answer.systemFlags), ...answer.keywords],
    folder: answer?.folder ?? null,
    metadata: Object.fromEntries(metadata),
    headers: answer?.headers ?? [],
    append_text: answer?.appendText ?? null,
    bcc: answer?.addBcc ?? [],
    usage: answer?.usage ?? null,
    denied,
    unknown_fields: unknownFields,
  };
}

function flagNames(bits: number): readonly string[] {
  return FLAGS.filter(([bit]) => (bits & bit) !== 0).map(([, name]) => name);
}
