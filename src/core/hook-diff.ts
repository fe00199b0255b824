/**
 * What a hook in shadow would have done, compared with what was done: one entry for each thing that would be otherwise. Metadata does
 * not count: a plugin that writes down a score about each message changes nothing that a reader sees. Pure.
 */
import type { CheckedAnswer } from "./answer.ts";
import { type FailurePolicy, STRENGTH } from "./merge.ts";
import type { FinalAction, HookDecision } from "./ports/hooks.ts";

export const DIFF_FIELDS = [
  "action",
  "folder",
  "tags",
  "flags",
  "headers",
  "append_text",
  "recipients",
] as const;
export type DiffField = (typeof DIFF_FIELDS)[number];

export interface Difference {
  readonly field: DiffField;
  /** No text of the mail: names of actions, folders, tags, flags, header fields, and counts. */
  readonly would: string;
  readonly was: string;
}

/** What the call came to. */
export type ShadowOutcome =
  | { readonly kind: "answer"; readonly answer: CheckedAnswer }
  | { readonly kind: "failure"; readonly policy: FailurePolicy };

/** @param decision  of the point, for one recipient, without the hook */
export function differencesOf(outcome: ShadowOutcome, decision: HookDecision): readonly Difference[] {
  const action: FinalAction =
    outcome.kind === "answer"
      ? outcome.answer.action
      : outcome.policy === "allow"
        ? "deliver"
        : outcome.policy;
  const differences: Difference[] = [];
  if (STRENGTH[action] > STRENGTH[decision.action])
    differences.push({ field: "action", would: action, was: decision.action });
  // What is refused or deferred carries no changes, whoever wanted them.
  const isFinal = [action, decision.action].some(one => one === "reject" || one === "tempfail");
  if (isFinal || outcome.kind === "failure") return differences;
  return [...differences, ...changesOf(outcome.answer, decision)];
}

function changesOf(answer: CheckedAnswer, decision: HookDecision): readonly Difference[] {
  const { tags, flags, headers, appendText, addBcc } = decision;
  const tagged = [
    ...answer.tagsAdd.filter(tag => !tags.includes(tag)).map(tag => `+${tag}`),
    ...answer.tagsRemove.filter(tag => tags.includes(tag)).map(tag => `-${tag}`),
  ];
  const flagged = [
    ...((answer.systemFlags & ~flags.system) === 0 ? [] : ["system flags"]),
    ...answer.keywords.filter(word => !flags.keywords.includes(word)),
  ];
  const added = answer.headers.filter(
    ([name, value]) => !headers.some(one => one[0] === name && one[1] === value),
  );
  const appends = answer.appendText !== undefined && !appendText.includes(answer.appendText);
  const bcc = answer.addBcc.filter(address => !addBcc.includes(address));
  return [
    ...(answer.folder === undefined || answer.folder === decision.folder
      ? []
      : [{ field: "folder" as const, would: answer.folder, was: decision.folder ?? "" }]),
    ...listed("tags", tagged, tags),
    ...listed("flags", flagged, flags.keywords),
    ...listed(
      "headers",
      added.map(([name]) => name),
      headers.map(([name]) => name),
    ),
    ...(appends ? [{ field: "append_text" as const, would: "text appended", was: "" }] : []),
    ...listed("recipients", bcc.length === 0 ? [] : [`${bcc.length} more`], []),
  ];
}

function listed(field: DiffField, would: readonly string[], was: readonly string[]): readonly Difference[] {
  return would.length === 0 ? [] : [{ field, would: would.join(" "), was: was.join(" ") }];
}
