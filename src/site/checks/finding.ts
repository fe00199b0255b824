/** One fault, as all checks write it, and the order of several. */
import type { SiteFinding } from "../../wire/site-calls.ts";

export function finding(
  severity: SiteFinding["severity"],
  code: string,
  what: string,
  cause: string,
  fix: string,
): SiteFinding {
  return { code, severity, what, cause, fix };
}

const ORDER = ["error", "warning", "advice"] as const;

/** Worst first, otherwise as they were found. */
export function sorted(found: readonly SiteFinding[]): readonly SiteFinding[] {
  return ORDER.flatMap(severity => found.filter(one => one.severity === severity));
}
