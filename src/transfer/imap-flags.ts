/** Flags of IMAP servers in the form of our API, and what changed between two states. Pure. */
import { isKeyword, SYSTEM_FLAG_NAMES } from "../wire/message-arguments.ts";

/** Most keywords of one message that the API takes, and their length. */
const MAX_KEYWORDS = 64;
const MAX_KEYWORD_CHARS = 64;

export interface ReadFlags {
  /** System flags, as we write them. */
  readonly flags: readonly string[];
  readonly keywords: readonly string[];
}

const SYSTEM: ReadonlyMap<string, string> = new Map(
  SYSTEM_FLAG_NAMES.map(name => [name.toLowerCase(), name]),
);

/** What we cannot keep is left out: \Recent, and keywords that are none. */
export function readFlags(found: ReadonlySet<string> | undefined): ReadFlags {
  const all = [...(found ?? [])];
  const flags = all.flatMap(flag => SYSTEM.get(flag.toLowerCase()) ?? []);
  const keywords = all.filter(isUsable).slice(0, MAX_KEYWORDS);
  return { flags: [...new Set(flags)].sort(), keywords: keywords.sort() };
}

const isUsable = (flag: string): boolean =>
  !flag.startsWith("\\") && flag.length <= MAX_KEYWORD_CHARS && isKeyword(flag);

/** Keywords that {@link readFlags} leaves out. */
export function unusableKeywords(found: ReadonlySet<string> | undefined): readonly string[] {
  const words = [...(found ?? [])].filter(flag => !flag.startsWith("\\"));
  const usable = words.filter(isUsable);
  return [...words.filter(word => !isUsable(word)), ...usable.slice(MAX_KEYWORDS)];
}

export const allFlags = ({ flags, keywords }: ReadFlags): readonly string[] => [...flags, ...keywords];

export interface FlagChange {
  readonly add: readonly string[];
  readonly remove: readonly string[];
}

/** What makes `there` follow the change from `before` to `now`; names compare without case, as servers do. */
export function flagChange(
  before: readonly string[],
  now: readonly string[],
  there: readonly string[],
): FlagChange {
  const has = (list: readonly string[], flag: string) =>
    list.some(one => one.toLowerCase() === flag.toLowerCase());
  return {
    add: now.filter(flag => !has(before, flag) && !has(there, flag)),
    remove: before.filter(flag => !has(now, flag) && has(there, flag)),
  };
}

/** Flags that a mailbox keeps. @param permanent  PERMANENTFLAGS; undefined: it does not say */
export function keptFlags(
  flags: readonly string[],
  permanent: ReadonlySet<string> | undefined,
): readonly string[] {
  if (permanent === undefined) return flags;
  const known = new Set([...permanent].map(flag => flag.toLowerCase()));
  const any = known.has("\\*");
  return flags.filter(flag => known.has(flag.toLowerCase()) || (any && !flag.startsWith("\\")));
}
