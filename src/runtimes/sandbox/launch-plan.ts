/**
 * How one process of a plugin is started in its tier: the command line of the launcher, of bubblewrap where there are namespaces, and of
 * prlimit(1) inside them. Pure: nothing here touches the host. Each option was tried before it was put here (`plugins/README.md`).
 */
import type { Confinement } from "../../core/ports/sandbox.ts";
import { dataLimitBytes } from "./data-limit.ts";
import type { Door } from "./door.ts";
import { CERTIFICATES, CODE_FOLDER, type HostPaths, insideCode, WORK_FOLDER } from "./host-paths.ts";
import { LAUNCHER_PROGRAM } from "./launcher-program.ts";
import { seccompProgram } from "./seccomp.ts";
import type { Architecture } from "./syscalls.ts";

const MIB = 1_048_576;
export const MAX_PROCESSES = 64;
export const MAX_OPEN_FILES = 256;
/** One file; also what `/work` holds where it is temporary. */
export const MAX_FILE_BYTES = 64 * MIB;
export const MAX_TMP_BYTES = 16 * MIB;
const SHM_BYTES = MIB;
/** Processor time of a worker's whole life, besides that of its last call: it is replaced before it comes near. */
export const LIFE_CPU_S = 60;
/** Where the launcher leaves the filter for bubblewrap. */
const FILTER_FD = 9;

export interface LaunchTools {
  readonly perl: string;
  /** Absent: no namespaces. */
  readonly bwrap: string | undefined;
  readonly prlimit: string | undefined;
  readonly architecture: Architecture;
  readonly paths: HostPaths;
  /** Empty folder that each launch mounts its files under, in a namespace of its own; absent without root. */
  readonly stage: string | undefined;
}

export interface LaunchSpec {
  readonly pluginId: string;
  readonly folder: string;
  readonly command: readonly string[];
  readonly isCall: boolean;
  readonly confinement: Confinement;
  /** User and group of its own; absent: those of the service. */
  readonly uid: number | undefined;
  /** `cgroup.procs` of each of its groups. */
  readonly cgroups: readonly string[];
  /** Absent: no network. */
  readonly door: Door | undefined;
  /** Of the host: where there are no namespaces, or what stays. */
  readonly workDir: string | undefined;
  /** RLIMIT_NPROC; without a namespace it counts all of the user. */
  readonly processes: number;
}

