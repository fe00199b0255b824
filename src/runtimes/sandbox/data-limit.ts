/**
 * RLIMIT_DATA of a plugin's processes. It counts writable private memory whether it is used or not, and V8 of Node.js 21 and later
 * reserves its range for machine code that way: without room for it, Node does not start ("Failed to reserve virtual memory for
 * CodeRange"). That room is no memory: what is used is bounded by the cgroup, or by looking at it.
 */
import { closeSync, openSync, readSync } from "node:fs";
import { basename, isAbsolute, join } from "node:path";

const MIB = 1_048_576;
/** V8 on 64 bit: 512 MiB, and what is rounded up around it. */
const CODE_RANGE_MIB = 576;
/** The last version whose range did not count. */
const NODE_WITHOUT_RANGE = 20;
const SHEBANG_BYTES = 128;

export interface DataLimitSpec {
  readonly folder: string;
  readonly command: readonly string[];
}

/** @param nodeMajor  of the Node that plugins find, which is the service's own */
export function dataLimitBytes(
  { folder, command }: DataLimitSpec,
  memoryMb: number,
  nodeMajor: number = Number(process.versions.node.split(".")[0]),
): number {
  const room = nodeMajor > NODE_WITHOUT_RANGE && isNode(folder, command[0] ?? "") ? CODE_RANGE_MIB : 0;
  return (memoryMb + room) * MIB;
}

function isNode(folder: string, program: string): boolean {
  if (/^node(js)?$/u.test(basename(program))) return true;
  if (!program.includes("/")) return false;
  return /^#!.*\bnode(js)?\b/u.test(firstLine(isAbsolute(program) ? program : join(folder, program)));
}

function firstLine(path: string): string {
  try {
    const file = openSync(path, "r");
    try {
      const head = Buffer.alloc(SHEBANG_BYTES);
      const line = head.toString("latin1", 0, readSync(file, head, 0, SHEBANG_BYTES, 0)).split("\n")[0];
      return line ?? "";
    } finally {
      closeSync(file);
    }
  } catch {
    // It is not there, or not to be read: its start says so.
    return "";
  }
}
