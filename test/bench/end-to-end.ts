/** P4: smtp-source → Postfix → target until the queue is empty: ours, Dovecot LMTP, and Postfix's discard as the ceiling. */
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Deadline } from "../../src/core/deadline.ts";
import { type Postfix, startPostfix } from "../../src/mailhost/postfix.ts";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { deadlineAfter, sleep } from "../../src/platform/deadline.ts";
import { indexing } from "./lib/indexed.ts";
import { interleave, ratioOf, report, type Subject } from "./lib/rounds.ts";
import { ACCOUNTS, DOMAIN, startTargets } from "./lib/targets.ts";

const SESSIONS = 10;
/** Some seconds of work: what begins and ends a round weighs little. */
const MESSAGES = 1500;
const SIZE_BYTES = 4096;
const ROUNDS = 5;
/** V8 compiles over the first ten thousand messages. */
const WARM_UPS = 6;
const DRAIN_MS = 120_000;
const LOOK_MS = 50;

/** What is measured. */
export const END_TO_END = { unit: "messages/s", sessions: SESSIONS, size_bytes: SIZE_BYTES } as const;

export async function benchEndToEnd(): Promise<void> {
  const targets = await startTargets();
  const indexed = indexing(targets.sidecar);
  const scratch = await makeScratch();
  const servers: Postfix[] = [];
  const open = async (name: string, nextHop: string) => {
    const dir = join(scratch.dir, name);
    await mkdir(dir);
    const deadline = deadlineAfter(60_000);
    const routes = { [DOMAIN]: nextHop };
    // Postfix would slow down its clients when mail comes in faster than it leaves.
    const postfix = await startPostfix(
      { dir, domains: [DOMAIN], routes, settings: { in_flow_delay: "0" } },
      deadline,
    );
    deadline.dispose();
    servers.push(postfix);
    return through(name, postfix);
  };
  try {
    const measured = await interleave(
      [
        {
          ...(await open("mairust", `mairust:inet:127.0.0.1:${targets.sidecar.lmtpPort}`)),
          settle: () => indexed(MESSAGES),
        },
        await open("dovecot", `mairust:inet:127.0.0.1:${targets.dovecot.lmtpPort ?? 0}`),
        await open("discard", "discard:"),
      ],
      ROUNDS,
      WARM_UPS,
    );
    const [ours, dovecot, discard] = measured;
    report("P4", {
      ...END_TO_END,
      mairust: ours,
      dovecot,
      discard,
      ...ratioOf(ours, dovecot),
      ratio_to_discard: (ours?.median ?? 0) / (discard?.median ?? 1),
      must: 1.2,
    });
  } finally {
    for (const postfix of servers) await postfix.stop();
    await targets.stop();
    await scratch.remove();
  }
}

export function through(name: string, postfix: Postfix): Subject {
  return {
    name,
    async run() {
      const started = performance.now();
      // smtp-source -N numbers its recipients: user0, user1, … are made round robin by -r otherwise.
      const per = MESSAGES / SESSIONS;
      const sources = Array.from({ length: SESSIONS }, (_, i) =>
        postfix.run("smtp-source", [
          "-m",
          String(per),
          "-s",
          "1",
          "-l",
          String(SIZE_BYTES),
          "-f",
          "load@load.example",
          "-t",
          `user${(i * 5) % ACCOUNTS}@${DOMAIN}`,
          `inet:127.0.0.1:${postfix.smtpPort}`,
        ]),
      );
      await Promise.all(sources);
      const deadline = deadlineAfter(DRAIN_MS);
      await waitNothingActive(postfix.queueDir, deadline);
      const tookMs = performance.now() - started;
      // Nothing is deferred either.
      await postfix.waitQueueEmpty(deadline);
      deadline.dispose();
      return MESSAGES / (tookMs / 1000);
    },
  };
}

/** A look costs two readings of a folder: `postqueue` would take its share of the processors from what is measured. */
async function waitNothingActive(queueDir: string, deadline: Deadline): Promise<void> {
  const left = async (name: string) => (await readdir(join(queueDir, name))).length;
  while ((await left("incoming")) + (await left("active")) > 0) {
    if (deadline.remainingMs() === 0) throw new Error("mail is still being delivered");
    await sleep(LOOK_MS);
  }
}
