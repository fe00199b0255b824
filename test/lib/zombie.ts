import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { deadlineAfter, sleep } from "../../src/platform/deadline.ts";

const LIMIT_MS = 10_000;

/**
 * A dead process that nobody has asked about, and its parent, which never will. The child ends only when its parent is a program that
 * never waits: a shell may ask about a child that ended before the exec.
 */
export async function makeZombie(): Promise<{ readonly pid: number; readonly parent: ChildProcess }> {
  const parent = spawn("sh", ["-c", "sleep 60 & echo $!; exec sleep 60"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  let output = "";
  parent.stdout.on("data", chunk => {
    output += chunk;
  });
  const deadline = deadlineAfter(LIMIT_MS);
  const until = async (condition: () => boolean) => {
    while (!condition()) await sleep(10, deadline.signal);
  };
  try {
    await until(() => output.includes("\n"));
    const pid = Number(output);
    await until(() => readFileSync(`/proc/${parent.pid}/comm`, "utf8") === "sleep\n");
    process.kill(pid, "SIGKILL");
    await until(() => readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z "));
    return { pid, parent };
  } finally {
    deadline.dispose();
  }
}
