/** The end of a plugin's log file, for people: bounded, and from where somebody stopped reading. */
import { open } from "node:fs/promises";
import { join } from "node:path";
import type { PluginLogPart } from "../core/ports/plugin-admin.ts";

/** What is read of the file at a time. */
const MAX_BYTES = 1_048_576;

/**
 * @param after  where the last reading ended; a file that is shorter was rotated meanwhile and is read from its beginning
 * @param lines  the last so many; past `after`: the first so many
 */
export async function readPluginLog(
  logDir: string,
  id: string,
  { lines, after }: { readonly lines: number; readonly after: number | undefined },
): Promise<PluginLogPart> {
  let file: Awaited<ReturnType<typeof open>>;
  try {
    file = await open(join(logDir, "plugins", `${id}.log`), "r");
  } catch (error) {
    // It has not written anything yet.
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return { lines: [], end: 0 };
    throw error;
  }
  try {
    const { size } = await file.stat();
    const goesOn = after !== undefined && after <= size;
    const start = goesOn ? after : after === undefined ? Math.max(0, size - MAX_BYTES) : 0;
    const buffer = Buffer.alloc(Math.min(MAX_BYTES, size - start));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, start);
    return part(buffer.subarray(0, bytesRead), start, lines, after === undefined);
  } finally {
    await file.close();
  }
}

function part(bytes: Buffer, start: number, lines: number, isTail: boolean): PluginLogPart {
  // What is being written has no end yet.
  const whole = bytes.subarray(0, bytes.lastIndexOf(0x0a) + 1);
  const all = whole.toString("utf8").split("\n").slice(0, -1);
  // The first of a tail may have been cut.
  const usable = isTail && start > 0 ? all.slice(1) : all;
  const taken = isTail ? usable.slice(-lines) : usable.slice(0, lines);
  const end = isTail ? whole.length : Buffer.byteLength(taken.map(line => `${line}\n`).join(""));
  return { lines: taken, end: start + end };
}
