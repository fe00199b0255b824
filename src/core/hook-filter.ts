/**
 * Which messages a hook is called for. Patterns run on a linear-time engine (RE2), so none can stall mail; they match the
 * whole address or field value, without case.
 */
import { RE2JS } from "re2js";
import { MairustError, messageOf } from "./errors.ts";
import type { HeaderView } from "./permissions-headers.ts";
import type { MessageFacts } from "./ports/hooks.ts";
import { cutUtf8 } from "./utf8-cut.ts";

/** As in the configuration: "" and 0 mean "any". */
export interface HookFilter {
  readonly recipient?: string;
  readonly sender?: string;
  /** Pattern for the recipient's domain. */
  readonly domain?: string;
  readonly direction?: "inbound" | "outbound";
  readonly authenticated?: boolean;
  readonly size_min_bytes?: number;
  readonly size_max_bytes?: number;
  /** Field name → pattern; "" = the field is there. All must hold. */
  readonly header?: Readonly<Record<string, string>>;
  /** 0..100. */
  readonly sample_percent?: number;
}

/** True when the hook is to be called for this recipient of the message. */
export type HookMatcher = (facts: MessageFacts, recipient: string, headers: HeaderView) => boolean;

/** Longest pattern, in UTF-16 units, and longest text that one is matched against, in bytes. */
const MAX_PATTERN = 1000;
const MAX_SUBJECT_BYTES = 8192;

/**
 * @param sampleKey  of the hook: two hooks with the same percentage see different samples
 * @throws {MairustError} `config_invalid`: a pattern that the engine does not take (no look-around, no back references)
 */
export function compileFilter(filter: HookFilter, sampleKey: string): HookMatcher {
  const recipient = compilePattern(filter.recipient);
  const sender = compilePattern(filter.sender);
  const domain = compilePattern(filter.domain);
  const headers = Object.entries(filter.header ?? {}).map(
    ([name, pattern]) => [name.toLowerCase(), compilePattern(pattern)] as const,
  );
  const {
    direction,
    authenticated,
    size_min_bytes: min = 0,
    size_max_bytes: max = 0,
    sample_percent: percent = 100,
  } = filter;
  const ofMessage = oncePerMessage(
    (facts, view) =>
      (direction === undefined || facts.direction === direction) &&
      (authenticated === undefined || (facts.authUser !== undefined) === authenticated) &&
      facts.sizeBytes >= min &&
      (max === 0 || facts.sizeBytes <= max) &&
      isSampled(`${facts.messageId}\0${sampleKey}`, percent) &&
      sender(facts.mailFrom) &&
      headers.every(([name, matches]) => view.valuesOf(name).some(matches)),
  );
  return (facts, address, view) =>
    recipient(address) && domain(address.slice(address.lastIndexOf("@") + 1)) && ofMessage(facts, view);
}

/** A thousand recipients are asked about one by one; what a large header says is the same for all of them. */
function oncePerMessage(
  matches: (facts: MessageFacts, headers: HeaderView) => boolean,
): (facts: MessageFacts, headers: HeaderView) => boolean {
  const known = new WeakMap<MessageFacts, boolean>();
  return (facts, headers) => {
    const before = known.get(facts);
    if (before !== undefined) return before;
    const found = matches(facts, headers);
    known.set(facts, found);
    return found;
  };
}

/** @returns why the engine does not take a pattern, or undefined */
export function patternProblem(pattern: string): string | undefined {
  try {
    compilePattern(pattern);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

function compilePattern(pattern: string | undefined): (text: string) => boolean {
  if (pattern === undefined || pattern === "") return () => true;
  if (pattern.length > MAX_PATTERN) {
    throw new MairustError(
      "config_invalid",
      `Cannot use a pattern of ${pattern.length} characters: at most ${MAX_PATTERN}`,
    );
  }
  try {
    const compiled = RE2JS.compile(pattern, RE2JS.CASE_INSENSITIVE);
    return text => compiled.testExact(cutUtf8(text, MAX_SUBJECT_BYTES));
  } catch (error) {
    throw new MairustError("config_invalid", `Cannot use pattern "${pattern}": ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** The same message is in the sample every time it comes by. */
function isSampled(key: string, percent: number): boolean {
  return percent >= 100 || (fnv1a(key) / 0x1_0000_0000) * 100 < percent;
}

/** FNV-1a, 32 bits, with the final mixing of MurmurHash3: short keys spread evenly. */
function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
