/** P5, P6: our milter with hooks as they are in the service, against one that accepts everything after the same callbacks. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { sleep } from "../../src/platform/deadline.ts";
import { packageRoot } from "../../src/platform/package-root.ts";
import { judgePlugin } from "../lib/judge-plugin.ts";
import { MilterClient } from "../lib/milter-client.ts";
import { startSidecar } from "../lib/sidecar.ts";
import { interleave, ratioOf, report, type Subject } from "./lib/rounds.ts";

const SESSIONS = 10;
const SIZE_BYTES = 4096;
const ROUNDS = 5;
const WARM_UPS = 3;
const POLL_MS = 20;

interface MilterRow {
  readonly row: string;
  readonly messages: number;
  readonly must: number;
  /** A hook reads the body. */
  readonly hook: boolean;
}

export const MILTER_ROWS: readonly MilterRow[] = [
  { row: "P5", messages: 5000, must: 0.85, hook: false },
  { row: "P6", messages: 1500, must: 0.85, hook: true },
];

export async function benchMilter(row: MilterRow): Promise<void> {
  const scratch = await makeScratch();
  const ours = join(scratch.dir, "m.sock");
  const others = join(scratch.dir, "n.sock");
  const plugin = judgePlugin(join(scratch.dir, "plugins"), ["pre_receive"]);
  const toml = plugin.toml.replace("read_headers", 'read_body = "preview", read_headers');
  const sidecar = await startSidecar({
    dir: join(scratch.dir, "s"),
    logLevel: "warn",
    milterListen: `unix:${ours}`,
    milter: 'socket_group = "0"',
    toml: row.hook ? toml : "",
  });
  const nullMilter = spawn(process.execPath, [
    join(packageRoot(), "build/test/bench/lib/milter-null.js"),
    others,
    row.hook ? "whole" : "headers",
  ]);
  try {
    while (!existsSync(others)) await sleep(POLL_MS);
    const [mairust, bare] = await interleave(
      [load("mairust", ours, row), load("null", others, row)],
      ROUNDS,
      WARM_UPS,
    );
    report(row.row, {
      unit: "messages/s",
      sessions: SESSIONS,
      size_bytes: SIZE_BYTES,
      mairust,
      null: bare,
      ...ratioOf(mairust, bare),
      must: row.must,
    });
  } finally {
    nullMilter.kill();
    await sidecar.stop();
    await scratch.remove();
  }
}

function load(name: string, path: string, { messages }: MilterRow): Subject {
  const body = `${"x".repeat(70)}\r\n`.repeat(SIZE_BYTES / 72);
  return {
    name,
    async run(round) {
      const clients = await Promise.all(Array.from({ length: SESSIONS }, () => MilterClient.open({ path })));
      const started = performance.now();
      let next = 0;
      await Promise.all(
        clients.map(async client => {
          for (let i = next++; i < messages; i = next++) {
            const queueId = `R${round + WARM_UPS}M${i}`;
            const answers = await client.send({ to: ["user@example.test"], headers: HEADERS, body, queueId });
            if (answers.at(-1) !== "c") throw new Error(`${name}: ${answers.join(" ")}`);
          }
        }),
      );
      const seconds = (performance.now() - started) / 1000;
      for (const client of clients) client.quit();
      return messages / seconds;
    },
  };
}

const HEADERS = [
  ["From", " a@load.example"],
  ["To", " user@example.test"],
  ["Date", " Thu, 01 Jan 2026 00:00:00 +0000"],
  ["Message-ID", " <1@load.example>"],
  ["Subject", " load"],
] as const;
