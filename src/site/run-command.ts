/**
 * Runs the short commands of Postfix and Dovecot (`postconf`, `doveconf` …) for `setup` and `doctor`. A program that is not installed
 * is an answer, not an error; one that fails is an error that quotes what it said.
 */
import { execFile } from "node:child_process";
import { MairustError } from "../core/errors.ts";
import { deadlineAfter } from "../platform/deadline.ts";

/** System programs may stand outside a user's PATH. */
const SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/** Longest a command may take: they read files and answer; a reload waits for a master process. */
const COMMAND_MS = 30_000;
/** Longest output that is kept. */
const OUTPUT_BYTES = 16 * 1024 * 1024;

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * @returns undefined when there is no such program
 * @throws {MairustError} `deadline` it did not end in time; `too_many` it says more than is kept
 */
export function tryCommand(
  file: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<CommandResult | undefined> {
  return new Promise((resolve, reject) => {
    const deadline = deadlineAfter(COMMAND_MS);
    const options = {
      env: { LC_ALL: "C", ...env, PATH: SYSTEM_PATH },
      maxBuffer: OUTPUT_BYTES,
      signal: deadline.signal,
    };
    const child = execFile(file, [...args], options, (error, stdout, stderr) => {
      deadline.dispose();
      if (error?.code === "ENOENT") resolve(undefined);
      else if (deadline.signal.aborted)
        reject(new MairustError("deadline", `Cannot run "${file}": no end after ${COMMAND_MS} ms`));
      else if (error?.code === "ERR_CHILD_PROCESS_STDIO_MAXBUFFER")
        reject(
          new MairustError("too_many", `Cannot run "${file}": it says more than ${OUTPUT_BYTES} octets`),
        );
      else if (error !== null && typeof error.code !== "number")
        reject(new MairustError("invalid_state", `Cannot run "${file}": ${error.message}`, { cause: error }));
      else resolve({ code: Number(error?.code ?? 0), stdout, stderr });
    });
    child.stdin?.end();
  });
}

/**
 * @returns standard output
 * @throws {MairustError} `not_found` it is not installed; `invalid_state` it failed; `deadline`, `too_many` as {@link tryCommand}
 */
export async function runCommand(
  file: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const result = await tryCommand(file, args, env);
  if (result === undefined) throw new MairustError("not_found", `Cannot run "${file}": it is not installed`);
  if (result.code === 0) return result.stdout;
  const said = [result.stderr.trim(), result.stdout.trim()].filter(text => text !== "").join("\n");
  throw new MairustError("invalid_state", `Cannot run "${file} ${args.join(" ")}": ${said}`);
}
