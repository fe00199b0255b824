/** What is wrong with a manifest, grants or settings: one entry per error, all at once. */
import { PluginValidationError } from "../core/errors.ts";

export type KeyPath = readonly (string | number)[];

/** Before the place in the file is known. */
export interface Finding {
  readonly path: KeyPath;
  /** What stands there, shortened; "nothing" when the key is missing. */
  readonly found: string;
  readonly allowed: string;
  /** A stable name where other programs look for it, e.g. `PERM_DEP_TAGS`. */
  readonly code?: string;
}

export interface ManifestProblem extends Finding {
  readonly file: string;
  /** From 1; of the nearest table that is there when the key is missing. */
  readonly line: number;
  /** Dotted. */
  readonly key: string;
}

/** Every error of one manifest. */
export class ManifestError extends PluginValidationError {
  readonly problems: readonly ManifestProblem[];

  /** @param what  the kind of file */
  constructor(file: string, problems: readonly ManifestProblem[], what = "plugin manifest") {
    super("plugin_validation", `Cannot use ${what} "${file}": ${problems.map(problemText).join("; ")}`);
    this.problems = problems;
  }
}

/** `plugin.toml:7: entry.protocol: found "htp", allowed: "http", "unix"` */
export function problemText(problem: ManifestProblem): string {
  const code = problem.code === undefined ? "" : `${problem.code}: `;
  return `${problem.file}:${problem.line}: ${problem.key === "" ? "" : `${problem.key}: `}${code}${findingText(problem)}`;
}

export function findingText(finding: Finding): string {
  return `found ${finding.found}, allowed: ${finding.allowed}`;
}

/** Longest value that an error repeats, in UTF-16 units. */
const MAX_SHOWN = 80;

/** A value as an error shows it. */
export function shown(value: unknown): string {
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : `a list of ${value.length}`;
  if (typeof value === "object" && value !== null && !(value instanceof Date)) return "a table";
  const text = typeof value === "string" ? JSON.stringify(value) : String(value);
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}
