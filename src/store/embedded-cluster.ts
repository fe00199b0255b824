/**
 * The embedded PostgreSQL's data folder: made, looked at, owned by one service at a time (no message passes here).
 *
 * Failures: `config_invalid` for a folder of another major version; `invalid_state` when another service uses it; `internal` with
 * initdb's own words.
 * Sources: PostgreSQL src/include/utils/pidfile.h (lines of postmaster.pid), src/backend/utils/init/miscinit.c CreateLockFile().
 */
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { chown, mkdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Deadline } from "../core/deadline.ts";
import { MairustError } from "../core/errors.ts";
import { sleep } from "../platform/deadline.ts";
import { syncFolder } from "../platform/sync-folder.ts";
import type { PostgresBinaries } from "./embedded-binaries.ts";
import type { Identity } from "./embedded-identity.ts";
import { commandLineOf, isAlive, runTool, startTimeOf } from "./embedded-process.ts";
import { EMBEDDED_PORT, INITDB_OPTIONS } from "./embedded-settings.ts";

/** Make the data folder unless it is there. It gets its name only when complete, so a cut-short initdb leaves nothing in the way. */
export async function ensureCluster(
  clusterDir: string,
  binaries: PostgresBinaries,
  identity: Identity,
  deadline: Deadline,
): Promise<"made" | "found"> {
  const versionFile = join(clusterDir, "PG_VERSION");
  if (existsSync(versionFile)) {
    const major = readFileSync(versionFile, "utf8").trim();
    if (major !== binaries.major) {
      throw new MairustError(
        "config_invalid",
        `Cannot start the embedded database: "${clusterDir}" is of PostgreSQL ${major}, the programs are ${binaries.major}; ` +
          `make a backup with the version that wrote it and restore it with this one`,
      );
    }
    return "found";
  }
  const partial = `${clusterDir}.partial`;
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial, { mode: 0o700 });
  const { uid, gid } = identity.as;
  if (uid !== undefined && gid !== undefined) await chown(partial, uid, gid);
  const command = [...identity.prefix, binaries.initdb, "-D", partial, ...INITDB_OPTIONS];
  const result = await runTool(command, deadline, identity.as);
  if (result.code !== 0) {
    throw new MairustError(
      "internal",
      `Cannot make the embedded database: initdb ended with ${result.code}: ${result.output.trim()}`,
    );
  }
  await rename(partial, clusterDir);
  syncFolder(clusterDir);
  return "made";
}

/** What `postmaster.pid` says. */
export interface Postmaster {
  readonly pid: number;
  readonly port: number;
  readonly socketDir: string;
  readonly status: "starting" | "ready" | "stopping" | "standby" | "";
}

/** Read a `postmaster.pid`; undefined when the text is not (yet) complete. Pure. */
export function parsePostmasterPid(text: string): Postmaster | undefined {
  const lines = text.split("\n");
  const pid = Number(lines[0]);
  const port = Number(lines[3]);
  if (!Number.isInteger(pid) || pid <= 0 || !Number.isInteger(port)) return undefined;
  const status = (lines[7] ?? "").trim();
  const known = status === "starting" || status === "ready" || status === "stopping" || status === "standby";
  return { pid, port, socketDir: lines[4] ?? "", status: known ? status : "" };
}

export function readPostmaster(clusterDir: string): Postmaster | undefined {
  try {
    return parsePostmasterPid(readFileSync(pidFile(clusterDir), "utf8"));
  } catch {
    // The file is gone: no server.
    return undefined;
  }
}

const pidFile = (clusterDir: string) => join(clusterDir, "postmaster.pid");

/** The server that runs on this folder, if one does: its process is alive and was started with this folder. */
export function findPostmaster(clusterDir: string): Postmaster | undefined {
  const postmaster = readPostmaster(clusterDir);
  return postmaster !== undefined && serves(postmaster.pid, clusterDir) ? postmaster : undefined;
}

function serves(pid: number, clusterDir: string): boolean {
  if (!isAlive(pid)) return false;
  const commandLine = commandLineOf(pid);
  return commandLine === undefined || commandLine.includes(clusterDir);
}

