/**
 * Outages of database and disks: `npm run outage -- [--rounds 20] [--seed N] [--only stopped,blobs_full]`. Needs root, Postfix, Dovecot and
 * the right to mount. Prints one JSON line per outage and a summary; exit code 1 when a promise was not kept.
 */
import { parseArgs } from "node:util";
import { OUTAGES, outageRun } from "../lib/outage-run.ts";
import { SeededRandom } from "../lib/random.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "20" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    only: { type: "string" },
  },
});
const seed = Number(values.seed);
const random = new SeededRandom(seed);
const wanted = values.only?.split(",");
const kinds = OUTAGES.filter(outage => wanted === undefined || wanted.includes(outage));
const outages = Array.from({ length: Number(values.rounds) }, () => random.shuffled(kinds)).flat();
const report = await outageRun({
  outages,
  seed,
  onOutage: result => process.stdout.write(`${JSON.stringify(result)}\n`),
});
const { promises, violations, isSameProcess } = report;
const lists = [promises.lost, promises.duplicates, promises.problems, violations];
const kept = isSameProcess && lists.every(list => list.length === 0);
process.stdout.write(`${JSON.stringify({ kept, seed, ...report, outages: outages.length }, undefined, 2)}\n`);
process.exitCode = kept ? 0 : 1;
