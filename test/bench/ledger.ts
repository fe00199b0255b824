/** What recording a call in the egress ledger costs before its payload leaves: it stands in every hook's way. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LedgerEntry } from "../../src/core/ports/ledger.ts";
import { openLedgerFiles } from "../../src/hooks/ledger-files.ts";
import { LedgerSpool } from "../../src/hooks/ledger-spool.ts";
import { deadlineAfter } from "../../src/platform/deadline.ts";
import { report } from "./lib/rounds.ts";

const CALLS = 10_000;
const WARM_UP = 1_000;

export async function benchLedger(): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), "mairust-ledger-"));
  try {
    const spool = new LedgerSpool({ files: await openLedgerFiles(dir), now: Date.now });
    await spool.open();
    for (const callers of [1, 10]) {
      await callAll(spool, callers, WARM_UP);
      const startedAt = performance.now();
      const times = (await callAll(spool, callers, CALLS)).sort((a, b) => a - b);
      const seconds = (performance.now() - startedAt) / 1000;
      report(`ledger ${callers}`, {
        unit: "ms",
        callers,
        p50: times[Math.floor(CALLS * 0.5)],
        p99: times[Math.floor(CALLS * 0.99)],
        per_second: CALLS / seconds,
      });
    }
    await spool.close();
  } finally {
    await rm(dir, { recursive: true });
  }
}

/** @returns the time of each call, in ms */
async function callAll(spool: LedgerSpool, callers: number, calls: number): Promise<number[]> {
  const times: number[] = [];
  const caller = async () => {
    const deadline = deadlineAfter(600_000);
    for (let i = 0; i < calls / callers; i++) {
      const startedAt = performance.now();
      await spool.record(ENTRY, deadline);
      times.push(performance.now() - startedAt);
    }
    deadline.dispose();
  };
  await Promise.all(Array.from({ length: callers }, caller));
  return times;
}

const ENTRY: LedgerEntry = {
  at: new Date(),
  callId: "0190a000-0000-7000-8000-00000000000a",
  messageId: "0190a000-0000-7000-8000-00000000000b",
  queueId: "4WsRJ55TZyz1J2k",
  point: "pre_delivery",
  hook: "spam",
  pluginId: "com.example.mairust.spam-filter",
  pluginVersion: "1.0.0",
  mode: "enforce",
  attempt: 1,
  fields: ["provenance", "headers", "headers_truncated", "envelope", "auth", "context", "body_preview"],
  grants: { read_headers: true, read_body: "preview", write_tags: true, decide: ["reject", "hold"] },
  bytes: 6200,
  digest: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
  destination: "http://127.0.0.1:8081",
  recipients: 1,
};
