/** What one plugin's processes are held in: its tier, its user, its folders, its way out. Starts them, and knows those that run. */
import { chmodSync, chownSync, lstatSync, mkdirSync, mkdtempSync, opendirSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Confinement, SandboxTier } from "../../core/ports/sandbox.ts";
import type { PluginProcess, ProcessSpec } from "../plugin-process.ts";
import { searchPath, spawnChild } from "../script-child.ts";
import type { Cgroups, ProcessGroup } from "./cgroups.ts";
import { confine, startPlanned } from "./confined-process.ts";
import { dataLimitBytes } from "./data-limit.ts";
import type { Door } from "./door.ts";
import { countThreads, type HostTools, type NamedUser } from "./host-tools.ts";
import { LIFE_CPU_S, launchPlan, MAX_FILE_BYTES, MAX_OPEN_FILES, MAX_PROCESSES } from "./launch-plan.ts";
import { removeTree } from "./remove-tree.ts";

const MIB = 1_048_576;
/** Besides the plugin's own: the launcher or bubblewrap, and prlimit before it becomes the program. */
const OUR_PROCESSES = 4;
/** Where a limit counts all processes of a user: workers of one plugin, and what they start. */
const PROCESSES_OF_USER = 4 * MAX_PROCESSES;
/** Tier 0: only so that a fork bomb ends somewhere; it counts what else the user runs. */
const PROCESSES_BARE = 4096;
/** What a plugin may keep over restarts. Checked when a worker starts. */
export const MAX_PERSISTENT_BYTES = 256 * MIB;
const MAX_PERSISTENT_FILES = 10_000;

export interface JailSpec {
  readonly pluginId: string;
  readonly confinement: Confinement;
  readonly tier: Exclude<SandboxTier, 0>;
  readonly tools: HostTools;
  readonly cgroups: Cgroups | undefined;
  readonly uid: number | undefined;
  readonly door: Door | undefined;
  /** Folder of the host that folders for tier 1 are made in. */
  readonly workRoot: string;
}

/** Processes that run, for what they use together. */
export class Running {
  readonly #processes = new Set<PluginProcess>();

  add(process: PluginProcess): PluginProcess {
    this.#processes.add(process);
    void process.ended.then(() => this.#processes.delete(process));
    return process;
  }

  memoryBytes(): number {
    return [...this.#processes].reduce((sum, process) => sum + (process.memoryBytes?.() ?? 0), 0);
  }
}

/** @throws when the process, its group or its folder cannot be made */
export function startJailed(jail: JailSpec, spec: ProcessSpec): PluginProcess {
  const { confinement, uid, tools, tier, cgroups } = jail;
  const { persistentDir, memoryMb, cpuMs } = confinement;
  if (persistentDir !== undefined) preparePersistent(persistentDir, uid, spec.mode !== "spawn");
  const memoryBytes = memoryMb * MIB;
  const group = cgroups?.make({ memoryBytes, processes: MAX_PROCESSES + OUR_PROCESSES });
  const temporary = tier === 1 && persistentDir === undefined ? makeWork(jail.workRoot, uid) : undefined;
  const leave = () => {
    if (temporary !== undefined) removeTree(temporary);
  };
  try {
    const plan = launchPlan(
      tier === 1 ? { ...tools, bwrap: undefined } : tools,
      {
        ...spec,
        isCall: spec.mode === "spawn",
        confinement,
        uid,
        cgroups: group?.joins ?? [],
        door: jail.door,
        workDir: persistentDir ?? temporary,
        processes: tier === 1 ? processesOf(uid) : MAX_PROCESSES,
      },
      process.pid,
      searchPath(),
    );
    const limits = { cpuMs, memoryBytes };
    return startPlanned(plan, { limits, group, tree: tier === 1 ? "parent" : "namespace", onGone: leave });
  } catch (error) {
    void abandon(group);
    leave();
    throw error;
  }
}

/** Tier 0: limits that the kernel keeps for each process, and our looking after it; no walls. */
export function startBare(
  confinement: Confinement,
  spec: ProcessSpec,
  prlimit: string | undefined,
  user: NamedUser | undefined,
): PluginProcess {
  const { memoryMb, cpuMs } = confinement;
  const call = Math.ceil(cpuMs / 1000) + 1;
  const limits = [
    `--data=${dataLimitBytes(spec, memoryMb)}`,
    `--cpu=${spec.mode === "spawn" ? call : LIFE_CPU_S + call}`,
    `--nproc=${PROCESSES_BARE}`,
    `--nofile=${MAX_OPEN_FILES}`,
    `--fsize=${MAX_FILE_BYTES}`,
    "--core=0",
  ];
  const child = spawnChild(spec, {
    before: prlimit === undefined ? [] : [prlimit, ...limits, "--"],
    user,
  });
  return confine(child, {
    limits: { cpuMs, memoryBytes: memoryMb * MIB },
    group: undefined,
    tree: "group",
    onGone: () => {},
  });
}

async function abandon(group: ProcessGroup | undefined): Promise<void> {
  await group?.remove();
}

function processesOf(uid: number | undefined): number {
  return uid === undefined ? countThreads(process.getuid?.() ?? 0) + PROCESSES_OF_USER : PROCESSES_OF_USER;
}

function makeWork(root: string, uid: number | undefined): string {
  const folder = mkdtempSync(join(root, "work-"));
  if (uid !== undefined) chownSync(folder, uid, uid);
  return folder;
}

/** @throws when it holds more than it may */
function preparePersistent(folder: string, uid: number | undefined, isChecked: boolean): void {
  // What is above it lets others through, since without a mount namespace the plugin's user has to go there by the path.
  mkdirSync(dirname(folder), { recursive: true, mode: 0o711 });
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  chmodSync(folder, 0o700);
  if (uid !== undefined) chownSync(folder, uid, uid);
  if (!isChecked) return;
  const { bytes, files } = sizeOf(folder);
  if (bytes > MAX_PERSISTENT_BYTES || files > MAX_PERSISTENT_FILES)
    throw new Error(
      `its folder "${folder}" holds ${bytes} bytes in ${files} files: at most ${MAX_PERSISTENT_BYTES} in ${MAX_PERSISTENT_FILES}`,
    );
}

function sizeOf(folder: string): { readonly bytes: number; readonly files: number } {
  let bytes = 0;
  let files = 0;
  const folders = [folder];
  for (let next = folders.pop(); next !== undefined; next = folders.pop()) {
    // One entry after the other: a folder of a million files must not hold the service up.
    const opened = opendirSync(next);
    try {
      for (let entry = opened.readSync(); entry !== null; entry = opened.readSync()) {
        files++;
        if (files > MAX_PERSISTENT_FILES) return { bytes, files };
        const path = join(next, entry.name);
        if (entry.isDirectory()) folders.push(path);
        // Another worker may have taken it away, or put something else in its place.
        else if (entry.isFile()) bytes += lstatSync(path, { throwIfNoEntry: false })?.size ?? 0;
      }
    } finally {
      opened.closeSync();
    }
  }
  return { bytes, files };
}
