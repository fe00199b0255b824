/**
 * The embedded PostgreSQL: a real server, started with the service and stopped with it (before step 1 of the message path).
 *
 * States: stopped → starting → running → (crashed → starting …) → stopping → stopped.
 *   start     claims the data folder, makes it at first, adopts a server that a killed service left behind, else starts one
 *   crashed   the server went away by itself: started again with rising pauses, `health()` says so meanwhile
 *   stop      SIGINT (fast shutdown); when the deadline is near SIGQUIT (recovery at the next start, nothing committed is lost)
 * The server ends with its parent where the system has setpriv; elsewhere the next start adopts it. It has its own session, so
 * that Ctrl-C in a terminal reaches the service first.
 *
 * Failures: `config_invalid` (no package, no way to run as root, wrong version), `invalid_state` (folder in use), `deadline`,
 * `internal` with the end of the server's log.
 * Sources: PostgreSQL manual §18.3, §18.5; src/bin/pg_ctl/pg_ctl.c for waiting on postmaster.pid.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { chownSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Deadline } from "../core/deadline.ts";
import { MairustError, messageOf } from "../core/errors.ts";
import type { Log } from "../core/ports/log.ts";
import { deadlineAfter, every, sleep } from "../platform/deadline.ts";
import { openDatabase } from "./db.ts";
import { sqlstateOf } from "./db-errors.ts";
import type { DatabaseTarget } from "./db-url.ts";
import { type PostgresBinaries, prepareBinaries } from "./embedded-binaries.ts";
import {
  claimCluster,
  disarmStaleLocks,
  ensureCluster,
  findPostmaster,
  type Postmaster,
  readPostmaster,
  releaseCluster,
} from "./embedded-cluster.ts";
import { chooseIdentity, type Identity } from "./embedded-identity.ts";
import { ServerLog } from "./embedded-log.ts";
import { isAlive, TOOL_ENV } from "./embedded-process.ts";
import {
  chooseSocketDir,
  EMBEDDED_DATABASE,
  EMBEDDED_PORT,
  EMBEDDED_ROLE,
  serverArguments,
} from "./embedded-settings.ts";

export interface EmbeddedOptions {
  /** Absolute path; made when missing. The database is `postgres/` in it, its log `postgres.log`. */
  readonly dataDir: string;
  /** Where the socket goes when its path would be too long in `dataDir`. */
  readonly runtimeDir: string;
  /** Service user to run as when this process is root. Default "mairust". */
  readonly user?: string;
  readonly log: Log;
}

export interface EmbeddedHealth {
  readonly status: "ok" | "degraded" | "error";
  readonly detail: string;
  readonly pid: number | undefined;
  /** It was left behind by a killed service and taken over. */
  readonly adopted: boolean;
  /** Times it went away by itself since start. */
  readonly crashes: number;
}

const POLL_MS = 5;
/** An adopted server has no exit event: it is looked at this often. */
const WATCH_MS = 500;
/** A server whose parent has just died may be about to shut down: it must still be ready after this time to be adopted. */
const ADOPT_SETTLE_MS = 150;
const PAUSE_MIN_MS = 200;
const PAUSE_MAX_MS = 30_000;
/** One attempt to bring the server back after a crash; recovery reads at most max_wal_size of log. */
const RESTART_MS = 120_000;
/** Kept of a stop's deadline for SIGQUIT, but never more than half of what is left: a fast shutdown usually takes 0.1 s. */
const QUIT_RESERVE_MS = 2_000;

interface Server {
  readonly pid: number;
  readonly child: ChildProcess | undefined;
  readonly socketDir: string;
  readonly port: number;
}

export class EmbeddedPostgres {
  readonly #options: EmbeddedOptions;
  readonly #clusterDir: string;
  readonly #serverLog: ServerLog;
  #state: "stopped" | "starting" | "running" | "crashed" | "stopping" = "stopped";
  #server: Server | undefined;
  #binaries: PostgresBinaries | undefined;
  #identity: Identity | undefined;
  #crashes = 0;
  #claim: string | undefined;
  #detail = "";
  #stopping = new AbortController();
  #restarting: Promise<void> = Promise.resolve();
  #stopWatch: (() => void) | undefined;

  constructor(options: EmbeddedOptions) {
    this.#options = options;
    this.#clusterDir = join(options.dataDir, "postgres");
    this.#serverLog = new ServerLog(join(options.dataDir, "postgres.log"), options.log);
  }

