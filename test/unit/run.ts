/**
 * Runs every unit test in this one process: on Node 20 a process per file costs far more than the tests themselves.
 * Prints node's own test summary at the end.
 */
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";

/** All unit tests together: far more than they need, it ends what hangs. Also what keeps the process alive while a test waits for a deadline: those timers do not. */
const LIMIT_MS = 300_000;

const here = dirname(fileURLToPath(import.meta.url));
const only = process.argv.slice(2);
const files = readdirSync(here, { recursive: true, withFileTypes: true })
  .filter(entry => entry.isFile() && /\.test\.[jt]s$/u.test(entry.name))
  .map(entry => join(entry.parentPath, entry.name))
  .filter(file => only.length === 0 || only.some(part => file.includes(part)))
  .sort();
const overdue = setTimeout(() => {
  process.stderr.write(`unit tests still run after ${LIMIT_MS} ms\n`);
  process.exit(1);
}, LIMIT_MS);
after(() => clearTimeout(overdue));
const load = async () => {
  for (const file of files) await import(pathToFileURL(file).href);
};
const loaded = load();
// Not while files are loaded: some tests look at memory and at how long things take.
before(() => loaded);
await loaded;
