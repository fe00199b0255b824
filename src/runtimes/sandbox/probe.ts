/**
 * Whether a tier holds on this host: its limits are run into, by programs that do what a hostile plugin would. What is told of a limit
 * afterwards is what came of it here, not what the tier is supposed to do.
 */
import type { Readable } from "node:stream";
import { messageOf } from "../../core/errors.ts";
import type { LimitName } from "../../core/ports/sandbox.ts";
import { deadlineAfter, within } from "../../platform/deadline.ts";
import type { PluginProcess, ProcessEnd, ProcessSpec } from "../plugin-process.ts";
import { CLING, GROW, LOOK, SPIN } from "./probe-program.ts";

/** For each program; none takes a tenth of it where nothing is wrong. */
const PROBE_MS = 4000;
const SPIN_CPU_MS = 50;
const ENOUGH_CPU_MS = 3000;
export const PROBE_MEMORY_MB = 48;
/** More than a tier allows. */
const FORKS = 400;
const MAX_OUTPUT = 4096;

/** What was tried, and what came of it. */
export interface Finding {
  readonly holds: boolean;
  readonly evidence: string;
}

export type Findings = Readonly<Record<Exclude<LimitName, "memory">, Finding>> & {
  /** One process; and all of a tree together. */
  readonly memory: Finding & { readonly tree: boolean };
};

export interface ProbeParts {
  /** Start a program of Perl in the tier, with {@link PROBE_MEMORY_MB} and this processor time. */
  readonly start: (spec: Pick<ProcessSpec, "command" | "mode">, cpuMs: number) => PluginProcess;
  readonly perl: string;
  /** Number of unshare(2). */
  readonly unshare: number;
}

/** @throws nothing runs in this tier, with what was said about it */
export async function probe({ start, perl, unshare }: ProbeParts): Promise<Findings> {
  const run = (program: string, args: readonly unknown[] = [], cpuMs = ENOUGH_CPU_MS) =>
    start({ mode: "spawn", command: [perl, "-e", program, ...args.map(String)] }, cpuMs);
  const look = await output(run(LOOK, [process.pid, FORKS, unshare]));
  const seen = parseLook(look.text);
  if (seen === undefined) throw new Error(look.error === "" ? look.end.how : look.error);
  const [spin, grow, cling] = await Promise.all([
    output(run(SPIN, [], SPIN_CPU_MS)),
    output(run(GROW, [PROBE_MEMORY_MB])),
    clings(run(CLING)),
  ]);
  return { ...fromLook(seen), ...fromEnds(spin, grow, cling) };
}

type Seen = ReadonlyMap<string, string>;

function fromLook(seen: Seen) {
  const none = (...keys: readonly string[]) => {
    const did = keys.map(key => seen.get(key)).filter(Boolean);
    return { holds: did.length === 0, did: did.join(", ") };
  };
  const finding = (tried: string, { holds, did }: { holds: boolean; did: string }): Finding => ({
    holds,
    evidence: holds ? `${tried}: all refused` : `${tried}: it could (${did})`,
  });
  return {
    files: finding(
      "reading users, hosts and our process, writing outside its folders",
      none("files", "kernel"),
    ),
    network: finding("sockets of every family", none("network")),
    secrets: finding("variables and files that were open", none("secrets")),
    disk: {
      ...finding("filling what it may write to", none("disk")),
      evidence: `stopped after ${seen.get("held")} bytes`,
    },
    processes: {
      holds: none("processes").holds,
      evidence: `stopped after ${seen.get("forks")} processes`,
    },
  };
}

function fromEnds(spin: Told, grow: Told, cling: Finding) {
  const one = grow.text.includes("data");
  const tree = !grow.text.includes("all") && grow.end.limit === "memory";
  return {
    cpu: {
      holds: spin.end.limit === "cpu",
      evidence: `a loop ended with: ${spin.end.how}`,
    },
    memory: {
      holds: one,
      tree,
      evidence: `one process was ${one ? "held" : "not held"}, several together were ${tree ? `ended (${grow.end.how})` : "not"}`,
    },
    wall_time: cling,
    process_tree: cling,
  };
}

interface Told {
  readonly text: string;
  readonly error: string;
  readonly end: ProcessEnd;
}

async function output(child: PluginProcess): Promise<Told> {
  const endCall = child.beginCall();
  const deadline = deadlineAfter(PROBE_MS);
  child.stdin.on("error", () => {}).end();
  try {
    const [text, error] = await within(Promise.all([read(child.stdout), read(child.stderr)]), deadline);
    return { text, error, end: await within(child.ended, deadline) };
  } catch (error) {
    child.kill();
    const end = await child.ended;
    return { text: "", error: messageOf(error), end };
  } finally {
    deadline.dispose();
    endCall();
  }
}

async function read(stream: Readable): Promise<string> {
  let text = "";
  for await (const chunk of stream) if (text.length < MAX_OUTPUT) text += String(chunk);
  return text.trim();
}

/** It says that it is ready, and holds its output open for as long as any of it lives. */
async function clings(child: PluginProcess): Promise<Finding> {
  const deadline = deadlineAfter(PROBE_MS);
  child.stderr.resume();
  child.stdin.on("error", () => {});
  const closed = new Promise<void>(resolve => {
    child.stdout.once("end", resolve);
  });
  try {
    await within(
      new Promise<void>(resolve => {
        child.stdout.once("data", () => resolve());
      }),
      deadline,
    );
    child.kill();
    await within(Promise.all([child.ended, closed]), deadline);
    return { holds: true, evidence: "ended at once, deaf as it was, with a child that had left its group" };
  } catch {
    child.kill();
    return { holds: false, evidence: "something of it lived on" };
  } finally {
    deadline.dispose();
  }
}

/** @returns undefined: it did not come to say anything */
function parseLook(text: string): Seen | undefined {
  if (!text.startsWith("held=")) return undefined;
  return new Map(
    text.split(" ").map(pair => {
      const at = pair.indexOf("=");
      return [pair.slice(0, at), pair.slice(at + 1)] as const;
    }),
  );
}