/**
 * After a crash the pid file, and the lock beside the socket, may name a process that is now somebody else (containers reuse numbers)
 * or a zombie; PostgreSQL then refuses to start. Their first line becomes our own number: a server takes its parent's for stale, and
 * goes on to check the shared memory named further down in the pid file, which removing it would switch off.
 */
export function disarmStaleLocks(clusterDir: string, socketDir: string): void {
  if (findPostmaster(clusterDir) !== undefined) return;
  for (const file of [pidFile(clusterDir), join(socketDir, `.s.PGSQL.${EMBEDDED_PORT}.lock`)]) {
    const [pid, dataDir, ...rest] = linesOf(file);
    if (dataDir === undefined || serves(Number(pid), clusterDir)) continue;
    // Outside of our folder the lock may be another cluster's: that is its own matter. (Ours may have been moved here.)
    if (dataDir !== clusterDir && dirname(file) !== clusterDir) continue;
    writeFileSync(file, [String(process.pid), dataDir, ...rest].join("\n"));
  }
}

function linesOf(file: string): readonly string[] {
  try {
    return readFileSync(file, "utf8").split("\n");
  } catch {
    // There is none, which is how it should be; one that cannot be read PostgreSQL names in its refusal.
    return [];
  }
}

/** A service that was just killed may take this long to be gone. */
const DYING_MS = 1_000;
/** Between two attempts, plus up to as much again by chance: two services that got in each other's way must not do so again. */
const CLAIM_PAUSE_MS = 50;
const CLAIM_PREFIX = "postgres.owner";

/**
 * Claim the data folder for this process: each claimant puts up a file of its own, and holds the folder when it then sees no file of
 * another that lives. Whoever comes second sees the first, so two can never hold it, at whatever moment a dead owner's file is
 * removed; two that come together may both see the other, step back and try again.
 *
 * @returns the claim, for {@link releaseCluster}
 * @throws {MairustError} `invalid_state`: another live process holds it
 */
export async function claimCluster(dataDir: string): Promise<string> {
  const claim = `${CLAIM_PREFIX}.${process.pid}-${randomBytes(8).toString("hex")}`;
  const partial = join(dataDir, `postgres.claim.${claim.slice(CLAIM_PREFIX.length + 1)}`);
  const path = join(dataDir, claim);
  for (const until = performance.now() + DYING_MS; ; ) {
    // A claim appears with its content or not at all.
    writeFileSync(partial, `${process.pid} ${startTimeOf(process.pid)}\n`, { mode: 0o600 });
    renameSync(partial, path);
    const holder = otherHolder(dataDir, claim);
    if (holder === undefined) return path;
    await releaseCluster(path);
    if (performance.now() > until) {
      throw new MairustError(
        "invalid_state",
        `Cannot use "${dataDir}": process ${holder} of this service uses its embedded database`,
      );
    }
    await sleep(CLAIM_PAUSE_MS * (1 + Math.random()));
  }
}

/** A live process that claims the folder beside `claim`. Claims of the dead are removed: their names never come again. */
function otherHolder(dataDir: string, claim: string): number | undefined {
  for (const name of readdirSync(dataDir)) {
    if (!name.startsWith(CLAIM_PREFIX) || name === claim) continue;
    const text = readClaim(join(dataDir, name));
    if (text === undefined) continue;
    const [pid = "", startTime = ""] = text.trim().split(" ");
    if (holds(Number(pid), startTime)) return Number(pid);
    rmSync(join(dataDir, name), { force: true });
  }
  return undefined;
}

/** A number that a later process has got again is nobody's claim; without start times our own number is taken for such a one. */
function holds(pid: number, startTime: string): boolean {
  if (!Number.isInteger(pid) || pid <= 0 || !isAlive(pid)) return false;
  return startTimeOf(pid) === startTime && (pid !== process.pid || startTime !== "");
}

/** Give the folder free again. @param claim  what {@link claimCluster} returned */
export async function releaseCluster(claim: string): Promise<void> {
  await rm(claim, { force: true });
}

function readClaim(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    // Given back meanwhile. Anything else must not look like a free folder.
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}
