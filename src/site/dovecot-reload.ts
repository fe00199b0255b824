/**
 * Tells a running Dovecot to read its settings anew, and waits until it has.
 *
 * `doveadm reload` is no gentle thing for LMTP: master asks all processes to end, and one that has just saved a message answers 421 to its
 * content instead of 250, so that its client brings it again. Nothing may be under way then, nor begin at a process of before; `doveadm`
 * itself returns before it is done.
 * Source: Dovecot src/master/main.c (sig_reload_settings), src/lmtp/main.c; seen with 2.3.19: 32 of 629 messages twice in 60 reloads.
 */
import { deadlineAfter, sleep } from "../platform/deadline.ts";
import { runCommand, tryCommand } from "./run-command.ts";

/** For a busy host; then it is as it would be by hand. */
const RELOAD_MS = 5_000;
const LOOK_MS = 50;

/** @param args  of `doveadm` and all of Dovecot's commands. @throws {MairustError} as `runCommand` */
export async function reloadDovecot(args: readonly string[]): Promise<void> {
  const [config, lmtp] = [await pidsOf(args, "config"), await pidsOf(args, "lmtp")];
  await runCommand("doveadm", [...args, "reload"]);
  const end = deadlineAfter(RELOAD_MS);
  try {
    // The process that gives others their settings is replaced with each reload.
    while ((await pidsOf(args, "config")).some(pid => config.includes(pid))) await sleep(LOOK_MS, end.signal);
    while (lmtp.some(isAlive)) await sleep(LOOK_MS, end.signal);
  } catch (error) {
    if (end.remainingMs() > 0) throw error;
  } finally {
    end.dispose();
  }
}

/** Those that master has of a service. */
async function pidsOf(args: readonly string[], service: string): Promise<readonly number[]> {
  const result = await tryCommand("doveadm", [...args, "-f", "tab", "process", "status", service]);
  return result?.code === 0 ? pidsIn(result.stdout) : [];
}

/** @param output  a line of titles, then one for each process: name and process id first */
export function pidsIn(output: string): readonly number[] {
  return output
    .split("\n")
    .slice(1)
    .flatMap(line => {
      const pid = Number(line.split("\t")[1]);
      return Number.isInteger(pid) && pid > 0 ? [pid] : [];
    });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
