/**
 * `npm run fuzz -- [target…] [--inputs N] [--seconds S] [--seed N] [--input FILE] [--blind]`
 *
 * Fuzzes each target (all when none is named) with N inputs or for S seconds, whichever ends first. Prints one line per
 * target; a finding with its text, the file that holds its input and the command that runs that input again. Exit code 1
 * when there is one. `--input FILE` runs that input alone; `--blind` goes without coverage, which is faster.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { packageRoot } from "../../src/platform/package-root.ts";
import { type FuzzResult, fuzz } from "./lib/fuzz.ts";
import { TARGETS, type TargetName, targetModule } from "./targets.ts";

const DEFAULT_INPUTS = 1_000_000;
const MEBI = 1_048_576;

interface Plan {
  readonly targets: readonly TargetName[];
  readonly inputs: number;
  readonly seconds: number;
  readonly seed: number;
  readonly replay: readonly Uint8Array[] | undefined;
  readonly coverage: boolean;
}

function isTarget(name: string): name is TargetName {
  return TARGETS.some(known => known === name);
}

function count(text: string, option: string): number {
  const value = Number(text.replaceAll("_", ""));
  if (!Number.isSafeInteger(value) || value < 0)
    throw new Error(`--${option} takes a whole number, not "${text}"`);
  return value;
}

function readPlan(): Plan {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      inputs: { type: "string" },
      seconds: { type: "string" },
      seed: { type: "string" },
      input: { type: "string", multiple: true },
      blind: { type: "boolean" },
    },
  });
  const unknown = positionals.filter(name => !isTarget(name));
  if (unknown.length > 0)
    throw new Error(`no target "${unknown.join('", "')}"; there are ${TARGETS.join(", ")}`);
  return {
    targets: positionals.length === 0 ? TARGETS : positionals.filter(isTarget),
    inputs: values.inputs === undefined ? DEFAULT_INPUTS : count(values.inputs, "inputs"),
    seconds: values.seconds === undefined ? Number.POSITIVE_INFINITY : count(values.seconds, "seconds"),
    seed: values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : count(values.seed, "seed"),
    replay: values.input?.map(file => readFileSync(file)),
    coverage: values.blind !== true,
  };
}

function printResult(name: TargetName, seed: number, result: FuzzResult): void {
  const { stats, seconds, findings, growthBytes } = result;
  console.log(
    JSON.stringify({
      target: name,
      seed,
      inputs: stats.inputs,
      seconds: Number(seconds.toFixed(1)),
      per_second: Math.round(stats.inputs / seconds),
      covered_characters: stats.covered,
      corpus: stats.corpus,
      slowest_ms: stats.slowestMs,
      heap_mib: Math.round(stats.heapBytes / MEBI),
      growth_mib: Math.round(growthBytes / MEBI),
      findings: findings.length,
    }),
  );
  for (const { what, input, file } of findings) {
    console.log(
      `\n${name}: ${what}\n  input (${input.length} octets): ${JSON.stringify(Buffer.from(input).toString("latin1")).slice(0, 500)}`,
    );
    console.log(`  again: npm run fuzz -- ${name} --input ${file}\n`);
  }
}

const plan = readPlan();
const folder = join(packageRoot(), "build/fuzz-findings");
for (const name of plan.targets) {
  const result = await fuzz({
    module: targetModule(name),
    inputs: plan.inputs,
    seconds: plan.seconds,
    seed: plan.seed,
    coverage: plan.coverage,
    findings: folder,
    ...(plan.replay === undefined ? {} : { replay: plan.replay }),
  });
  printResult(name, plan.seed, result);
  if (result.findings.length > 0) process.exitCode = 1;
}
