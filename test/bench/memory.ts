/** P12: memory of the service: idle, under many large messages at a time, and per idle IMAP session. */
import { join } from "node:path";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { startSidecar } from "../lib/sidecar.ts";
import { TEN_THOUSAND } from "./imap.ts";
import type { ImapLoad } from "./lib/imap-load.ts";
import { lmtpLoad } from "./lib/lmtp-load.ts";
import { descendants, memoryOf, memoryOfAll, peakOf, resetPeak } from "./lib/process-memory.ts";
import type { ReadSite, Side } from "./lib/read-site.ts";
import { interleave, ratioOf, report, spread } from "./lib/rounds.ts";
import { shareOf } from "./lib/share.ts";
import { address } from "./lib/targets.ts";

const ROUNDS = shareOf(5);
/** Time for the garbage of the start to settle. */
const SETTLE_MS = 10_000;
/** Sessions are measured as the growth of many: one alone drowns in the noise of a heap. */
const SESSIONS = 50;
const SESSION_SETTLE_MS = 4000;
const LARGE_BYTES = 25 * 1024 * 1024;
const LARGE_AT_ONCE = 50;

export async function benchIdleMemory(): Promise<void> {
  const scratch = await makeScratch();
  const rss: number[] = [];
  const pss: number[] = [];
  const database: number[] = [];
  try {
    const sidecar = await startSidecar({ dir: join(scratch.dir, "s"), logLevel: "warn" });
    try {
      for (let round = 0; round < ROUNDS; round++) {
        await sidecar.stop();
        await sidecar.restart();
        await settle(SETTLE_MS);
        const service = memoryOf(sidecar.pid);
        rss.push(service.rss);
        pss.push(service.pss);
        database.push(memoryOfAll(descendants(sidecar.pid)).pss);
      }
    } finally {
      await sidecar.stop();
    }
  } finally {
    await scratch.remove();
  }
  report("P12 idle", {
    unit: "MiB",
    service_rss: spread(rss),
    service_pss: spread(pss),
    embedded_postgres_pss: spread(database),
    must: 150,
    aim: 100,
  });
}

/** 50 messages of 25 MB by LMTP, all at once: the highest RSS that the service had. */
export async function benchLargeMessages(): Promise<void> {
  const scratch = await makeScratch();
  const sidecar = await startSidecar({ dir: join(scratch.dir, "s"), logLevel: "warn" });
  const peaks: number[] = [];
  const rates: number[] = [];
  try {
    for (let round = 0; round < ROUNDS; round++) {
      resetPeak(sidecar.pid);
      const result = await lmtpLoad({
        target: `inet:127.0.0.1:${sidecar.lmtpPort}`,
        sessions: LARGE_AT_ONCE,
        messages: LARGE_AT_ONCE,
        sizeBytes: LARGE_BYTES,
        recipients: i => [address(i)],
        sender: `round${round}@load.example`,
        replyTimeoutMs: 300_000,
      });
      if (result.failures > 0) throw new Error(`${result.failures} failures: ${result.firstFailure}`);
      peaks.push(peakOf(sidecar.pid));
      rates.push((LARGE_AT_ONCE * LARGE_BYTES) / 1_000_000 / result.seconds);
    }
  } finally {
    await sidecar.stop();
    await scratch.remove();
  }
  report("P12 50 × 25 MB", {
    unit: "MiB",
    peak_rss: spread(peaks),
    megabytes_per_second: spread(rates),
    must: 300,
    aim: 200,
  });
}

/** Growth per session that has selected a mailbox of 10 000 messages and is in IDLE, all of one account. */
export async function benchSessionMemory(site: ReadSite): Promise<void> {
  const { reader, ...set } = TEN_THOUSAND;
  await site.fill(reader, set);
  const held = (side: Side) =>
    side === "mairust" ? memoryOf(site.sidecar.pid).pss : memoryOfAll(descendants(site.maildir.pid)).pss;
  const grow = (side: Side) => async () => {
    await settle(SESSION_SETTLE_MS);
    const before = held(side);
    const clients: ImapLoad[] = [];
    for (let i = 0; i < SESSIONS; i++) {
      const client = await site.open(side, "direct", reader);
      await client.command("SELECT INBOX");
      await client.command("FETCH 1:* (FLAGS)");
      await client.idle();
      clients.push(client);
    }
    await settle(SESSION_SETTLE_MS);
    const after = held(side);
    for (const client of clients) client.cut();
    return (after - before) / SESSIONS;
  };
  const [ours, dovecot] = await interleave(
    [
      { name: "mairust", run: grow("mairust") },
      { name: "dovecot", run: grow("dovecot") },
    ],
    ROUNDS,
  );
  report("P12 session", {
    unit: "MiB",
    sessions: SESSIONS,
    messages: set.messages,
    mairust: ours,
    dovecot,
    ...ratioOf(ours, dovecot),
    must: 0.7,
    aim: 0.2,
  });
}

function settle(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms));
}
