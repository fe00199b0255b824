/** What is wrong with a package: several problems at once where one does not follow from another, bounded and safe to print. */
import { PluginSecurityError } from "../../core/errors.ts";
import { shown } from "../problem.ts";

/** Problems that are named; the others are counted. */
const MAX_NAMED = 20;

/** A package that is refused as a whole. `publicText` has every problem: they are about what the sender sent. */
export class PackageError extends PluginSecurityError {
  readonly problems: readonly string[];

  constructor(what: string, problems: readonly string[]) {
    const text = problems.join("; ");
    super("plugin_security", `${what}: ${text}`, { publicText: text });
    this.problems = problems;
  }
}

/** Collects problems; `throwIfAny` ends a step of reading. */
export class Problems {
  readonly #what: string;
  readonly #texts: string[] = [];
  #more = 0;

  /** @param what  `Cannot read package` */
  constructor(what: string) {
    this.#what = what;
  }

  add(text: string): void {
    if (this.#texts.length < MAX_NAMED) this.#texts.push(text);
    else this.#more += 1;
  }

  get list(): readonly string[] {
    return this.#more === 0 ? this.#texts : [...this.#texts, `and ${this.#more} more`];
  }

  /** @throws {PackageError} */
  throwIfAny(): void {
    if (this.#texts.length > 0) throw new PackageError(this.#what, this.list);
  }

  /** What makes it useless to look any further. */
  fail(text: string): never {
    this.#texts.push(text);
    throw new PackageError(this.#what, this.list);
  }
}

/** A name out of a package, in quotes, without controls, not long. */
export function quoted(name: string): string {
  // `shown` leaves what is not ASCII as it is; a terminal must not be told to write backwards.
  return shown(name).replace(/[^\x20-\x7e…]/gu, char => `\\u{${char.codePointAt(0)?.toString(16)}}`);
}
