/**
 * Processes around the embedded PostgreSQL: short tools, and whether a process is still there (no message passes here).
 *
 * Failures: a tool that cannot be started or does not end in time is a `MairustError`; a bad exit code is a result.
 * Source: proc(5) for /proc/<pid>/stat.
 */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import type { Deadline } from "../core/deadline.ts";
import { MairustError, messageOf } from "../core/errors.ts";

/** The whole environment of what is started here: nothing of the service's own reaches it. */
export const TOOL_ENV: Readonly<Record<string, string>> = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  LC_ALL: "C",
  TZ: "UTC",
};
/** Output kept of a tool: its end is what explains a failure. */
const MAX_OUTPUT_BYTES = 16_384;

export interface ToolResult {
  /** Exit code; 128 when a signal ended it. */
  readonly code: number;
  /** End of standard output and error together. */
  readonly output: string;
}

/** User and group to run as; both absent: as this process. */
export interface RunAs {
  readonly uid?: number;
  readonly gid?: number;
}

/**
 * Run a command to its end.
 * @throws {MairustError} `internal`: it cannot be started; `deadline`: it was killed when the time was over
 */
export function runTool(command: readonly string[], deadline: Deadline, as: RunAs = {}): Promise<ToolResult> {
  const [file = "", ...args] = command;
  return new Promise((resolve, reject) => {
    let output = "";
    const child = spawn(file, args, {
      ...as,
      cwd: "/",
      env: { ...TOOL_ENV },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const keep = (chunk: Buffer) => {
      output = (output + chunk.toString("utf8")).slice(-MAX_OUTPUT_BYTES);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    const late = () => child.kill("SIGKILL");
    deadline.signal.addEventListener("abort", late, { once: true });
    child.once("error", error => {
      deadline.signal.removeEventListener("abort", late);
      reject(new MairustError("internal", `Cannot run "${file}": ${messageOf(error)}`, { cause: error }));
    });
    child.once("close", code => {
      deadline.signal.removeEventListener("abort", late);
      if (deadline.signal.aborted) {
        reject(new MairustError("deadline", `Cannot finish "${file}" in time`, { context: { output } }));
      } else resolve({ code: code ?? 128, output });
    });
  });
}

/** True when the process runs. A zombie (dead, its parent has not asked) counts as gone, though signals still reach it. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
  return statFields(pid)?.state !== "Z";
}

/** What tells a process from a later one with the same number; "" where there is no /proc. */
export function startTimeOf(pid: number): string {
  return statFields(pid)?.startTime ?? "";
}

/** Arguments of a running process, or undefined where they cannot be read. */
export function commandLineOf(pid: number): readonly string[] | undefined {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    // No such process, or a system without /proc: unknown either way.
    return undefined;
  }
}

function statFields(pid: number): { readonly state: string; readonly startTime: string } | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return undefined;
  }
  // The command name may hold spaces and parentheses: fields are counted from its last one. Field 3 is the state, 22 the start.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return { state: fields[0] ?? "", startTime: fields[19] ?? "" };
}
