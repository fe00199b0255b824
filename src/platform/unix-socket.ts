/**
 * UNIX sockets as files: the folder above, a socket left over from a process that is gone, mode and group. A socket is never open to more
 * peers than configured, not even between bind and chmod. Sources: unix(7), Postfix master(8) for the sockets' place.
 */
import { chmodSync, chownSync, lstatSync, mkdirSync, readFileSync, unlinkSync } from "node:fs";
import { connect } from "node:net";
import { dirname } from "node:path";
import { umask } from "node:process";
import { MairustError, messageOf } from "../core/errors.ts";
import { deadlineAfter, within } from "./deadline.ts";

/** Who may connect. */
export interface SocketAccess {
  /** Octal text, e.g. "0660". */
  readonly mode: string;
  /** Name or number; "" leaves the process's own. */
  readonly group: string;
}

/** How long a socket that exists may take to accept or refuse. */
const PROBE_MS = 2000;
const GROUP_FILE = "/etc/group";

/**
 * Make the folder, and take away a socket that nobody listens on.
 * @throws {MairustError} `already_exists`: somebody listens, or the path is no socket
 */
export async function prepareSocketPath(path: string): Promise<void> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return;
  if (!stats.isSocket()) throw inUse(path, "the path exists and is no socket");
  if (await isListening(path)) throw inUse(path, "another process listens there");
  unlinkSync(path);
}

function inUse(path: string, reason: string): MairustError {
  return new MairustError("already_exists", `Cannot listen on "unix:${path}": ${reason}`);
}

async function isListening(path: string): Promise<boolean> {
  const socket = connect(path);
  const deadline = deadlineAfter(PROBE_MS);
  const answer = new Promise<boolean>((resolve, reject) => {
    socket.once("connect", () => resolve(true));
    socket.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNREFUSED" || error.code === "ENOENT") resolve(false);
      else reject(error);
    });
  });
  try {
    return await within(answer, deadline);
  } catch {
    return true; // full backlog, no permission: somebody may be there, so it stays
  } finally {
    deadline.dispose();
    socket.destroy();
  }
}

/**
 * Bind with a mask that leaves the socket to its owner, then widen it to what is configured.
 * @param bind  must bind before it returns, as `server.listen(path)` does
 * @throws {MairustError} `config_invalid`: no such group; `not_permitted`: the process may not give it the group
 */
export function bindWithAccess(path: string, access: SocketAccess, bind: () => void): void {
  const gid = access.group === "" ? undefined : findGid(access.group);
  if (access.group !== "" && gid === undefined)
    throw new MairustError(
      "config_invalid",
      `Cannot listen on "unix:${path}": there is no group "${access.group}"`,
    );
  const before = umask(0o077);
  try {
    bind();
  } finally {
    umask(before);
  }
  // A failed bind is reported by the server's error event.
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return;
  try {
    if (gid !== undefined && gid !== stats.gid) chownSync(path, stats.uid, gid);
    chmodSync(path, Number.parseInt(access.mode, 8));
  } catch (error) {
    const message = `Cannot set mode ${access.mode} and group "${access.group}" of "unix:${path}": ${messageOf(error)}`;
    throw new MairustError("not_permitted", message, { cause: error });
  }
}

/** @returns the id of a group in `/etc/group`, or undefined; a number is its own id */
export function findGid(group: string, file = GROUP_FILE): number | undefined {
  if (/^\d+$/.test(group)) return Number(group);
  for (const line of readFileSync(file, "utf8").split("\n")) {
    const [name, , gid] = line.split(":");
    if (name === group && gid !== undefined) return Number(gid);
  }
  return undefined;
}
