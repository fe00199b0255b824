/**
 * Benchmarks: `npm run bench [row …]`. Each row starts the servers that it needs in a folder of its own and prints one JSON line;
 * none of them passes or fails. Rows: p1 p2 p3 p4 p5 p6 p7 p8 p9 p10 p11 p12 p13 p14 imap-crowd stage-hooks slow sort sort-large
 * ledger dlp sender-auth; `p10` stands for itself and p10-small, `p12` for p12-idle, p12-large and p12-sessions, `sender-auth` for
 * itself and sender-auth-large. `BENCH_SHARE=0.1` makes the rows that read small, to see that they work; p13 takes a million messages.
 */
import { benchDlp } from "./dlp.ts";
import { benchEndToEnd } from "./end-to-end.ts";
import { benchGrowth } from "./growth.ts";
import { benchHooks } from "./hooks.ts";
import { benchBodies, benchFirstSync, benchFlags } from "./imap.ts";
import { benchImapCrowd } from "./imap-crowd.ts";
import { benchIngest, INGEST_ROWS } from "./ingest.ts";
import { benchLedger } from "./ledger.ts";
import { type ReadSite, startReadSite } from "./lib/read-site.ts";
import { benchIdleMemory, benchLargeMessages, benchSessionMemory } from "./memory.ts";
import { benchMilter, MILTER_ROWS } from "./milter.ts";
import { benchStart } from "./process.ts";
import { benchSearch } from "./search.ts";
import { benchLargeSenders, benchSenderAuth } from "./sender-auth.ts";
import { benchSlowPlugin } from "./slow-plugin.ts";
import { benchSort } from "./sort.ts";
import { benchStageHooks } from "./stage-hooks.ts";

const ingest = (prefix: string) => () => benchIngest(INGEST_ROWS.filter(row => row.row.startsWith(prefix)));

/** Started by the first row that reads, used by all of them. */
let readSite: Promise<ReadSite> | undefined;
const reading = (row: (site: ReadSite) => Promise<void>) => async () => {
  readSite ??= startReadSite();
  await row(await readSite);
};

const ROWS: Readonly<Record<string, () => Promise<void>>> = {
  p1: ingest("P1"),
  p2: ingest("P2"),
  p3: ingest("P3"),
  p4: benchEndToEnd,
  ...Object.fromEntries(MILTER_ROWS.map(row => [row.row.toLowerCase(), () => benchMilter(row)])),
  p7: benchHooks,
  p8: reading(benchFirstSync),
  p9: reading(benchFlags),
  p10: reading(site => benchSearch(site, "p10")),
  "p10-small": reading(site => benchSearch(site, "p10-small")),
  p11: reading(benchBodies),
  "p12-sessions": reading(benchSessionMemory),
  "p12-idle": benchIdleMemory,
  "p12-large": benchLargeMessages,
  p13: benchGrowth,
  p14: benchStart,
  "imap-crowd": benchImapCrowd,
  "stage-hooks": benchStageHooks,
  slow: benchSlowPlugin,
  sort: reading(site => benchSort(site, "sort")),
  "sort-large": reading(site => benchSort(site, "sort-large")),
  ledger: benchLedger,
  dlp: benchDlp,
  "sender-auth": benchSenderAuth,
  "sender-auth-large": benchLargeSenders,
};

/** `p12` means all rows that begin so. */
const isWanted = (name: string, wanted: readonly string[]) =>
  wanted.length === 0 || wanted.some(one => name === one || name.startsWith(`${one}-`));

const wanted = process.argv.slice(2).map(name => name.toLowerCase());
const unknown = wanted.filter(one => !Object.keys(ROWS).some(name => isWanted(name, [one])));
if (unknown.length > 0) {
  process.stderr.write(`no such row: ${unknown.join(" ")}; there are: ${Object.keys(ROWS).join(" ")}\n`);
  process.exitCode = 64;
} else {
  try {
    for (const [name, run] of Object.entries(ROWS)) if (isWanted(name, wanted)) await run();
  } finally {
    await (await readSite)?.stop();
  }
}
