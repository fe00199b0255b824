/**
 * As whom the embedded PostgreSQL runs, and through which helpers (no message passes here).
 *
 * PostgreSQL refuses to run as root. A service that is not root runs it as itself; one that is root runs it as the service user
 * if there is one, else in a user namespace where root is an ordinary user (no privilege separation then: outside it is still
 * root). A data directory that exists stays with its owner. Failures: `config_invalid` naming `database.url`.
 * Sources: unshare(1), setpriv(1), prctl(2) PR_SET_PDEATHSIG; PostgreSQL src/backend/main/main.c check_root().
 */
import { existsSync, statSync } from "node:fs";
import type { Deadline } from "../core/deadline.ts";
import { MairustError } from "../core/errors.ts";
import type { Log } from "../core/ports/log.ts";
import { canRead } from "./embedded-binaries.ts";
import { type RunAs, runTool } from "./embedded-process.ts";

export interface Identity {
  readonly kind: "self" | "user" | "namespace";
  /** For spawn; empty for `self` and `namespace`. */
  readonly as: RunAs;
  /** What stands in front of a command that must not be root. */
  readonly prefix: readonly string[];
  /** What stands in front of the server beside that: it ends with its parent. Empty where the system has no such helper. */
  readonly dieWithParent: readonly string[];
}

/** Inside the namespace root becomes uid 1: any uid but 0 that has a passwd entry (initdb asks for its name). */
const UNSHARE = ["unshare", "--user", "--map-user=1", "--map-group=1"];
/** SIGINT is PostgreSQL's fast shutdown. It must come after unshare: a change of credentials clears it. */
const SETPRIV = ["setpriv", "--pdeathsig", "INT"];

export interface IdentityOptions {
  /** Folder of the service's data. */
  readonly dataDir: string;
  /** PostgreSQL's own folder below it; need not exist. */
  readonly clusterDir: string;
  /** Service user to take when this process is root. */
  readonly user: string;
  readonly log: Log;
}

/** @throws {MairustError} `config_invalid`: root, and neither a usable service user nor user namespaces */
export async function chooseIdentity(options: IdentityOptions, deadline: Deadline): Promise<Identity> {
  const euid = process.geteuid?.();
  const owner = existsSync(options.clusterDir) ? statSync(options.clusterDir) : undefined;
  if (euid !== 0) {
    if (owner !== undefined && euid !== undefined && owner.uid !== euid) {
      throw cannot(`"${options.clusterDir}" belongs to user ${owner.uid}, this process is user ${euid}`);
    }
    return complete("self", {}, [], deadline);
  }
  if (owner !== undefined && owner.uid !== 0)
    return complete("user", { uid: owner.uid, gid: owner.gid }, [], deadline);
  const user = owner === undefined ? await findUser(options, deadline) : undefined;
  if (user !== undefined) return complete("user", user, [], deadline);
  const tried = await runTool([...UNSHARE, "true"], deadline).catch(() => undefined);
  if (tried?.code !== 0) {
    throw cannot(
      `PostgreSQL does not run as root, there is no user "${options.user}", and user namespaces are not available`,
    );
  }
  options.log.warn("embedded database runs as root in a user namespace: no privilege separation", {
    advice: `create user "${options.user}" and start the service as it`,
  });
  return complete("namespace", {}, UNSHARE, deadline);
}

async function complete(
  kind: Identity["kind"],
  as: RunAs,
  prefix: readonly string[],
  deadline: Deadline,
): Promise<Identity> {
  const tried = await runTool([...prefix, ...SETPRIV, "true"], deadline, as).catch(() => undefined);
  return { kind, as, prefix, dieWithParent: tried?.code === 0 ? SETPRIV : [] };
}

/** The service user, if it exists and can reach the data folder. */
async function findUser(
  options: IdentityOptions,
  deadline: Deadline,
): Promise<{ uid: number; gid: number } | undefined> {
  const uid = await runTool(["id", "-u", options.user], deadline).catch(() => undefined);
  const gid = await runTool(["id", "-g", options.user], deadline).catch(() => undefined);
  if (uid?.code !== 0 || gid?.code !== 0) return undefined;
  const user = { uid: Number(uid.output.trim()), gid: Number(gid.output.trim()) };
  if (user.uid === 0) return undefined;
  if (canTraverse(options.dataDir, user)) return user;
  options.log.warn("service user cannot reach the data folder: not used for the embedded database", {
    user: options.user,
    folder: options.dataDir,
  });
  return undefined;
}

/** The database's folder is made inside: search permission on the way is enough. */
function canTraverse(dataDir: string, user: RunAs): boolean {
  return canRead(dataDir, user, 1);
}

function cannot(why: string): MairustError {
  return new MairustError(
    "config_invalid",
    `Cannot start the embedded database: ${why}; set database.url to use a PostgreSQL server`,
  );
}
