/**
 * A node that only stores or only collects, for tests that kill it: `node blob-gc-child.js PLAN` with {@link ChildPlan} as JSON. Says
 * `ready`, then a line for each thing it did.
 */
import { accountId } from "../../src/core/ids.ts";
import { openDatabase } from "../../src/store/db.ts";
import type { DatabaseTarget } from "../../src/store/db-url.ts";
import { openBlobNode } from "./blob-node.ts";
import { silentLog } from "./database.ts";

export interface ChildPlan {
  readonly target: DatabaseTarget;
  readonly folder: string;
  readonly accountId: number;
  /** `put`: deliver and delete without an end. `collect`: the same with runs. Else: one run that kills itself at this step. */
  readonly work: "put" | "collect" | "marking" | "removing" | "removed";
  /** What `put` stores: the same few messages again and again. */
  readonly contents: number;
}

/** Content `n`: every other one is large enough to go by a file. */
export function contentOf(n: number): Buffer {
  const line = `message ${n} of the blob stress test\r\n`;
  return Buffer.from(`Subject: ${n}\r\n\r\n${line.repeat(n % 2 === 0 ? 3 : 4000)}`);
}

async function run(plan: ChildPlan): Promise<void> {
  const db = await openDatabase({ target: plan.target, log: silentLog, pool: 4 });
  const say = (line: string) => process.stdout.write(`${line}\n`);
  const log = { ...silentLog, info: say };
  const node = await openBlobNode(db, plan.folder, log);
  say("ready");
  if (plan.work === "collect") {
    for (;;) {
      const { blobs } = await node.collect({ minAgeS: 0, partsPerRun: 4 });
      if (blobs > 0) say(`collected ${blobs}`);
    }
  }
  if (plan.work !== "put") {
    const { work } = plan;
    await node.collect({
      minAgeS: 0,
      onStep: step => {
        if (step === work) process.kill(process.pid, "SIGKILL");
      },
    });
    return;
  }
  const target = { accountId: accountId(plan.accountId), recipient: "taro@example.test" };
  const putter = async () => {
    for (;;) {
      const id = await node
        .deliver(contentOf(Math.floor(Math.random() * plan.contents)), target)
        .catch(error => {
          say(`refused ${error instanceof Error ? error.message : String(error)}`);
          return undefined;
        });
      if (id === undefined || Math.random() < 0.1) continue;
      await db.begin(async tx => {
        await tx.query`delete from entries where message_id = ${id}::uuid`;
        await tx.query`delete from messages where message_id = ${id}::uuid`;
      });
    }
  };
  await Promise.all([putter(), putter(), putter()]);
}

const [plan] = process.argv.slice(2);
if (plan !== undefined && process.argv[1]?.endsWith("blob-gc-child.js") === true) {
  await run(JSON.parse(plan) as ChildPlan);
}
