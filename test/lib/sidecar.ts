/** The real service as a child process, with its own folder and free ports, for system tests and benchmarks. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { freePort } from "../../src/mailhost/scratch.ts";
import { packageRoot } from "../../src/platform/package-root.ts";
import type { CrashPlan } from "./crash-steps.ts";
import { copyReadyCluster } from "./ready-cluster.ts";

/** initdb on a busy machine. */
const READY_MS = 120_000;
const STOP_MS = 40_000;
const POLL_MS = 5;

export interface SidecarOptions {
  /** Empty folder for it alone. */
  readonly dir: string;
  /** More TOML, after the base sections; may not repeat them. */
  readonly toml?: string;
  /** More lines for `[lmtp]`. */
  readonly lmtp?: string;
  /** More lines for `[imap]`. */
  readonly imap?: string;
  /** LMTP listeners besides the loopback port. */
  readonly lmtpListen?: readonly string[];
  /** Where the milter listens; default: some port. */
  readonly milterListen?: string;
  /** More lines for `[milter]`. */
  readonly milter?: string;
  readonly domain?: string;
  readonly logLevel?: "debug" | "info" | "warn";
  /** Where its output goes; default: `sidecar.log` in its folder. */
  readonly logFile?: string;
  /** `limits.min_free_disk_mb`; default 64. */
  readonly minFreeDiskMb?: number;
  /** In place of the real entry point: called with the configuration file alone. */
  readonly main?: string;
  /** Who it runs as, where the test is root; its folder is given to them. */
  readonly user?: { readonly uid: number; readonly gid: number };
}

export interface Sidecar {
  readonly dir: string;
  readonly configFile: string;
  readonly apiSocket: string;
  readonly masterPassword: string;
  readonly pid: number;
  /** Milliseconds from spawn to ready. */
  readonly readyMs: number;
  /** The same over restarts. */
  readonly lmtpPort: number;
  readonly imapPort: number;
  logText(): string;
  /** SIGKILL, and wait until it is gone. */
  kill(): Promise<void>;
  /** SIGTERM. @returns the exit code */
  stop(): Promise<number | null>;
  /** Start again with the same folder, after `kill`, `stop` or a crash; with a plan by another entry point that follows it. */
  restart(crash?: CrashPlan): Promise<void>;
  /** Asks its API whether it is ready. */
  ready(): Promise<boolean>;
  /** True until its process has ended. */
  running(): boolean;
  /** Wait until the process ended by itself. @returns the signal that ended it */
  ended(): Promise<string | null>;
  /** Run a command of the command line against it. */
  mairust(args: readonly string[], input?: string | Buffer): Promise<CommandResult>;
}

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

const CRASH_MAIN = join(packageRoot(), "build/test/lib/crash-main.js");
export const MAIN = join(packageRoot(), "build/src/start.cjs");

