/** What a check asks of the host: who may connect to a socket, who answers there, how files are protected, how full disks are. */
import { stat, statfs } from "node:fs/promises";
import { connect } from "node:net";
import { dirname } from "node:path";
import { deadlineAfter } from "../platform/deadline.ts";
import { type ListenAddress, parseListenSpec } from "../platform/listen-spec.ts";
import { tryCommand } from "./run-command.ts";

/** A server on this host greets at once. */
const ANSWER_MS = 2_000;
const GREETING_CHARS = 512;

export interface UserIds {
  readonly uid: number;
  readonly gids: readonly number[];
}

/** @returns undefined: there is no such user */
export async function userIds(name: string): Promise<UserIds | undefined> {
  const uid = await tryCommand("id", ["-u", name]);
  const gids = await tryCommand("id", ["-G", name]);
  if (uid?.code !== 0 || gids?.code !== 0) return undefined;
  return { uid: Number(uid.stdout), gids: gids.stdout.trim().split(" ").map(Number) };
}

/** Why this user cannot connect to a UNIX socket; undefined: it can. */
export async function socketFault(path: string, user: UserIds): Promise<string | undefined> {
  const folders: string[] = [];
  for (let up = dirname(path); ; up = dirname(up)) {
    folders.unshift(up);
    if (up === dirname(up)) break;
  }
  for (const folder of folders) {
    const facts = await stat(folder).catch(() => undefined);
    if (facts === undefined) return `there is no folder ${folder}`;
    if (!isAllowed(facts, user, 0o1)) return `it may not enter ${folder} (mode ${octal(facts.mode)})`;
  }
  const facts = await stat(path).catch(() => undefined);
  if (facts === undefined) return "there is no such socket";
  if (!facts.isSocket()) return "it is no socket";
  return isAllowed(facts, user, 0o2)
    ? undefined
    : `it may not write to it (mode ${octal(facts.mode)}, group ${facts.gid})`;
}

export const octal = (mode: number) => (mode & 0o7777).toString(8).padStart(4, "0");

function isAllowed(
  facts: { readonly mode: number; readonly uid: number; readonly gid: number },
  user: UserIds,
  bit: number,
): boolean {
  if (user.uid === 0) return true;
  if (facts.uid === user.uid) return (facts.mode & (bit << 6)) !== 0;
  if (user.gids.includes(facts.gid)) return (facts.mode & (bit << 3)) !== 0;
  return (facts.mode & bit) !== 0;
}

export type Answer =
  | { readonly kind: "greeting"; readonly text: string }
  | { readonly kind: "silent" }
  | { readonly kind: "refused"; readonly why: string };

/** Connect and wait for a first line. @param waits  the server speaks first; false: a connection is enough */
export async function askListener(spec: string, waits: boolean): Promise<Answer> {
  return askAddress(parseListenSpec(spec), waits);
}

export function askAddress(address: ListenAddress, waits: boolean): Promise<Answer> {
  return new Promise(resolve => {
    const deadline = deadlineAfter(ANSWER_MS);
    const socket =
      address.kind === "unix"
        ? connect({ path: address.path })
        : connect({ host: address.host, port: address.port });
    const done = (answer: Answer) => {
      deadline.dispose();
      socket.destroy();
      resolve(answer);
    };
    let text = "";
    deadline.signal.addEventListener("abort", () => done({ kind: "silent" }));
    socket.setEncoding("utf8");
    socket.once("connect", () => {
      if (!waits) done({ kind: "silent" });
    });
    socket.on("data", (chunk: string) => {
      text = (text + chunk).slice(0, GREETING_CHARS);
      if (text.includes("\n")) done({ kind: "greeting", text: text.split("\r\n")[0] ?? "" });
    });
    socket.once("end", () => done({ kind: "refused", why: "it was closed without a greeting" }));
    socket.once("error", (error: NodeJS.ErrnoException) =>
      done({ kind: "refused", why: error.code ?? error.message }),
    );
  });
}

/** Free megabytes where a path lies, or will lie. */
export async function freeMegabytes(path: string): Promise<number | undefined> {
  for (let at = path; ; at = dirname(at)) {
    const facts = await statfs(at).catch(() => undefined);
    if (facts !== undefined) return Math.floor((facts.bavail * facts.bsize) / 1_048_576);
    if (at === dirname(at)) return undefined;
  }
}

/** Permission bits; undefined: there is no such file, or nobody says. */
export async function modeOf(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.mode;
}
