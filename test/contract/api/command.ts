/** Command lines of `mairust` in this process, with the configuration of a test's service. */
import { runCommandLine } from "../../../src/cli/run.ts";
import type { Standalone } from "../../../src/cli/standalone.ts";
import { captured, surroundings } from "../../unit/cli/terminal.ts";

export interface Printed {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface CommandOptions {
  /** Of the terminal; default 200. */
  readonly columns?: number;
  readonly isTerminal?: boolean;
  readonly stdin?: Buffer | undefined;
  readonly standalone?: Partial<Standalone>;
}

export async function command(
  configFile: string,
  args: readonly string[],
  { columns = 200, isTerminal = false, stdin, standalone = {} }: CommandOptions = {},
): Promise<Printed> {
  const terminal = captured({ columns, isTerminal, ...(stdin === undefined ? {} : { stdin }) });
  const code = await runCommandLine(["--config", configFile, ...args], surroundings(terminal, standalone));
  return { code, out: terminal.printed(), err: terminal.complained() };
}
