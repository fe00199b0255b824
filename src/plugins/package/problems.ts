/** What is wrong with a package: several problems at once where one does not follow from another, bounded and safe to print. */
import { PluginSecurityError } from "../../core/errors.ts";
import { shown } from "../problem.ts";

/** Problems that are named; the others are counted. */
const MAX_NAMED = 20;

/** A package that is refused as a whole. `publicText` has every problem: they are about what the sender sent. */
export class PackageError extends PluginSecurityError {
  readonly problems: readonly string[];

  /** @param code  `plugin_validation`: it is the author's own folder that cannot become one */
  constructor(what: string, problems: readonly string[], code: PackageErrorCode) {
    const text = problems.join("; ");
    super(code, `${what}: ${text}`, { publicText: text });
    this.problems = problems;
  }
}

export type PackageErrorCode = "plugin_security" | "plugin_validation";

/** Collects problems; `throwIfAny` ends a step of reading. */
export class Problems {
  readonly #what: string;
  readonly #code: PackageErrorCode;
  readonly #texts: string[] = [];
  #more = 0;

  /** @param what  `Cannot read package` */
  constructor(what: string, code: PackageErrorCode = "plugin_security") {
    this.#what = what;
    this.#code = code;
  }

  add(text: string): void {
    if (this.#texts.length < MAX_NAMED) this.#texts.push(printable(text));
    else this.#more += 1;
  }

  get list(): readonly string[] {
    return this.#more === 0 ? this.#texts : [...this.#texts, `and ${this.#more} more`];
  }

  /** @throws {PackageError} */
  throwIfAny(): void {
    if (this.#texts.length > 0) throw new PackageError(this.#what, this.list, this.#code);
  }

  /** What makes it useless to look any further. */
  fail(text: string): never {
    this.#texts.push(printable(text));
    throw new PackageError(this.#what, this.list, this.#code);
  }
}

/** Longest problem: keys of a hostile `manifest.json` are as long as it likes. */
const MAX_TEXT = 500;

/** A terminal must not be told to write backwards, nor to do anything. */
function printable(text: string): string {
  const cut = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text;
  return cut.replace(/[^\x20-\x7e…]/gu, char => `\\u{${char.codePointAt(0)?.toString(16)}}`);
}

/** A name out of a package, in quotes, not long. */
export function quoted(name: string): string {
  return shown(name);
}
