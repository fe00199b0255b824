/**
 * Crash run: `npm run crash -- [--kills 300] [--seed N] [--seconds S] [--every 25] [--verbose]`. Needs root, Postfix and Dovecot. Prints one JSON
 * line per phase and a summary; exit code 1 when a promise was not kept or a step was not reached.
 */
import { parseArgs } from "node:util";
import { planKills } from "../lib/crash-plan.ts";
import { crashRun, kept, type PhaseReport } from "../lib/crash-run.ts";
import { SeededRandom } from "../lib/random.ts";

/** Findings of each kind that one phase's line names. */
const NAMED = 5;

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "300" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    seconds: { type: "string" },
    every: { type: "string", default: "25" },
    verbose: { type: "boolean", default: false },
  },
});
const seed = Number(values.seed);

function phaseLine({ phase, kills, seconds, drainSeconds, promises }: PhaseReport): object {
  const { lost, duplicates, problems, evidence: _, ...counts } = promises;
  return {
    phase,
    kills,
    seconds,
    drainSeconds,
    ...counts,
    lost: lost.length,
    duplicates: duplicates.length,
    problems: problems.length,
    findings: [...lost.slice(0, NAMED), ...duplicates.slice(0, NAMED), ...problems.slice(0, NAMED)],
  };
}

function killLine(kill: string, reached: boolean, ms: number): void {
  process.stdout.write(`${JSON.stringify({ kill, reached, ms })}\n`);
}

const report = await crashRun({
  kills: planKills(Number(values.kills), new SeededRandom(seed)),
  seed,
  every: Number(values.every),
  ...(values.seconds === undefined ? {} : { seconds: Number(values.seconds) }),
  ...(values.verbose ? { onKill: killLine } : {}),
  onPhase: phase => process.stdout.write(`${JSON.stringify(phaseLine(phase))}\n`),
});
const verdict = kept(report);
process.stdout.write(`${JSON.stringify({ kept: verdict, ...report }, undefined, 2)}\n`);
process.exitCode = verdict ? 0 : 1;
