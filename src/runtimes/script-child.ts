/**
 * How a process of a plugin is started and ended, whichever way it is spoken to. It is the leader of its own group and dies with the
 * service; only pipes are passed on, the environment holds five variables, and no secret stands in it or in the arguments.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants, existsSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

/** util-linux; `--pdeathsig` makes the kernel end the process when the service dies, however it dies. */
const SETPRIV = ["/usr/bin/setpriv", "/bin/setpriv"];

export interface ChildSpec {
  readonly pluginId: string;
  /** Absolute path: working directory. */
  readonly folder: string;
  /** Program and arguments. */
  readonly command: readonly string[];
}

function searchPath(): string {
  return `${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`;
}

export function spawnChild({ command, folder, pluginId }: ChildSpec): ChildProcess {
  const setpriv = SETPRIV.find(path => existsSync(path));
  const [program = "", ...args] =
    setpriv === undefined ? command : [setpriv, "--pdeathsig", "KILL", "--", ...command];
  return spawn(program, args, {
    cwd: folder,
    detached: true,
    stdio: ["pipe", "pipe", "pipe"],
    env: {
      PATH: searchPath(),
      LANG: "C.UTF-8",
      HOME: folder,
      TMPDIR: "/tmp",
      MAIRUST_PLUGIN_ID: pluginId,
    },
  });
}

/** End everything that the process started in its group, and itself. Safe at any time. */
export function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // ESRCH: the group is empty, which is what we want.
  }
}

/** @returns why the program cannot be started, as far as that can be told without starting it */
export function programProblem({ command, folder }: ChildSpec): string | undefined {
  const [program = ""] = command;
  const places = program.includes("/")
    ? [resolve(folder, program)]
    : searchPath()
        .split(":")
        .map(place => join(place, program));
  return places.some(isExecutable) ? undefined : `there is no program "${program}" that may be run`;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    // Not there, or not for us.
    return false;
  }
}
