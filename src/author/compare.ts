/** The expected verdict of a fixture against the one that came: every difference, in words. Pure. */
import { isDeepStrictEqual } from "node:util";
import type { Difference, PluginVerdict } from "../wire/author-calls.ts";
import type { Expected } from "../wire/plugin-fixture.ts";

const NONE = "none";

/** @returns what differs; what is not expected is not compared, but for the outcome and denied items */
export function differences(expected: Expected, got: PluginVerdict): readonly Difference[] {
  const found: Difference[] = [];
  const compare = (what: string, want: unknown, have: unknown) => {
    if (!isDeepStrictEqual(want, have)) found.push({ what, expected: shown(want), got: shown(have) });
  };
  const outcome = expected.outcome ?? "ok";
  if (outcome !== got.outcome) {
    const because = got.problem === null ? "" : ` (${got.problem})`;
    found.push({ what: "outcome", expected: outcome, got: `${got.outcome}${because}` });
    // Without an answer everything else differs too, for this one reason.
    if (got.action === null) return found;
  }
  if (expected.action !== undefined) compare("action", actionOf(expected.action), got.action);
  for (const key of ["code", "reply", "reason", "explanation"] as const)
    if (expected[key] !== undefined) compare(key, expected[key], got[key]);
  if (expected.folder !== undefined) compare("folder", expected.folder, got.folder ?? "");
  for (const key of ["tags", "tags_removed", "flags", "bcc"] as const)
    if (expected[key] !== undefined) compare(key, sorted(expected[key]), sorted(got[key]));
  if (expected.headers !== undefined) compareHeaders(expected.headers, got.headers, compare);
  if (expected.append_text !== undefined)
    compare("append_text", expected.append_text, got.append_text !== null);
  for (const [key, value] of Object.entries(expected.metadata ?? {}))
    compare(`metadata.${key}`, value, got.metadata[key]);
  const denied = [...new Set(got.denied.map(({ item }) => item))].sort();
  const allowed = sorted(expected.denied ?? []);
  if (!isDeepStrictEqual(denied, allowed)) {
    const why = got.denied.map(item => `${item.item} (${item.why})`).join(", ");
    found.push({ what: "denied", expected: shown(allowed), got: why === "" ? NONE : why });
  }
  return found;
}

/** `allow` is another word for `deliver`. */
const actionOf = (action: string): string => (action === "allow" ? "deliver" : action);

const sorted = (texts: readonly string[]): readonly string[] => [...new Set(texts)].sort();

function compareHeaders(
  expected: readonly string[],
  got: PluginVerdict["headers"],
  compare: (what: string, want: unknown, have: unknown) => void,
): void {
  // Each line with or without a value: only as much is compared as is expected.
  const lines = got.map(([name, value], i) =>
    expected[i]?.includes(":") === false ? name : `${name}: ${value}`,
  );
  compare("headers", expected, lines);
}

function shown(value: unknown): string {
  if (value === undefined || value === null) return NONE;
  if (Array.isArray(value)) return value.length === 0 ? NONE : value.map(String).join(", ");
  return typeof value === "string" ? (value === "" ? NONE : value) : JSON.stringify(value);
}

/** A verdict as an expectation: everything that it says, for `--update`. */
export function expectationOf(verdict: PluginVerdict): Expected {
  const { outcome, action, code, reason, explanation, folder } = verdict;
  const list = <K extends string>(key: K, values: readonly string[]) =>
    (values.length === 0 ? {} : { [key]: [...values] }) as { readonly [name in K]?: string[] };
  return {
    ...(outcome === "ok" ? {} : { outcome: outcome as NonNullable<Expected["outcome"]> }),
    ...(action === null ? {} : { action: action as NonNullable<Expected["action"]> }),
    ...(code === null ? {} : { code }),
    ...(reason === null ? {} : { reason }),
    ...(action === null ? {} : { tags: [...verdict.tags] }),
    ...list("tags_removed", verdict.tags_removed),
    ...list("flags", verdict.flags),
    ...(folder === null ? {} : { folder }),
    ...(Object.keys(verdict.metadata).length === 0 ? {} : { metadata: verdict.metadata }),
    ...list(
      "headers",
      verdict.headers.map(([name, value]) => `${name}: ${value}`),
    ),
    ...(verdict.append_text === null ? {} : { append_text: true }),
    ...list("bcc", verdict.bcc),
    ...(explanation === null ? {} : { explanation }),
    ...list("denied", [...new Set(verdict.denied.map(({ item }) => item))].sort()),
  };
}
