/**
 * One confined process of a plugin: started by the launcher in its tier, watched while it is called, ended with all of its tree.
 * What is left of it when it ends, accounts of the kernel and its own folder, is taken away before the end is told.
 */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import type { LimitName } from "../../core/ports/sandbox.ts";
import { sleep } from "../../platform/deadline.ts";
import type { PluginProcess, ProcessEnd } from "../plugin-process.ts";
import { endOf, killGroup, type PipedChild } from "../script-child.ts";
import type { ProcessGroup } from "./cgroups.ts";
import { type LaunchPlan, LIFE_CPU_S } from "./launch-plan.ts";
import { LAUNCH_FAILED } from "./launcher-program.ts";
import { LimitWatch, type WatchedLimits } from "./limit-watch.ts";
import { bestMeter, type Meter } from "./meter.ts";
import { TreeMeter } from "./tree-meter.ts";

/** How a tree is ended that no namespace holds together. */
const TREE_END_MS = 500;
/** Exit codes of a shell, and of bubblewrap, for a signal. */
const SIGNALLED = 128;

export interface ConfinedSpec {
  readonly limits: WatchedLimits;
  /** Absent: there are none. */
  readonly group: ProcessGroup | undefined;
  /** `namespace`: the kernel ends the tree with its first process; `parent`: the launcher does; `group`: nobody does. */
  readonly tree: "namespace" | "parent" | "group";
  /** When nothing of it is left. */
  readonly onGone: () => void;
}

/** @throws when no process can be made */
export function startPlanned({ program, args, cwd, env }: LaunchPlan, spec: ConfinedSpec): PluginProcess {
  const child = spawn(program, args, { cwd, env, detached: true, stdio: ["pipe", "pipe", "pipe"] });
  return confine(child, spec);
}

/** Hold a child to its limits from now on. */
export function confine(child: PipedChild, spec: ConfinedSpec): PluginProcess {
  return new ConfinedProcess(child, spec);
}

class ConfinedProcess implements PluginProcess {
  readonly ended: Promise<ProcessEnd>;
  readonly #child: PipedChild;
  readonly #spec: ConfinedSpec;
  readonly #tree: TreeMeter;
  readonly #meter: Meter;
  readonly #watch: LimitWatch;
  #isEnded = false;
  #isKilled = false;

  constructor(child: PipedChild, spec: ConfinedSpec) {
    this.#child = child;
    this.#spec = spec;
    this.#tree = new TreeMeter(child.pid ?? 0);
    this.#meter = bestMeter(spec.group, this.#tree);
    const { group } = spec;
    const isOutOfMemory = group?.keepsMemory === true ? () => group.isOutOfMemory : undefined;
    this.#watch = new LimitWatch(this.#meter, spec.limits, isOutOfMemory, () => this.#end());
    this.ended = this.#settle();
  }

  get stdin() {
    return this.#child.stdin;
  }

  get stdout() {
    return this.#child.stdout;
  }

  get stderr() {
    return this.#child.stderr;
  }

  get isWorn(): boolean {
    return this.#watch.spentMs > LIFE_CPU_S * 1000;
  }

  memoryBytes(): number {
    return this.#isEnded ? 0 : (this.#meter.memoryBytes() ?? 0);
  }

  beginCall(): () => void {
    return this.#isEnded ? () => {} : this.#watch.beginCall();
  }

  kill(): void {
    this.#isKilled = true;
    this.#end();
  }

  #end(): void {
    if (this.#isEnded) return;
    const { tree, group } = this.#spec;
    if (tree === "parent" && this.#child.pid !== undefined) {
      // Asked, since who is killed cannot end the others any more.
      this.#child.kill("SIGTERM");
      void this.#insist();
    } else killGroup(this.#child);
    group?.kill();
  }

  /** The parent of the tree is ours and does what it is asked; unless it is stopped, or out of memory. */
  async #insist(): Promise<void> {
    await sleep(TREE_END_MS, undefined, false);
    if (this.#isEnded) return;
    this.#tree.kill();
    killGroup(this.#child);
  }

  async #settle(): Promise<ProcessEnd> {
    const { group, onGone } = this.#spec;
    const end = await endOf(this.#child);
    const limit = this.#limitOf(end);
    this.#watch.close();
    this.#isEnded = true;
    // What it started in its group must not outlive it.
    killGroup(this.#child);
    await group?.remove();
    onGone();
    return this.#told(end, limit);
  }

  #limitOf({ code, how }: ProcessEnd): LimitName | undefined {
    if (this.#watch.excess !== undefined) return this.#watch.excess.limit;
    if (this.#spec.group?.keepsMemory === true && this.#watch.isOverMemory()) return "memory";
    if (this.#isKilled) return undefined;
    const signal = code === undefined ? how : signalOf(code);
    if (signal === "SIGXCPU") return "cpu";
    return signal === "SIGXFSZ" ? "disk" : undefined;
  }

  #told({ code, how }: ProcessEnd, limit: LimitName | undefined): ProcessEnd {
    const { excess } = this.#watch;
    if (excess !== undefined) return { code, how: excess.text, limit };
    if (limit === "memory")
      return { code, how: `memory limit: ${this.#spec.limits.memoryBytes / 1_048_576} MiB`, limit };
    if (limit !== undefined) return { code, how: `${limit} limit`, limit };
    if (code === LAUNCH_FAILED) return { code, how: `${how}: its sandbox could not be set up`, limit };
    return { code, how: code === undefined ? how : (signalOf(code) ?? how), limit };
  }
}

/** bubblewrap tells of a signal by its exit code, as a shell does. */
function signalOf(code: number): string | undefined {
  return Object.entries(constants.signals).find(([, number]) => code === SIGNALLED + number)?.[0];
}