export interface LaunchPlan {
  readonly program: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

/** @param parent  process id of the service: who finds another one was left behind by it */
export function launchPlan(tools: LaunchTools, spec: LaunchSpec, parent: number, path: string): LaunchPlan {
  const env = environment(spec, path, tools.bwrap !== undefined);
  const options = [
    `parent=${parent}`,
    `calls=${Object.entries(tools.architecture.launcher)
      .map(([name, nr]) => `${name}:${nr}`)
      .join(",")}`,
    ...spec.cgroups.map(file => `cgroup=${file}`),
    ...(spec.uid === undefined ? [] : [`uid=${spec.uid}`]),
    `filter=${filterOf(tools, spec).toString("hex")}`,
  ];
  const inNamespaces = tools.bwrap !== undefined && tools.prlimit !== undefined;
  const rest = inNamespaces
    ? namespaced(tools, tools.bwrap, tools.prlimit, spec, env)
    : { options: landlocked(tools, spec), command: spec.command };
  return {
    program: tools.perl,
    args: ["-e", LAUNCHER_PROGRAM, ...options, ...rest.options, "--", ...rest.command],
    cwd: inNamespaces ? "/" : spec.folder,
    env: inNamespaces ? { PATH: path } : env,
  };
}

/** Without a mount namespace and a user of its own, the files of the service are its own to everything that Landlock does not hold. */
function filterOf({ architecture, bwrap }: LaunchTools, { door, uid }: LaunchSpec): Buffer {
  const paths = bwrap === undefined && uid === undefined ? "none" : "any";
  return seccompProgram(architecture, door === undefined ? "none" : "any", paths);
}

function environment(
  { pluginId, door, workDir }: LaunchSpec,
  path: string,
  namespaces: boolean,
): Readonly<Record<string, string>> {
  const home = namespaces ? WORK_FOLDER : (workDir ?? "/");
  return {
    PATH: path,
    LANG: "C.UTF-8",
    HOME: home,
    TMPDIR: namespaces ? "/tmp" : home,
    MAIRUST_PLUGIN_ID: pluginId,
    ...door?.env,
  };
}

interface Wrapped {
  readonly options: readonly string[];
  readonly command: readonly string[];
}

function namespaced(
  { stage, paths }: LaunchTools,
  bwrap: string,
  prlimit: string,
  spec: LaunchSpec,
  env: Readonly<Record<string, string>>,
): Wrapped {
  const { folder, door, workDir, confinement } = spec;
  const staged: string[] = [];
  // What another user may not reach by its path is shown to it under the stage.
  const from = (path: string) => {
    if (stage === undefined) return path;
    staged.push(`bind=${staged.length}:${path}`);
    return `${stage}/${staged.length - 1}`;
  };
  const shown = [
    ...paths.folders.flatMap(path => ["--ro-bind", path, path]),
    ...paths.links.flatMap(([path, target]) => ["--symlink", target, path]),
    ...paths.files.flatMap(path => ["--ro-bind", path, path]),
    ...(door === undefined ? [] : CERTIFICATES.flatMap(path => ["--ro-bind-try", path, path])),
    ...(paths.node === undefined ? [] : ["--ro-bind", from(paths.node), paths.node]),
    ...["--ro-bind", from(folder), CODE_FOLDER],
    ...(door?.binds.flatMap(bind => ["--ro-bind", from(bind.from), bind.to]) ?? []),
  ];
  const work =
    workDir === undefined
      ? ["--size", String(MAX_FILE_BYTES), "--tmpfs", WORK_FOLDER]
      : ["--bind", from(workDir), WORK_FOLDER];
  const isolation =
    "--unshare-all --unshare-user --disable-userns --die-with-parent --as-pid-1 --new-session";
  const own = [
    ...["--proc", "/proc", "--dev", "/dev"],
    ...["--size", String(SHM_BYTES), "--tmpfs", "/dev/shm", "--remount-ro", "/dev"],
    ...["--size", String(MAX_TMP_BYTES), "--tmpfs", "/tmp", ...work],
  ];
  const closed = [
    ...["--remount-ro", "/"],
    ...["--hostname", "plugin", "--cap-drop", "ALL", "--clearenv"],
    ...Object.entries(env).flatMap(([name, value]) => ["--setenv", name, value]),
    ...["--chdir", CODE_FOLDER, "--seccomp", String(FILTER_FD)],
  ];
  // Inside: there its processes are counted apart from everybody else's.
  const limits = [
    `--data=${dataLimitBytes(spec, confinement.memoryMb)}`,
    `--cpu=${cpuSeconds(spec)}`,
    `--nproc=${spec.processes}`,
    `--nofile=${MAX_OPEN_FILES}`,
    `--fsize=${MAX_FILE_BYTES}`,
    "--core=0",
  ];
  const command = spec.command.map(argument => insideCode(argument, folder));
  const inner = [prlimit, ...limits, "--", ...(door?.prefix ?? []), ...command];
  return {
    options: [`filterfd=${FILTER_FD}`, ...(stage === undefined ? [] : [`stage=${stage}`]), ...staged],
    // What is shown may lie below what is its own: a Node in a folder of /tmp.
    command: [bwrap, ...isolation.split(" "), ...own, ...shown, ...closed, "--", ...inner],
  };
}

/** Numbers of linux asm-generic/resource.h. */
const RLIMIT = { cpu: 0, fsize: 1, data: 2, core: 4, nproc: 6, nofile: 7 } as const;

function landlocked({ paths }: LaunchTools, spec: LaunchSpec): readonly string[] {
  const { confinement, folder, workDir } = spec;
  const limits: readonly (readonly [number, number])[] = [
    [RLIMIT.data, dataLimitBytes(spec, confinement.memoryMb)],
    [RLIMIT.cpu, cpuSeconds(spec)],
    [RLIMIT.nproc, spec.processes],
    [RLIMIT.nofile, MAX_OPEN_FILES],
    [RLIMIT.fsize, MAX_FILE_BYTES],
    [RLIMIT.core, 0],
  ];
  const readable = [
    ...paths.folders,
    ...paths.files,
    ...(paths.node === undefined ? [] : [paths.node]),
    folder,
  ];
  return [
    // How many processes it had to end is told by nobody: the launcher stays as their parent.
    "tree=1",
    ...limits.map(([resource, value]) => `limit=${resource}:${value}`),
    ...readable.map(path => `rule=read:${path}`),
    ...["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"].map(
      path => `rule=device:${path}`,
    ),
    ...(workDir === undefined ? [] : [`rule=write:${workDir}`]),
  ];
}

/** RLIMIT_CPU counts whole seconds of a process's life: it only holds when the service does not. */
function cpuSeconds({ isCall, confinement }: LaunchSpec): number {
  const call = Math.ceil(confinement.cpuMs / 1000) + 1;
  return isCall ? call : LIFE_CPU_S + call;
}
