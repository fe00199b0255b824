/**
 * One process for one exchange: bytes on its stdin until EOF, its stdout until EOF, its end. stderr is the plugin's log.
 * Fails as `plugin_failed` (it could not be started, exit code other than 0, a signal, too much output) or with the deadline's reason.
 * Whatever happens, the process and all it started in its group are gone when it settles.
 */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import type { Deadline } from "../core/deadline.ts";
import { messageOf } from "../core/errors.ts";
import { within } from "../platform/deadline.ts";
import { MAX_ANSWER_BYTES } from "../wire/answer.ts";
import { callFailure } from "./call-failure.ts";
import { type ChildSpec, killGroup, spawnChild } from "./script-child.ts";
import { readStderr, StderrLines, type StderrSink } from "./stderr-lines.ts";

/** @throws {MairustError} `plugin_failed`, `deadline` */
export async function runCommand(
  spec: ChildSpec & StderrSink,
  input: Uint8Array,
  deadline: Deadline,
): Promise<Uint8Array> {
  deadline.signal.throwIfAborted();
  const child = startChild(spec);
  const log = new StderrLines(spec);
  readStderr(child.stderr, log);
  // A program that does not read all of its input breaks the pipe; what it answers counts all the same.
  for (const stream of [child.stdin, child.stdout, child.stderr]) stream?.on("error", () => {});
  const ended = endOf(spec.pluginId, child);
  const output = outputOf(spec.pluginId, child);
  child.stdin?.end(input);
  try {
    const [answer] = await within(Promise.all([output, ended]), deadline);
    return answer;
  } finally {
    // Also after a good end: what it left behind in its group goes.
    killGroup(child);
    await ended.catch(() => {});
    log.end();
    for (const stream of [child.stdin, child.stdout, child.stderr]) stream?.destroy();
  }
}

function startChild(spec: ChildSpec): ChildProcess {
  try {
    return spawnChild(spec);
  } catch (error) {
    throw callFailure(spec.pluginId, messageOf(error));
  }
}

/** @throws {PluginError} `plugin_failed`: it did not come to be, or ended otherwise than with exit code 0 */
async function endOf(pluginId: string, child: ChildProcess): Promise<void> {
  const [code, signal] = await once(child, "exit").catch((error: unknown) => {
    throw callFailure(pluginId, messageOf(error));
  });
  // What it started may hold its output open for ever.
  killGroup(child);
  if (code !== 0) throw callFailure(pluginId, `it ended (${signal ?? `exit code ${code}`})`);
}

async function outputOf(pluginId: string, child: ChildProcess): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of child.stdout ?? []) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES)
      throw callFailure(pluginId, `its answer has more than ${MAX_ANSWER_BYTES} bytes`);
  }
  return Buffer.concat(chunks);
}
