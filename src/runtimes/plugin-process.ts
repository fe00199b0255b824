/**
 * A process of a plugin, as those need it that speak to one: its three streams, how it ended, its end with all that it started, and
 * whose time its processor time is. A plain child (`script-child.ts`) and a confined one (`sandbox/`) are both this.
 */
import type { Readable, Writable } from "node:stream";
import type { Confinement, LimitName } from "../core/ports/sandbox.ts";

export interface ProcessSpec {
  readonly pluginId: string;
  /** Absolute path of the code: working directory. */
  readonly folder: string;
  /** Program and arguments; relative paths are relative to `folder`. */
  readonly command: readonly string[];
  /** `spawn`: this process is one call, from its start to its end. */
  readonly mode?: "worker" | "spawn";
  /** Absent: a plain child process. */
  readonly confinement?: Confinement | undefined;
}

export interface ProcessEnd {
  /** Undefined: a signal, or it did not come to be. */
  readonly code: number | undefined;
  /** For people: `exit code 3`, `SIGKILL`, `cpu limit: 500 ms`. */
  readonly how: string;
  /** The limit that ended it. */
  readonly limit: LimitName | undefined;
}

export interface PluginProcess {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Its first process is gone and reaped, and nothing of its tree is left that we can reach. Never rejects. */
  readonly ended: Promise<ProcessEnd>;
  /** From now on its processor time is that of one call. @returns what ends the call; safe to call twice */
  beginCall(): () => void;
  /** It has used so much of what its life allows that another should take over; absent: there is nothing of the kind. */
  readonly isWorn?: boolean;
  /** Of it and everything it started; absent: nobody counts. */
  memoryBytes?(): number;
  /** End it and everything it started, at once. Safe at any time. */
  kill(): void;
}

/** @throws when no process can be made at all; else a failure to start shows as the end */
export type StartProcess = (spec: ProcessSpec) => PluginProcess;
