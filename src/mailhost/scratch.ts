/**
 * Folders and ports for the private mail servers of demo, tests and benchmarks.
 *
 * The servers run as several users and listen on UNIX sockets, so a folder must be short (a socket path has at
 * most 107 bytes) and open to other users all the way up; a long or private TMPDIR is passed over.
 */
import { randomInt } from "node:crypto";
import { chmod, mkdtemp, rm, stat } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { MairustError } from "../core/errors.ts";

/** sun_path of Linux less its NUL (unix(7)). */
export const UNIX_SOCKET_PATH_BYTES = 107;
/** Longest folder a mail server gets; what it puts below (`/queue/mairust/milter.sock`, `/run/login/…`) fits into the rest. */
export const MAILHOST_DIR_BYTES = 60;

/** Below those of ip(7), `ip_local_port_range`, and of RFC 6335 §6, "dynamic ports". */
const FIRST_PORT = 20_000;
const END_PORT = 32_000;
const PORT_TRIES = 100;
const givenPorts = new Set<number>();

/** Where other users may pass: search permission for all. */
const SEARCH_FOR_ALL = 0o001;

/**
 * A new folder for private servers: short, and reachable for their users. Its name begins with `mr`.
 *
 * @param candidates  folders to try, the first that serves is taken
 * @returns its path and `remove()`, which deletes it with all it holds
 * @throws {MairustError} `invalid_state` no candidate is short enough and open to other users
 */
export async function makeScratch(
  candidates: readonly string[] = [tmpdir(), "/tmp", "/var/tmp"],
): Promise<{ readonly dir: string; remove(): Promise<void> }> {
  for (const base of candidates) {
    const dir = join(base, "mrXXXXXX");
    if ((await unfitReason(base)) !== undefined || Buffer.byteLength(dir) > MAILHOST_DIR_BYTES) continue;
    const made = await mkdtemp(join(base, "mr"));
    await chmod(made, 0o755);
    return { dir: made, remove: () => rm(made, { recursive: true, force: true, maxRetries: 3 }) };
  }
  throw new MairustError(
    "invalid_state",
    `Cannot make a folder for mail servers: none of "${candidates.join('", "')}" is short and open to other users`,
  );
}

/**
 * Check a folder that is about to hold a mail server.
 *
 * @throws {MairustError} `invalid_argument` with the reason: too long, missing, or closed to other users
 */
export async function checkMailhostDir(dir: string): Promise<void> {
  const reason = await unfitReason(dir);
  if (reason !== undefined) {
    throw new MairustError("invalid_argument", `Cannot keep a mail server in "${dir}": ${reason}`);
  }
}

/**
 * A TCP port of 127.0.0.1 that is free now, another one at each call. It is none of those that the system gives to whoever asks for any
 * port, so nobody is given it before it is used, or where nobody is to listen; another process may take it all the same: a start that
 * fails says so.
 *
 * @throws {MairustError} `internal` none was free in {@link PORT_TRIES} tries
 */
export async function freePort(): Promise<number> {
  for (let i = 0; i < PORT_TRIES; i++) {
    const port = randomInt(FIRST_PORT, END_PORT);
    if (givenPorts.has(port) || !(await isFree(port))) continue;
    givenPorts.add(port);
    return port;
  }
  throw new MairustError("internal", `Cannot find a free port: ${PORT_TRIES} that were tried are in use`);
}

function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise(resolve => {
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

async function unfitReason(dir: string): Promise<string | undefined> {
  if (!dir.startsWith("/")) return "the path is not absolute";
  const bytes = Buffer.byteLength(dir);
  if (bytes > MAILHOST_DIR_BYTES)
    return `the path has ${bytes} bytes, at most ${MAILHOST_DIR_BYTES} leave room for sockets`;
  for (let up = dir; ; up = dirname(up)) {
    const info = await stat(up).catch(() => undefined);
    if (info === undefined || !info.isDirectory()) return `"${up}" is no folder`;
    if ((info.mode & SEARCH_FOR_ALL) === 0) return `"${up}" is closed to other users`;
    if (up === dirname(up)) return undefined;
  }
}
