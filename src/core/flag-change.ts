/**
 * What a change of flags that a user makes (IMAP STORE) makes of one message's flags. Pure: the store does it, and a session works out
 * by it what its client takes for granted. Source: RFC 3501 §6.4.6; RFC 5788 §3 (keywords are the same in any case).
 */
import { FLAG_DELETED, type FlagSet } from "./ports/store.ts";

/** Keywords of one entry: past it none is added. */
export const MAX_ENTRY_KEYWORDS = 128;

export type FlagOp = "add" | "remove" | "replace";

/** What of a keyword no client can be shown (RFC 3501 §9, atom): a client that replaces flags has not seen these. */
const SHOWN = /^[^\s(){%*"\\\]\u0000-\u001f\u007f-\u{10ffff}]+$/u;

const folded = (word: string): string => word.toLowerCase();

/**
 * \Deleted, and keywords that no client can see, stay as they are. A keyword that is there already keeps its spelling.
 * @returns `before` itself when nothing changes
 */
export function changeFlags(before: FlagSet, op: FlagOp, { system, keywords }: FlagSet): FlagSet {
  const after = {
    system: systemOf(before.system, op, system & ~FLAG_DELETED),
    keywords: keywordsOf(before.keywords, op, keywords),
  };
  return sameFlags(before, after) ? before : after;
}

function systemOf(before: number, op: FlagOp, wanted: number): number {
  if (op === "add") return before | wanted;
  return op === "remove" ? before & ~wanted : (before & FLAG_DELETED) | wanted;
}

function keywordsOf(before: readonly string[], op: FlagOp, wanted: readonly string[]): readonly string[] {
  const named = new Set(wanted.map(folded));
  if (op === "remove") return before.filter(word => !named.has(folded(word)));
  const kept = op === "add" ? before : before.filter(word => named.has(folded(word)) || !SHOWN.test(word));
  const there = new Set(kept.map(folded));
  const added = wanted.filter(word => !there.has(folded(word)));
  return added.length === 0 ? kept : [...new Set([...kept, ...added])].sort();
}

export function sameFlags(a: FlagSet, b: FlagSet): boolean {
  return a === b || (a.system === b.system && sameKeywords(a.keywords, b.keywords));
}

/** Of lists in the same order. */
export function sameKeywords(a: readonly string[], b: readonly string[]): boolean {
  return a === b || (a.length === b.length && a.every((word, i) => word === b[i]));
}

/**
 * Keywords as they are spelled in a mailbox already; each once, in any case.
 * @param known  of the mailbox, in the order in which they came
 */
export function spelledAsKnown(keywords: readonly string[], known: readonly string[]): readonly string[] {
  const wanted = new Map<string, string>();
  for (const word of keywords) if (!wanted.has(folded(word))) wanted.set(folded(word), word);
  const open = new Set(wanted.keys());
  for (const word of known) if (open.delete(folded(word))) wanted.set(folded(word), word);
  return [...wanted.values()].sort();
}
