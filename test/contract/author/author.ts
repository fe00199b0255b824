/** The commands for authors, as the command line runs them, without a service; and a project to break. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCommandLine } from "../../../src/cli/run.ts";
import { authorTools } from "../../../src/compose/author.ts";
import { captured, surroundings } from "../../unit/cli/terminal.ts";

/** Is deleted when the process ends. */
export function temporaryFolder(): string {
  const dir = mkdtempSync(join(tmpdir(), "mrauthor"));
  process.once("exit", () => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

export async function mairust(args: readonly string[], stdin?: Buffer) {
  const terminal = captured({ columns: 160, ...(stdin === undefined ? {} : { stdin }) });
  const tools = { author: async () => authorTools };
  const code = await runCommandLine(args, surroundings(terminal, tools));
  return { code, out: terminal.printed(), err: terminal.complained() };
}

export const write = (folder: string, name: string, content: string): void =>
  writeFileSync(join(folder, name), content);
