/**
 * One private server process in the foreground: start, wait until it greets, stop, and prove that nothing is left.
 *
 * The server gets a process group of its own, so that the group tells whether any of its processes is alive.
 * A sentinel beside it (a shell that reads from a pipe of ours) stops it when this process dies, even by `kill -9`;
 * the kernel's parent-death signal would not do, Postfix's master loses it when it changes its user id.
 * A start that fails reports the last log lines.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { connect, Socket } from "node:net";
import type { Deadline } from "../core/deadline.ts";
import { MairustError, messageOf } from "../core/errors.ts";
import { deadlineAfter, sleep } from "../platform/deadline.ts";

/** Between two looks at a port, a queue or a process group. */
export const POLL_MS = 20;
/** How long a server may take from SIGTERM to its end before its group is killed. */
const STOP_MS = 10_000;
/** After SIGKILL only the kernel is waited for. */
const KILL_MS = 5_000;
/** Log lines that an error text quotes. */
export const QUOTED_LOG_LINES = 15;
/** Longest greeting or standard error that is kept. */
const KEPT_CHARS = 4096;

/** Waits for the end of its standard input, i.e. of this process, then ends the server `$1` and, after 5 s, its group. */
const SENTINEL = `read -r _; kill -TERM "$1"; i=0
while kill -0 "-$1" && [ $i -lt 50 ]; do sleep 0.1; i=$((i + 1)); done
kill -KILL "-$1"`;

export interface DaemonOptions {
  /** For error texts: "Postfix", "Dovecot". */
  readonly name: string;
  readonly file: string;
  readonly args: readonly string[];
  /** Log file the server writes; quoted when it fails. It may be missing. */
  readonly logFile: string;
  /** Loopback port that must greet before the start counts, and how its greeting begins. */
  readonly port: number;
  readonly greeting: string;
}

/** A running private server. */
export class Daemon {
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #sentinel: ChildProcess;
  readonly #options: DaemonOptions;
  readonly #exited: Promise<string>;
  #exit: string | undefined;
  #stderr = "";

