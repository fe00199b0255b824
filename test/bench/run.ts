/**
 * Benchmarks: `npm run bench [row …]`. Each row starts the servers that it needs in a folder of its own and prints one JSON line;
 * none of them passes or fails. Rows: p1 p2 p3 p4 p12 p14.
 */
import { benchEndToEnd } from "./end-to-end.ts";
import { benchIngest, INGEST_ROWS } from "./ingest.ts";
import { benchIdleMemory, benchStart } from "./process.ts";

const ingest = (prefix: string) => () => benchIngest(INGEST_ROWS.filter(row => row.row.startsWith(prefix)));

const ROWS: Readonly<Record<string, () => Promise<void>>> = {
  p1: ingest("P1"),
  p2: ingest("P2"),
  p3: ingest("P3"),
  p4: benchEndToEnd,
  p12: benchIdleMemory,
  p14: benchStart,
};

const wanted = process.argv.slice(2).map(name => name.toLowerCase());
const unknown = wanted.filter(name => !(name in ROWS));
if (unknown.length > 0) {
  process.stderr.write(`no such row: ${unknown.join(" ")}; there are: ${Object.keys(ROWS).join(" ")}\n`);
  process.exitCode = 64;
} else {
  for (const [name, run] of Object.entries(ROWS))
    if (wanted.length === 0 || wanted.includes(name)) await run();
}
