/** What a command is: one line of the table in `commands.ts`, and a handler that is loaded when it is called. */
import type { LoadOptions } from "../platform/config/load.ts";
import type { Format } from "./output.ts";
import type { Standalone, Terminal } from "./standalone.ts";

export interface CommandContext {
  readonly terminal: Terminal;
  readonly standalone: Standalone;
  /** `--config`, `-o`, environment. */
  readonly load: LoadOptions;
  readonly format: Format;
  /** `-f` was given. */
  readonly formatAsked: boolean;
  readonly args: readonly (string | undefined)[];
  readonly options: Options;
}

/** @returns the exit code; nothing: 0 */
export type Handler = (context: CommandContext) => Promise<number> | Promise<void>;

export interface OptionSpec {
  /** As commander reads it: `--limit <n>`. */
  readonly flags: string;
  readonly description: string;
  /** May be given several times: `Options.texts`. */
  readonly repeats?: boolean;
}

export interface CommandSpec {
  /** Words and arguments: `account alias add <address> <alias>`. */
  readonly usage: string;
  readonly summary: string;
  readonly options?: readonly OptionSpec[];
  /** Lines without `mairust`, at least one. */
  readonly examples: readonly string[];
  readonly load: () => Promise<Handler>;
}

/** Values of a command's options by their camelCase names. */
export class Options {
  readonly #values: Readonly<Record<string, unknown>>;

  constructor(values: Readonly<Record<string, unknown>>) {
    this.#values = values;
  }

  has(name: string): boolean {
    return this.#values[name] === true;
  }

  /** `--no-…` options are true unless given. */
  isOff(name: string): boolean {
    return this.#values[name] === false;
  }

  text(name: string): string | undefined {
    const value = this.#values[name];
    return typeof value === "string" ? value : undefined;
  }

  texts(name: string): readonly string[] {
    const value = this.#values[name];
    return Array.isArray(value) ? value.filter(one => typeof one === "string") : [];
  }
}
