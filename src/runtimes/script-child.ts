/**
 * How a process of a plugin is started and ended without a sandbox. It is the leader of its own group and dies with the
 * service; only pipes are passed on, the environment holds six variables, and no secret stands in it or in the arguments.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants, existsSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { Readable, Writable } from "node:stream";
import type { PluginProcess, ProcessEnd, ProcessSpec } from "./plugin-process.ts";

/** util-linux; `--pdeathsig` makes the kernel end the process when the service dies, however it dies. */
const SETPRIV = ["/usr/bin/setpriv", "/bin/setpriv"];

/** As Debian names it for users that have none. Never /tmp: whoever writes there would lay code before Python's. */
const NO_HOME = "/nonexistent";

/** Where programs without a `/` are looked for: our own Node first. */
export function searchPath(): string {
  return `${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`;
}

/** A child process with pipes for its three streams. */
export type PipedChild = ChildProcess & {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
};

/**
 * @param options.before  program and arguments that start the command
 * @param options.user    whose the process is; absent: the service's own user
 */
export function spawnChild(
  { command, folder, pluginId }: ProcessSpec,
  options: {
    readonly before?: readonly string[];
    readonly user?: { readonly uid: number; readonly gid: number } | undefined;
  } = {},
): PipedChild {
  const { user, before = [] } = options;
  const setpriv = SETPRIV.find(path => existsSync(path));
  const become =
    user === undefined ? [] : ["--reuid", `${user.uid}`, "--regid", `${user.gid}`, "--clear-groups"];
  const head = setpriv === undefined ? [] : [setpriv, "--pdeathsig", "KILL", ...become, "--"];
  const [program = "", ...args] = [...head, ...before, ...command];
  return spawn(program, args, {
    // A changed user drops the signal at the parent's death, so setpriv does both where it is there.
    ...(setpriv === undefined && user !== undefined ? { uid: user.uid, gid: user.gid } : {}),
    cwd: folder,
    detached: true,
    stdio: ["pipe", "pipe", "pipe"],
    env: {
      PATH: searchPath(),
      LANG: "C.UTF-8",
      // Not its folder: what is written there would change the code, which is verified.
      HOME: NO_HOME,
      TMPDIR: "/tmp",
      MAIRUST_PLUGIN_ID: pluginId,
      PYTHONDONTWRITEBYTECODE: "1",
    },
  });
}

/** A plain child process: nothing holds it but its group and the time of its calls. */
export function startPlain(spec: ProcessSpec): PluginProcess {
  const child = spawnChild(spec);
  const { stdin, stdout, stderr } = child;
  const kill = () => killGroup(child);
  // The leader is gone; what it started in its group must not outlive it.
  const ended = endOf(child).finally(kill);
  return { stdin, stdout, stderr, ended, kill, beginCall: () => () => {} };
}

export function endOf(child: ChildProcess): Promise<ProcessEnd> {
  return new Promise(resolve => {
    child.once("exit", (code, signal) =>
      resolve({ code: code ?? undefined, how: signal ?? `exit code ${code}`, limit: undefined }),
    );
    // No process came to be: the program is missing or may not run.
    child.once("error", error => resolve({ code: undefined, how: error.message, limit: undefined }));
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
export function programProblem(spec: Pick<ProcessSpec, "command" | "folder">): string | undefined {
  return findProgram(spec) === undefined
    ? `there is no program "${spec.command[0] ?? ""}" that may be run`
    : undefined;
}

/** @returns its absolute path; undefined: there is none that may be run */
export function findProgram({
  command,
  folder,
}: Pick<ProcessSpec, "command" | "folder">): string | undefined {
  const [program = ""] = command;
  const places = program.includes("/")
    ? [resolve(folder, program)]
    : searchPath()
        .split(":")
        .map(place => join(place, program));
  return places.find(isExecutable);
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
