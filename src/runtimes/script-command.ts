/**
 * One process for one exchange: bytes on its stdin until EOF, its stdout until EOF, its end. stderr is the plugin's log.
 * Fails as `plugin_failed` (it could not be started, exit code other than 0, a signal, a limit, too much output) or with the deadline's
 * reason. Whatever happens, the process and all that it started and we can reach are gone when it settles.
 */
import type { Deadline } from "../core/deadline.ts";
import { messageOf } from "../core/errors.ts";
import { within } from "../platform/deadline.ts";
import { MAX_ANSWER_BYTES } from "../wire/answer.ts";
import { callFailure } from "./call-failure.ts";
import type { PluginProcess, ProcessSpec, StartProcess } from "./plugin-process.ts";
import { readStderr, StderrLines, type StderrSink } from "./stderr-lines.ts";

export interface CommandSpec extends Omit<ProcessSpec, "mode">, StderrSink {
  /** It ended by itself, badly, or by a limit. */
  readonly onCrash?: ((reason: string) => void) | undefined;
}

/** @throws {MairustError} `plugin_failed`, `deadline` */
export async function runCommand(
  spec: CommandSpec,
  input: Uint8Array,
  deadline: Deadline,
  start: StartProcess,
): Promise<Uint8Array> {
  deadline.signal.throwIfAborted();
  const child = startChild(spec, start);
  const endCall = child.beginCall();
  const log = new StderrLines(spec);
  readStderr(child.stderr, log);
  const streams = [child.stdin, child.stdout, child.stderr];
  // A program that does not read all of its input breaks the pipe; what it answers counts all the same.
  for (const stream of streams) stream.on("error", () => {});
  let isOver = false;
  const ended = goodEnd(spec, child, () => isOver);
  const output = outputOf(spec.pluginId, child);
  child.stdin.end(input);
  try {
    const [answer] = await within(Promise.all([output, ended]), deadline);
    return answer;
  } finally {
    isOver = true;
    endCall();
    // Also after a good end: what it left behind goes.
    child.kill();
    await ended.catch(() => {});
    log.end();
    for (const stream of streams) stream.destroy();
  }
}

function startChild(spec: CommandSpec, start: StartProcess): PluginProcess {
  try {
    return start({ ...spec, mode: "spawn" });
  } catch (error) {
    throw callFailure(spec.pluginId, messageOf(error));
  }
}

/**
 * @param isOver  nobody waits for it any more, so its end is our doing
 * @throws {PluginError} `plugin_failed`: it did not come to be, or ended otherwise than with exit code 0
 */
async function goodEnd(
  { pluginId, onCrash }: CommandSpec,
  child: PluginProcess,
  isOver: () => boolean,
): Promise<void> {
  const { code, how, limit } = await child.ended;
  if (code === 0 && limit === undefined) return;
  // An exit code is how a program of one call says that it failed: the breaker counts that. A signal is an end it did not choose.
  const isCrash = code === undefined && !isOver();
  if (isCrash || limit !== undefined) onCrash?.(how);
  throw callFailure(pluginId, `it ended (${how})`);
}

async function outputOf(pluginId: string, child: PluginProcess): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of child.stdout) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES)
      throw callFailure(pluginId, `its answer has more than ${MAX_ANSWER_BYTES} bytes`);
  }
  return Buffer.concat(chunks);
}