/** Write a configuration and start the service; resolves when it is ready. */
export async function startSidecar(options: SidecarOptions): Promise<Sidecar> {
  const { dir, user } = options;
  mkdirSync(dir, { recursive: true });
  const configFile = join(dir, "mairust.toml");
  const lmtpPort = await freePort();
  const imapPort = await freePort();
  writeFileSync(configFile, baseConfig(options, lmtpPort, imapPort), { mode: 0o600 });
  if (user !== undefined) for (const path of [dir, configFile]) chownSync(path, user.uid, user.gid);
  else if (options.toml?.includes("[database]") !== true) copyReadyCluster(join(dir, "data"));
  const apiSocket = join(dir, "run", "api.sock");
  const { logFile = join(dir, "sidecar.log") } = options;
  let child: ChildProcess | undefined;
  let readyMs = 0;

  const start = async (crash?: CrashPlan) => {
    const command =
      crash === undefined
        ? options.main === undefined
          ? [MAIN, "serve", "--config", configFile]
          : [options.main, configFile]
        : [CRASH_MAIN, configFile, ...planArgs(crash)];
    const started = performance.now();
    const log = openSync(logFile, "a");
    child = spawn(process.execPath, command, { stdio: ["ignore", log, log], ...user });
    closeSync(log);
    await untilReady(apiSocket, child, () => readFileSync(logFile, "utf8"));
    readyMs = performance.now() - started;
  };
  const end = async (signal: "SIGKILL" | "SIGTERM") => {
    const running = child;
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return null;
    const exit = once(running, "exit");
    running.kill(signal);
    const timer = setTimeout(() => running.kill("SIGKILL"), STOP_MS);
    const [code] = (await exit) as [number | null];
    clearTimeout(timer);
    return code;
  };
  const logText = () => readFileSync(logFile, "utf8");
  await start();
  return {
    dir,
    configFile,
    apiSocket,
    masterPassword: readFileSync(join(dir, "imap.secret"), "utf8").trim(),
    get pid() {
      return child?.pid ?? 0;
    },
    get readyMs() {
      return readyMs;
    },
    lmtpPort,
    imapPort,
    logText,
    async kill() {
      await end("SIGKILL");
    },
    stop: () => end("SIGTERM"),
    restart: start,
    ready: async () => (await readyz(apiSocket)) === 200,
    running: () => child !== undefined && child.exitCode === null && child.signalCode === null,
    async ended() {
      if (child === undefined || child.signalCode !== null || child.exitCode !== null)
        return child?.signalCode ?? null;
      const [, signal] = (await once(child, "exit")) as [number | null, string | null];
      return signal;
    },
    mairust: (args, input) => run(["--config", configFile, ...args], input),
  };
}

function planArgs({ step, skip = 0, victim = "sidecar" }: CrashPlan): readonly string[] {
  return [step, String(skip), victim];
}

function baseConfig(options: SidecarOptions, lmtpPort: number, imapPort: number): string {
  const { dir, domain = "example.test" } = options;
  const text = (value: string) => JSON.stringify(value);
  return `
data_dir = ${text(join(dir, "data"))}
runtime_dir = ${text(join(dir, "run"))}
log_dir = ${text(join(dir, "log"))}
key_file = ${text(join(dir, "master.key"))}
hostname = ${text(`mail.${domain}`)}
[log]
format = "text"
level = ${text(options.logLevel ?? "info")}
[limits]
min_free_disk_mb = ${options.minFreeDiskMb ?? 64}
[lmtp]
listen = [${[`inet:127.0.0.1:${lmtpPort}`, ...(options.lmtpListen ?? [])].map(text).join(", ")}]
${options.lmtp ?? ""}
[milter]
listen = [${text(options.milterListen ?? "inet:127.0.0.1:0")}]
${options.milter ?? ""}
[imap]
listen = ["inet:127.0.0.1:${imapPort}"]
master_password_file = ${text(join(dir, "imap.secret"))}
${options.imap ?? ""}
[api]
listen = [${text(`unix:${join(dir, "run", "api.sock")}`)}]
[domains.${text(domain)}]
accounts = "auto"
${options.toml ?? ""}`;
}

async function untilReady(socketPath: string, child: ChildProcess, log: () => string): Promise<void> {
  const end = performance.now() + READY_MS;
  while (performance.now() < end) {
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new Error(`the sidecar ended with ${child.exitCode ?? child.signalCode}:\n${log()}`);
    }
    if ((await readyz(socketPath)) === 200) return;
    await new Promise(resolve => setTimeout(resolve, POLL_MS));
  }
  throw new Error(`the sidecar is not ready after ${READY_MS} ms:\n${log()}`);
}

function readyz(socketPath: string): Promise<number> {
  return new Promise(resolve => {
    const asked = request({ socketPath, path: "/readyz", agent: false }, answer => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
    });
    asked.on("error", () => resolve(0));
    asked.end();
  });
}

/** Run `mairust` with the given arguments. */
export async function run(args: readonly string[], input?: string | Buffer): Promise<CommandResult> {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ["pipe", "pipe", "pipe"] });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on("data", chunk => stdout.push(chunk));
  child.stderr.on("data", chunk => stderr.push(chunk));
  child.stdin.on("error", () => undefined);
  child.stdin.end(input ?? "");
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString() };
}