  private constructor(child: ChildProcess, pid: number, options: DaemonOptions) {
    this.pid = pid;
    this.#child = child;
    this.#options = options;
    this.#sentinel = spawn("/bin/sh", ["-c", SENTINEL, "mairust-sentinel", String(pid)], {
      stdio: ["pipe", "ignore", "ignore"],
      detached: true,
    });
    this.#sentinel.on("error", error => {
      this.#stderr += `no sentinel: ${error.message}\n`;
    });
    this.#exited = new Promise(resolve => {
      child.once("exit", (code, signal) => {
        this.#exit = signal === null ? `exit code ${code}` : `signal ${signal}`;
        this.#sentinel.kill("SIGKILL"); // its process id may belong to another process soon
        resolve(this.#exit);
      });
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-KEPT_CHARS);
    });
  }

  /**
   * Start the server and wait until its port greets.
   *
   * @throws {MairustError} `invalid_state` it ended or did not greet before the deadline; nothing is left running
   */
  static async start(options: DaemonOptions, deadline: Deadline): Promise<Daemon> {
    const child = spawn(options.file, [...options.args], {
      stdio: ["ignore", "ignore", "pipe"],
      detached: true,
    });
    const failed = new Promise<never>((_, reject) => child.once("error", reject));
    if (child.pid === undefined) await failed;
    failed.catch(() => undefined); // later errors are kill() on a process that has gone
    const daemon = new Daemon(child, child.pid ?? 0, options);
    try {
      await daemon.#untilGreeted(deadline);
    } catch (error) {
      await daemon.stop();
      throw await daemon.#failure("start", messageOf(error));
    }
    // The process may end before the server does: stop() is then the owner's duty, not the event loop's.
    daemon.#letGo();
    return daemon;
  }

  /** True until the server's first process has ended. */
  get running(): boolean {
    return this.#exit === undefined;
  }

  /**
   * Stop the server, all of its processes included. A second call does nothing.
   *
   * @throws {MairustError} `stop_failed` a process of it is alive although it was killed
   */
  async stop(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    if (signal === "SIGTERM" && this.running) {
      this.#child.kill("SIGTERM");
      if (await this.#groupEnds(STOP_MS)) return;
    }
    signalGroup(this.pid, "SIGKILL");
    if (!(await this.#groupEnds(KILL_MS)))
      throw await this.#failure("stop", "a process of it is still alive");
  }

  /** Neither process keeps ours alive. */
  #letGo(): void {
    this.#child.unref();
    this.#sentinel.unref();
    for (const stream of [this.#child.stderr, this.#sentinel.stdin]) {
      if (stream instanceof Socket) stream.unref();
    }
  }

  async #groupEnds(ms: number): Promise<boolean> {
    const deadline = deadlineAfter(ms);
    try {
      this.#child.ref();
      while (this.running || (await groupIsAlive(this.pid))) {
        if (deadline.remainingMs() === 0) return false;
        await sleep(POLL_MS);
      }
      await this.#exited;
      return true;
    } finally {
      deadline.dispose();
    }
  }

  async #untilGreeted(deadline: Deadline): Promise<void> {
    const { port, greeting } = this.#options;
    for (;;) {
      if (!this.running) throw new MairustError("invalid_state", `it ended with ${this.#exit}`);
      const got = await readGreeting(port, deadline);
      if (got?.startsWith(greeting)) return;
      if (deadline.remainingMs() === 0) {
        throw new MairustError(
          "deadline",
          `port ${port} did not greet with "${greeting}" but ${JSON.stringify(got ?? "")}`,
        );
      }
      await sleep(POLL_MS);
    }
  }

  async #failure(action: "start" | "stop", reason: string): Promise<MairustError> {
    const log = (await readLogLines(this.#options.logFile)).slice(-QUOTED_LOG_LINES);
    const lines = [...this.#stderr.trim().split("\n"), ...log].filter(line => line !== "");
    const code = action === "start" ? "invalid_state" : "stop_failed";
    return new MairustError(code, `Cannot ${action} ${this.#options.name}: ${reason}\n${lines.join("\n")}`);
  }
}

/** @returns the lines of a server's log file, none when there is no file yet */
export async function readLogLines(file: string): Promise<string[]> {
  try {
    return (await readFile(file, "utf8")).split("\n").filter(line => line !== "");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}

/** @returns the first line (or what came of it) from a loopback port, undefined when nobody listens */
function readGreeting(port: number, deadline: Deadline): Promise<string | undefined> {
  return new Promise(resolve => {
    let text = "";
    const socket = connect({ port, host: "127.0.0.1", signal: deadline.signal });
    socket.setEncoding("utf8");
    socket.on("data", (chunk: string) => {
      text += chunk;
      if (text.includes("\n") || text.length > KEPT_CHARS) socket.destroy();
    });
    socket.on("end", () => socket.destroy());
    socket.on("error", () => socket.destroy()); // refused, or aborted by the deadline: the caller asks again or gives up
    socket.on("close", () => resolve(text === "" ? undefined : text));
  });
}

/** A group of nothing but zombies counts as ended: a container's first process may never collect them. */
async function groupIsAlive(group: number): Promise<boolean> {
  if (!signalGroup(group, 0)) return false;
  const names = await readdir("/proc").catch(() => undefined);
  if (names === undefined) return true;
  for (const name of names) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await readFile(`/proc/${name}/stat`, "utf8").catch(() => ""); // it may have ended meanwhile
    // proc(5): "pid (comm) state ppid pgrp …"; the name may hold anything, so count from its last parenthesis.
    const [state, , itsGroup] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (Number(itsGroup) === group && state !== "Z" && state !== "X") return true;
  }
  return false;
}

/** @returns false when no process of the group is left, not even a zombie */
function signalGroup(group: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(-group, signal);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ESRCH") return false;
    throw error;
  }
}
