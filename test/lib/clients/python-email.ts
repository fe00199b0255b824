/** What a client that uses Python's `email` package makes of messages: `python-email.py` runs the client's own code on them. */
import { join } from "node:path";
import { packageRoot } from "../../../src/platform/package-root.ts";
import { runProgram, type SyncJob } from "./client.ts";

const LF = 0x0a;
const SCRIPT = join(packageRoot(), "test/lib/clients/python-email.py");

/** @returns in the order of `messages`; undefined: the client cannot write it and passes over it */
export async function asPythonWrites(
  client: "offlineimap" | "getmail",
  messages: readonly Buffer[],
  job: Pick<SyncJob, "dir" | "deadline">,
): Promise<ReadonlyArray<Buffer | undefined>> {
  const input = Buffer.concat(messages.flatMap(bytes => [Buffer.from(`${bytes.length}\n`), bytes]));
  const { stdout } = await runProgram("python3", [SCRIPT, client], job, { input });
  const written: (Buffer | undefined)[] = [];
  for (let at = 0; at < stdout.length; ) {
    const lf = stdout.indexOf(LF, at);
    const size = Number(stdout.toString("latin1", at, lf));
    at = lf + 1 + Math.max(size, 0);
    written.push(size < 0 ? undefined : stdout.subarray(lf + 1, at));
  }
  return written;
}
