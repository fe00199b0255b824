/**
 * One decision out of two: what a chain had decided when a message was held, and what the hooks behind it decide when it is released.
 * The action and its reply are the later ones; what is to be done to the message adds up. Pure.
 */
import type { HookDecision } from "./ports/hooks.ts";

/** @param next  of hooks that saw the tags of `first`: its tags are all there are */
export function continueDecision(first: HookDecision, next: HookDecision): HookDecision {
  const provenance = startsWith(next.provenance, first.provenance)
    ? next.provenance
    : [...first.provenance, ...next.provenance];
  const wishes = [...(first.wishes ?? []), ...(next.wishes ?? [])];
  // Nothing of a chain is applied that ended with a refusal: what counts is what had been decided before.
  const isFinal = next.action === "reject" || next.action === "tempfail";
  return {
    action: next.action,
    by: next.by,
    reply: next.reply,
    folder: next.folder ?? first.folder,
    tags: isFinal ? first.tags : next.tags,
    flags: {
      system: first.flags.system | next.flags.system,
      keywords: [...new Set([...first.flags.keywords, ...next.flags.keywords])].sort(),
    },
    metadata: { ...first.metadata, ...next.metadata },
    headers: [...first.headers, ...next.headers],
    appendText: [...first.appendText, ...next.appendText],
    addBcc: [...new Set([...first.addBcc, ...next.addBcc])],
    provenance,
    ...(wishes.length === 0 ? {} : { wishes }),
  };
}

function startsWith(list: HookDecision["provenance"], head: HookDecision["provenance"]): boolean {
  return head.every((entry, i) => JSON.stringify(list[i]) === JSON.stringify(entry));
}
