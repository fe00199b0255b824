/**
 * The kernel's accounts for a tree of processes (cgroups): memory, processes and processor time of all of it together, and nobody can
 * leave. Below our own group of each controller; version 1 or 2, whichever has the memory controller. What cannot be made is absent, and
 * the limit then says so. Sources: Linux Documentation/admin-guide/cgroup-v1/, cgroup-v2.rst.
 */
import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { sleep } from "../../platform/deadline.ts";
import { type CgroupHierarchy, findHierarchies } from "./cgroup-mounts.ts";
import { deadGroups } from "./leftovers.ts";
import type { Meter } from "./meter.ts";
import { OpenFile } from "./open-file.ts";

/** Which accounts there are for a tree. */
export interface CgroupAbilities {
  readonly version: 1 | 2;
  readonly memory: boolean;
  readonly processes: boolean;
  readonly cpu: boolean;
}

export interface CgroupLimits {
  readonly memoryBytes: number;
  readonly processes: number;
}

/** How long the kernel may take to let go of a group whose processes are gone. */
const REMOVE_TRIES = 100;
const REMOVE_PAUSE_MS = 10;

/** Where groups of this process are made. */
export class Cgroups {
  readonly abilities: CgroupAbilities;
  readonly #parents: ReadonlyMap<string, string>;
  #made = 0;

  private constructor(abilities: CgroupAbilities, parents: ReadonlyMap<string, string>) {
    this.abilities = abilities;
    this.#parents = parents;
  }

  /** @returns undefined: no group can be made, with the reason */
  static open(name: string): Cgroups | { readonly problem: string } {
    const { v1, v2 } = findHierarchies();
    const one = openV1(v1, name);
    if (one.size > 0)
      return new Cgroups(
        abilitiesOf(1, key => one.has(key)),
        one,
      );
    const two = v2 === undefined ? undefined : openV2(v2, name);
    if (two === undefined) return { problem: "no cgroup below that of the service can be made" };
    return new Cgroups(
      abilitiesOf(2, key => key === "cpuacct" || two.controllers.includes(key)),
      new Map([["unified", two.path]]),
    );
  }

