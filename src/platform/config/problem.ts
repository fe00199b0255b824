/** Where a configuration value came from, and what is wrong with one. */
import { MairustError } from "../../core/errors.ts";

/** Segments of a key: names, and indexes in lists. */
export type KeyPath = readonly (string | number)[];

export type Origin =
  | { readonly kind: "default" }
  /** `line` from 1, `column` from 1 in UTF-16 units; both 0: the file as a whole. */
  | { readonly kind: "file"; readonly file: string; readonly line: number; readonly column: number }
  | { readonly kind: "environment"; readonly name: string; readonly secretFile?: string }
  | { readonly kind: "option"; readonly text: string };

export interface ConfigProblem {
  readonly origin: Origin;
  /** Of `origin`; 0 where it is no file. */
  readonly line: number;
  readonly column: number;
  /** Dotted key, or "" for a whole file. */
  readonly key: string;
  /** What was found, what is allowed. */
  readonly text: string;
}

const BARE_KEY = /^[A-Za-z0-9_-]+$/;

/** `["domains", "example.com", "stage"]` → `domains."example.com".stage`, as TOML writes it; indexes as `hooks[0]`. */
export function keyText(path: KeyPath): string {
  let out = "";
  for (const segment of path) {
    if (typeof segment === "number") out += `[${segment}]`;
    else out += (out === "" ? "" : ".") + (BARE_KEY.test(segment) ? segment : JSON.stringify(segment));
  }
  return out;
}

/** `/etc/mairust/mairust.toml:12:1` (without a place: the file alone), `environment MAIRUST_LOG__LEVEL`, `-o log.level=x`, `default`. */
export function originText(origin: Origin): string {
  switch (origin.kind) {
    case "default":
      return "default";
    case "file":
      return origin.line === 0 ? origin.file : `${origin.file}:${origin.line}:${origin.column}`;
    case "environment":
      return `environment ${origin.name}`;
    case "option":
      return `-o ${origin.text}`;
  }
}

export function problem(origin: Origin, key: string, text: string): ConfigProblem {
  const { line, column } = origin.kind === "file" ? origin : { line: 0, column: 0 };
  return { origin, line, column, key, text };
}

/** Everything that is wrong with the configuration, at once. The CLI exits with 78 (EX_CONFIG). */
export class ConfigError extends MairustError {
  readonly problems: readonly ConfigProblem[];

  /** @param unsorted  any number; those of one file are put in the order of their lines, files keep theirs */
  constructor(unsorted: readonly ConfigProblem[]) {
    const problems = inFileOrder(unsorted);
    const first = problems[0];
    const count = `${problems.length} ${problems.length === 1 ? "problem" : "problems"}`;
    super(
      "config_invalid",
      `Cannot use the configuration: ${count}${first === undefined ? "" : `; ${line(first)}`}`,
      {
        publicText: "the configuration has errors",
      },
    );
    this.problems = problems;
  }

  /** For a terminal: one problem per line, then the count. */
  format(): string {
    const count = this.problems.length;
    return `${this.problems.map(line).join("\n")}\n${count} ${count === 1 ? "problem" : "problems"} in the configuration\n`;
  }
}

function line({ origin, key, text }: ConfigProblem): string {
  const named = key === "" || (origin.kind === "option" && origin.text === key);
  return `${originText(origin)}: ${named ? "" : `${key}: `}${text}`;
}

function inFileOrder(problems: readonly ConfigProblem[]): readonly ConfigProblem[] {
  const place = ({ origin }: ConfigProblem) => (origin.kind === "file" ? origin.file : "");
  const files = [...new Set(problems.map(place))].filter(file => file !== "");
  const rank = (p: ConfigProblem) => (place(p) === "" ? files.length : files.indexOf(place(p)));
  return problems.toSorted((a, b) => rank(a) - rank(b) || a.line - b.line || a.column - b.column);
}
