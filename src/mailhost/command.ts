/** Runs a short command of a private mail server; one that fails is an error that quotes what it said. */
import { access, constants } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import type { Deadline } from "../core/deadline.ts";
import { MairustError } from "../core/errors.ts";

/** System programs may stand outside a user's PATH. */
const SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/** Longest output that is kept. */
const OUTPUT_BYTES = 64 * 1024 * 1024;

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly deadline?: Deadline | undefined;
}

/**
 * @returns standard output
 * @throws {MairustError} `not_found` there is no such program; `invalid_state` it failed, with what it printed
 */
export async function runCommand(
  file: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  const cancel = options.deadline === undefined ? {} : { cancelSignal: options.deadline.signal };
  const result = await execa(file, args, {
    env: { LC_ALL: "C", ...options.env, PATH: SYSTEM_PATH },
    maxBuffer: OUTPUT_BYTES,
    stdin: "ignore",
    reject: false,
    ...cancel,
  });
  if (!result.failed) return result.stdout;
  if (result.code === "ENOENT") {
    throw new MairustError("not_found", `Cannot run "${file}": it is not installed (test/setup-host mail)`);
  }
  const said = [result.shortMessage, result.stderr, result.stdout].filter(text => text !== "").join("\n");
  throw new MairustError(result.isCanceled ? "deadline" : "invalid_state", `Cannot run "${file}": ${said}`);
}

/** @returns the absolute path of a system program. @throws {MairustError} `not_found` it is not installed */
export async function programPath(name: string): Promise<string> {
  for (const dir of SYSTEM_PATH.split(":")) {
    const file = join(dir, name);
    if (
      await access(file, constants.X_OK).then(
        () => true,
        () => false,
      )
    )
      return file;
  }
  throw new MairustError("not_found", `Cannot find "${name}": it is not installed (test/setup-host mail)`);
}