  /** @throws when it cannot be made */
  make({ memoryBytes, processes }: CgroupLimits): ProcessGroup {
    const name = String(++this.#made);
    const paths = new Map<string, string>();
    for (const [controller, parent] of this.#parents) {
      const path = join(parent, name);
      mkdirSync(path);
      paths.set(controller, path);
    }
    const group = new ProcessGroup(this.abilities, paths);
    const { version, memory } = this.abilities;
    if (version === 1) {
      set(paths.get("memory"), "memory.limit_in_bytes", memoryBytes);
      trySet(paths.get("memory"), "memory.memsw.limit_in_bytes", memoryBytes);
      set(paths.get("pids"), "pids.max", processes);
    } else {
      const path = paths.get("unified");
      if (memory) {
        set(path, "memory.max", memoryBytes);
        trySet(path, "memory.swap.max", 0);
        trySet(path, "memory.oom.group", 1);
      }
      if (this.abilities.processes) set(path, "pids.max", processes);
    }
    return group;
  }

  /** Groups that are empty go. */
  close(): void {
    for (const path of this.#parents.values()) removeEmpty(path);
  }
}

/** One tree's accounts. */
export class ProcessGroup implements Meter {
  readonly #paths: readonly string[];
  readonly #version: 1 | 2;
  readonly #cpu: OpenFile | undefined;
  readonly #memory: OpenFile | undefined;
  readonly #events: OpenFile | undefined;
  /** The kernel holds the tree to its memory. */
  readonly keepsMemory: boolean;

  constructor({ version, memory, cpu }: CgroupAbilities, paths: ReadonlyMap<string, string>) {
    this.#paths = [...paths.values()];
    this.#version = version;
    this.keepsMemory = memory;
    const unified = paths.get("unified");
    const file = (controller: string, v1: string, v2: string) => {
      const path = version === 1 ? paths.get(controller) : unified;
      return path === undefined ? undefined : new OpenFile(join(path, version === 1 ? v1 : v2));
    };
    this.#cpu = cpu ? file("cpuacct", "cpuacct.usage", "cpu.stat") : undefined;
    this.#memory = memory ? file("memory", "memory.usage_in_bytes", "memory.current") : undefined;
    this.#events = memory ? file("memory", "memory.oom_control", "memory.events") : undefined;
  }

  /** Files that a process writes "0" to, to belong here. */
  get joins(): readonly string[] {
    return this.#paths.map(path => join(path, "cgroup.procs"));
  }

  cpuMs(): number | undefined {
    const text = this.#cpu?.read();
    if (text === undefined) return undefined;
    return this.#version === 1 ? Number(text) / 1e6 : numberAfter(text, "usage_usec") / 1000;
  }

  memoryBytes(): number | undefined {
    const text = this.#memory?.read();
    return text === undefined ? undefined : Number(text);
  }

  /** The kernel ended a process of it for want of memory. */
  get isOutOfMemory(): boolean {
    const text = this.#events?.read();
    return text !== undefined && numberAfter(text, "oom_kill") > 0;
  }

  /** Nothing is to be confirmed: the kernel keeps the limit. */
  exactMemoryBytes(): number | undefined {
    return this.memoryBytes();
  }

  /** End all that are in it. Who forks meanwhile is found by the next call. */
  kill(): void {
    const [path] = this.#paths;
    if (path === undefined) return;
    if (this.#version === 2) trySet(path, "cgroup.kill", 1);
    for (const pid of this.#members()) kill(pid);
  }

  /** End what is left and take the accounts away. Settles when they are gone, or when the kernel does not let go of them. */
  async remove(): Promise<void> {
    for (const file of [this.#cpu, this.#memory, this.#events]) file?.close();
    for (let tries = 0; tries < REMOVE_TRIES; tries++) {
      if (this.#members().length > 0) this.kill();
      else if (this.#paths.every(path => removeEmpty(path))) return;
      await sleep(REMOVE_PAUSE_MS);
    }
  }

  #members(): readonly number[] {
    const [path] = this.#paths;
    try {
      return readFileSync(join(path ?? "", "cgroup.procs"), "utf8")
        .split("\n")
        .filter(Boolean)
        .map(Number);
    } catch {
      // It is gone already.
      return [];
    }
  }
}

function abilitiesOf(version: 1 | 2, has: (controller: string) => boolean): CgroupAbilities {
  return { version, memory: has("memory"), processes: has("pids"), cpu: has("cpuacct") };
}

function openV1(v1: ReadonlyMap<string, CgroupHierarchy>, name: string): ReadonlyMap<string, string> {
  const parents = new Map<string, string>();
  for (const controller of ["memory", "pids", "cpuacct"]) {
    const own = v1.get(controller);
    if (own === undefined) continue;
    const path = join(own.path, name);
    if (makeFolder(path)) parents.set(controller, path);
  }
  return parents;
}

/** With processes in it a group gives no controllers to those below: where ours has them, its parent is asked too. */
function openV2(
  own: CgroupHierarchy,
  name: string,
): { readonly path: string; readonly controllers: readonly string[] } | undefined {
  let bare: string | undefined;
  for (const parent of [own.path, dirname(own.path)]) {
    const path = join(parent, name);
    if (!parent.startsWith(own.root) || !makeFolder(path)) continue;
    trySet(parent, "cgroup.subtree_control", "+memory +pids");
    trySet(path, "cgroup.subtree_control", "+memory +pids");
    const controllers = readWords(join(path, "cgroup.subtree_control"));
    if (controllers.includes("memory")) return { path, controllers };
    if (bare === undefined) bare = path;
    else removeEmpty(path);
  }
  return bare === undefined ? undefined : { path: bare, controllers: [] };
}

/** @returns whether it is there. What dead services left beside it goes. */
function makeFolder(path: string): boolean {
  const parent = dirname(path);
  for (const name of deadGroups(parent)) removeEmpty(join(parent, name));
  try {
    mkdirSync(path, { recursive: true });
    return true;
  } catch {
    // Not ours to write to.
    return false;
  }
}

function set(folder: string | undefined, file: string, value: number | string): void {
  if (folder !== undefined) writeFileSync(join(folder, file), String(value));
}

/** Not everywhere there: swap, say. */
function trySet(folder: string | undefined, file: string, value: number | string): void {
  try {
    set(folder, file, value);
  } catch {
    // What it would do is found out by the probe, or done in another way.
  }
}

function readWords(path: string): readonly string[] {
  try {
    return readFileSync(path, "utf8").trim().split(/\s+/u);
  } catch {
    return [];
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // Gone meanwhile.
  }
}

/** @returns whether it is gone */
function removeEmpty(path: string): boolean {
  try {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      if (entry.isDirectory()) rmdirSync(join(path, entry.name));
    }
    rmdirSync(path);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "ENOENT";
  }
}

function numberAfter(text: string, key: string): number {
  const at = text.indexOf(`${key} `);
  return at === -1 ? 0 : Number.parseInt(text.slice(at + key.length + 1), 10);
}
