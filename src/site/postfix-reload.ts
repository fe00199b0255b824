/**
 * Tells a running Postfix to read its settings anew, also where the way to the sidecar is taken out of `master.cf`.
 *
 * On a reload master ends the processes of a service that is not in `master.cf` any more, in the midst of a delivery, and the queue manager
 * gives their messages to the new way at once: what the sidecar was just being handed would be there twice. So that service stays for the
 * reload that takes its mail away, its processes end by themselves, and it goes when they have.
 * Source: Postfix src/master/master_conf.c (master_config, master_delete_children); seen with 3.7.11.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { deadlineAfter, sleep } from "../platform/deadline.ts";
import type { SiteFile } from "../wire/site-calls.ts";
import { putText } from "./files.ts";
import { putService, rawService } from "./master-cf.ts";
import { postfixEnv } from "./postfix-read.ts";
import { runCommand } from "./run-command.ts";

const SERVICE = ["mairust", "unix"] as const;
/** For what is under way: above `lmtp.chain_timeout_ms` as it comes. Then it is as it would be by hand. */
const AGENTS_MS = 40_000;
const LOOK_MS = 100;

/** @returns the text that is in force while the service's mail goes elsewhere; undefined: it does not go, or there is none */
export function textBetween({ was, text }: SiteFile): string | undefined {
  const raw = was === undefined ? undefined : rawService(was, ...SERVICE);
  if (raw === undefined || text === undefined || rawService(text, ...SERVICE) !== undefined) return undefined;
  return putService(text, ...SERVICE, raw);
}

/**
 * @param onReload  after each: from then on it has read files that were changed
 * @returns what was not waited for, for people
 * @throws {MairustError} as `runCommand`; what the system says of a file
 */
export async function reloadPostfix(
  postfixDir: string | undefined,
  masterCf: SiteFile | undefined,
  onReload: () => void,
): Promise<readonly string[]> {
  const env = postfixEnv(postfixDir);
  const reload = async () => {
    await runCommand("postfix", ["reload"], env);
    onReload();
  };
  const between = masterCf === undefined ? undefined : textBetween(masterCf);
  if (masterCf === undefined || between === undefined) {
    await reload();
    return [];
  }
  const queueDir = (await runCommand("postconf", ["-h", "queue_directory"], env)).trim();
  await putText(masterCf.path, between, masterCf.mode);
  const before = await agentsOf(queueDir);
  await reload();
  const left = await ended(queueDir, before);
  await putText(masterCf.path, masterCf.text, masterCf.mode);
  await reload();
  if (left === 0) return [];
  return [
    `${left} processes of Postfix were still at the sidecar after ${AGENTS_MS / 1000} s: what they were handing over may be there twice`,
  ];
}

/** @returns how many are still there when the time is over */
async function ended(queueDir: string, pids: readonly number[]): Promise<number> {
  const end = deadlineAfter(AGENTS_MS);
  try {
    let left = pids;
    while (left.length > 0 && end.remainingMs() > 0) {
      await sleep(LOOK_MS);
      const now = await agentsOf(queueDir);
      left = left.filter(pid => now.includes(pid));
    }
    return left.length;
  } finally {
    end.dispose();
  }
}

/** Processes of the service; none where the system has no `/proc`. */
async function agentsOf(queueDir: string): Promise<readonly number[]> {
  const master = (await readFile(join(queueDir, "pid/master.pid"), "utf8").catch(() => "")).trim();
  const found: number[] = [];
  for (const name of await readdir("/proc").catch(() => [])) {
    if (!/^\d+$/u.test(name)) continue;
    // It may end meanwhile.
    const words = (await readFile(`/proc/${name}/cmdline`, "utf8").catch(() => "")).split("\0");
    if (words[words.indexOf("-n") + 1] !== SERVICE[0]) continue;
    const status = await readFile(`/proc/${name}/status`, "utf8").catch(() => "");
    if (/^PPid:\s*(\d+)$/mu.exec(status)?.[1] === master) found.push(Number(name));
  }
  return found;
}