  /**
   * Start or adopt the server and make its database.
   * @returns what `openDatabase` takes
   */
  async start(deadline: Deadline): Promise<DatabaseTarget> {
    if (this.#state !== "stopped")
      throw new MairustError("invalid_state", `Cannot start PostgreSQL: it is ${this.#state}`);
    this.#state = "starting";
    this.#stopping = new AbortController();
    try {
      mkdirSync(this.#options.dataDir, { recursive: true, mode: 0o700 });
      this.#claim = await claimCluster(this.#options.dataDir);
      await this.#prepare(deadline);
      this.#server = (await this.#adopt(deadline)) ?? (await this.#launch(deadline));
      const target = targetOf(this.#server);
      await ensureDatabase(target, this.#options.log);
      this.#running();
      return target;
    } catch (error) {
      await this.#abandon();
      throw error;
    }
  }

  /** Never throws for a server that is gone already. @throws {MairustError} `stop_failed`: it is still there at the deadline */
  async stop(deadline: Deadline): Promise<void> {
    if (this.#state === "stopped" || this.#state === "stopping") return;
    this.#state = "stopping";
    this.#stopWatch?.();
    this.#stopping.abort();
    await this.#restarting;
    const server = this.#server;
    this.#server = undefined;
    if (server !== undefined) await endServer(server, deadline);
    this.#serverLog.close();
    await this.#release();
    this.#state = "stopped";
  }

  health(): EmbeddedHealth {
    const running = this.#state === "running";
    const status = running ? "ok" : this.#state === "crashed" ? "degraded" : "error";
    return {
      status,
      detail: running
        ? ""
        : `embedded PostgreSQL is ${this.#state}${this.#detail === "" ? "" : `: ${this.#detail}`}`,
      pid: this.#server?.pid,
      adopted: this.#server !== undefined && this.#server.child === undefined,
      crashes: this.#crashes,
    };
  }

  async #prepare(deadline: Deadline): Promise<void> {
    const { dataDir, log, user = "mairust" } = this.#options;
    this.#identity = await chooseIdentity({ dataDir, clusterDir: this.#clusterDir, user, log }, deadline);
    this.#binaries = await prepareBinaries(dataDir, this.#identity.as);
    const made = await ensureCluster(this.#clusterDir, this.#binaries, this.#identity, deadline);
    if (made === "made") log.info("embedded database made", { folder: this.#clusterDir });
  }

  /** Take over the server that a killed service left. Undefined: there is none, or it ended while we looked. */
  async #adopt(deadline: Deadline): Promise<Server | undefined> {
    let readySince = 0;
    for (;;) {
      const found = findPostmaster(this.#clusterDir);
      if (found === undefined) return undefined;
      if (found.status !== "ready") readySince = 0;
      else if (readySince === 0) readySince = performance.now();
      else if (performance.now() - readySince >= ADOPT_SETTLE_MS) {
        this.#options.log.warn("embedded database adopted: the service before was killed", {
          pid: found.pid,
        });
        return { pid: found.pid, child: undefined, socketDir: found.socketDir, port: found.port };
      }
      await sleep(POLL_MS, deadline.signal);
    }
  }

  async #launch(deadline: Deadline): Promise<Server> {
    const { binaries, identity } = this.#prepared();
    const socketDir = this.#socketDir(identity);
    disarmStaleLocks(this.#clusterDir, socketDir);
    const command = [...identity.prefix, ...identity.dieWithParent, binaries.postgres];
    const [file = "", ...args] = [...command, ...serverArguments(this.#clusterDir, socketDir)];
    const output = this.#serverLog.open();
    const child = spawn(file, args, {
      ...identity.as,
      cwd: "/",
      env: { ...TOOL_ENV },
      stdio: ["ignore", output, output],
      detached: true,
    });
    let failure: Error | undefined;
    child.once("error", error => {
      failure = error;
    });
    const ready = await this.#untilReady(child, () => failure, deadline);
    child.unref();
    return { pid: ready.pid, child, socketDir, port: EMBEDDED_PORT };
  }

  #prepared(): { binaries: PostgresBinaries; identity: Identity } {
    if (this.#binaries === undefined || this.#identity === undefined) {
      throw new MairustError("invalid_state", "Cannot start PostgreSQL: it is not prepared");
    }
    return { binaries: this.#binaries, identity: this.#identity };
  }

  #socketDir(identity: Identity): string {
    const dir = chooseSocketDir(this.#clusterDir, this.#options.runtimeDir);
    if (dir === this.#clusterDir) return dir;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const { uid, gid } = identity.as;
    if (uid !== undefined && gid !== undefined) chownSync(dir, uid, gid);
    return dir;
  }

  /** The server writes "ready" into its pid file once it takes connections; asking for a connection would only fill its log. */
  async #untilReady(
    child: ChildProcess,
    failure: () => Error | undefined,
    deadline: Deadline,
  ): Promise<Postmaster> {
    for (;;) {
      if (failure() !== undefined || child.exitCode !== null || child.signalCode !== null) {
        const why = failure()?.message ?? `it ended with ${child.exitCode ?? child.signalCode}`;
        throw new MairustError(
          "internal",
          `Cannot start PostgreSQL: ${why}; its log ends: ${this.#serverLog.tail()}`,
        );
      }
      const postmaster = readPostmaster(this.#clusterDir);
      if (postmaster?.pid === child.pid && postmaster?.status === "ready") return postmaster;
      try {
        await sleep(POLL_MS, deadline.signal);
      } catch (error) {
        child.kill("SIGQUIT");
        throw error;
      }
    }
  }

  #running(): void {
    const server = this.#server;
    if (server === undefined) return;
    this.#state = "running";
    this.#detail = "";
    const gone = () => this.#onGone(server);
    if (server.child === undefined) {
      this.#stopWatch = every(WATCH_MS, () => {
        if (!isAlive(server.pid)) gone();
      });
    } else if (server.child.exitCode !== null || server.child.signalCode !== null) gone();
    else server.child.once("exit", gone);
  }

  #onGone(server: Server): void {
    if (this.#server !== server || this.#state !== "running") return;
    this.#stopWatch?.();
    this.#state = "crashed";
    this.#server = undefined;
    this.#crashes += 1;
    this.#options.log.error("embedded database went away", { pid: server.pid, log: this.#serverLog.tail() });
    this.#restarting = this.#restart();
  }

  async #restart(): Promise<void> {
    const { signal } = this.#stopping;
    for (let pauseMs = PAUSE_MIN_MS; !signal.aborted; pauseMs = Math.min(pauseMs * 2, PAUSE_MAX_MS)) {
      await sleep(pauseMs, signal).catch(() => undefined);
      if (signal.aborted) return;
      const deadline = deadlineAfter(RESTART_MS, signal);
      try {
        this.#server = await this.#launch(deadline);
        this.#running();
        this.#options.log.info("embedded database is back", {
          pid: this.#server.pid,
          crashes: this.#crashes,
        });
        return;
      } catch (error) {
        this.#detail = messageOf(error);
        this.#options.log.error("embedded database cannot be started again", { reason: this.#detail });
      } finally {
        deadline.dispose();
      }
    }
  }

  /** Undo a start that failed: the server may run, the folder is claimed. */
  async #abandon(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    this.#state = "stopped";
    const deadline = deadlineAfter(QUIT_RESERVE_MS * 2);
    if (server !== undefined) await endServer(server, deadline).catch(() => undefined);
    deadline.dispose();
    this.#serverLog.close();
    await this.#release();
  }

  /** Only what was claimed: a refused start must leave the owner's claim alone. */
  async #release(): Promise<void> {
    const claim = this.#claim;
    this.#claim = undefined;
    if (claim !== undefined) await releaseCluster(claim);
  }
}

function targetOf(server: Server): DatabaseTarget {
  return {
    hosts: [server.socketDir],
    ports: [server.port],
    user: EMBEDDED_ROLE,
    password: "",
    database: EMBEDDED_DATABASE,
    tls: "disable",
    tlsRootFile: undefined,
  };
}

async function endServer(server: Server, deadline: Deadline): Promise<void> {
  signalServer(server, "SIGINT");
  const remainingMs = deadline.remainingMs();
  if (await goneWithin(server, Math.max(remainingMs - QUIT_RESERVE_MS, remainingMs / 2))) return;
  signalServer(server, "SIGQUIT");
  if (await goneWithin(server, QUIT_RESERVE_MS)) return;
  throw new MairustError("stop_failed", `Cannot stop PostgreSQL: process ${server.pid} is still there`);
}

function signalServer(server: Server, signal: NodeJS.Signals): void {
  try {
    process.kill(server.pid, signal);
  } catch {
    // It is gone: that is what was wanted.
  }
}

async function goneWithin(server: Server, ms: number): Promise<boolean> {
  for (const until = performance.now() + ms; ; ) {
    if (!isAlive(server.pid)) return true;
    if (performance.now() >= until) return false;
    await sleep(POLL_MS);
  }
}

/** SQLSTATE invalid_catalog_name. */
const NO_SUCH_DATABASE = "3D000";

/** Make the service's database unless it is there. */
async function ensureDatabase(target: DatabaseTarget, log: Log): Promise<void> {
  const now = deadlineAfter(0);
  try {
    const db = await openDatabase({ target, log, pool: 1 });
    await db.close(now);
  } catch (error) {
    if (sqlstateOf(error) !== NO_SUCH_DATABASE) throw error;
    const db = await openDatabase({ target: { ...target, database: "postgres" }, log, pool: 1 });
    await db.run`create database mairust`;
    await db.close(now);
  } finally {
    now.dispose();
  }
}
