/**
 * P10: SEARCH of texts, ours with its index against a Dovecot with Maildir and no full-text search, on the same mail; and what the index
 * costs.
 */
import { get } from "node:http";
import { text } from "node:stream/consumers";
import { sleep } from "../../src/platform/deadline.ts";
import type { Sidecar } from "../lib/sidecar.ts";
import { withStore } from "./lib/fill.ts";
import { commandOf, descendants, processorMsOf } from "./lib/process-memory.ts";
import type { ReadSite, Side } from "./lib/read-site.ts";
import { interleave, ratioOf, report } from "./lib/rounds.ts";

const ROUNDS = 5;
const LOOK_MS = 500;
const INDEXED_MS = 3_600_000;

/** Who has which mailbox; the sets are those of other rows, so that one run fills each once. */
const SETS = {
  p10: { reader: 1, messages: 100_000, sizeBytes: 2048, distinct: 1000 },
  "p10-small": { reader: 0, messages: 10_000, sizeBytes: 4096 },
} as const;

/** P10 is about texts. */
const TARGET = { must: 0.05, aim: 0.005 };
/** What a client looks for, and how much of the mail has it. Subjects and senders Dovecot keeps in a cache of its own. */
const SEARCHES = [
  { name: "BODY, in none", key: 'BODY "xylophone"', ...TARGET },
  { name: "BODY, in few", key: 'BODY "order 000777"', ...TARGET },
  { name: "TEXT, in few", key: 'TEXT "4XyZ777"', ...TARGET },
  { name: "TEXT, in none", key: 'TEXT "xylophone"', ...TARGET },
  { name: "SUBJECT, in few", key: 'SUBJECT " 777"' },
  { name: "FROM, in none", key: 'FROM "xylophone"' },
] as const;

export async function benchSearch(site: ReadSite, row: keyof typeof SETS): Promise<void> {
  const { reader, ...set } = SETS[row];
  const before = await indexed(site.sidecar);
  const costBefore = await costOf(site.sidecar);
  const startedAt = performance.now();
  await site.fill(reader, set);
  await untilIndexed(site.sidecar, before + set.messages);
  const cost = await costOf(site.sidecar);
  report(`${row.toUpperCase()} index`, {
    messages: set.messages,
    octets_per_message: (cost.octets - costBefore.octets) / set.messages,
    // Of the process that makes it; reading and storing are the service's and the database's.
    processor_ms_per_message: (cost.processorMs - costBefore.processorMs) / set.messages,
    fill_and_index_s: (performance.now() - startedAt) / 1000,
  });
  for (const { name, key, ...target } of SEARCHES) {
    const [ours, dovecot] = await interleave(
      (["mairust", "dovecot"] as const).map(side => ({
        name: side,
        run: () => timed(site, side, reader, `UID SEARCH ${key}`),
      })),
      ROUNDS,
    );
    report(`${row.toUpperCase()} ${name}`, {
      unit: "ms",
      messages: set.messages,
      mairust: ours,
      dovecot,
      ...ratioOf(ours, dovecot),
      ...target,
    });
  }
}

/** What the index has cost so far. Its process lives as long as there is work, and a bit longer. */
async function costOf(sidecar: Sidecar): Promise<{ readonly octets: number; readonly processorMs: number }> {
  let octets = 0;
  await withStore(sidecar, async db => {
    const [row] = await db.query<{ octets: number }>`
      select pg_total_relation_size('imap_texts')::float8 as octets`;
    octets = row?.octets ?? 0;
  });
  const makers = descendants(sidecar.pid).filter(pid => commandOf(pid).includes("index-process"));
  return { octets, processorMs: makers.reduce((sum, pid) => sum + processorMsOf(pid), 0) };
}

async function timed(site: ReadSite, side: Side, reader: number, command: string): Promise<number> {
  const client = await site.open(side, "direct", reader);
  try {
    await client.command("SELECT INBOX");
    return (await client.command(command)).ms;
  } finally {
    await client.end();
  }
}

async function untilIndexed(sidecar: Sidecar, messages: number): Promise<void> {
  const end = performance.now() + INDEXED_MS;
  while ((await indexed(sidecar)) < messages) {
    if (performance.now() > end) throw new Error(`${messages} messages were not indexed in time`);
    await sleep(LOOK_MS);
  }
}

async function indexed({ apiSocket }: Sidecar): Promise<number> {
  const metrics = await new Promise<string>((resolve, reject) => {
    get({ socketPath: apiSocket, path: "/metrics", agent: false }, answer => {
      text(answer).then(resolve, reject);
    }).on("error", reject);
  });
  const counts = metrics.matchAll(/^mairust_imap_texts_total\{[^}]*\} (\d+)$/gmu);
  return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
}
