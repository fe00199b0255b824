/**
 * Crash run: `npm run crash -- [--kills 300] [--seed N] [--seconds S] [--every 25] [--relay] [--verbose]`: of stage `store`, or with `--relay`
 * of `hooks` and `mirror` in front of a Dovecot. Needs root, Postfix and Dovecot. Prints one JSON
 * line per phase and a summary; exit code 1 when a promise was not kept or a step was not reached.
 */
import { parseArgs } from "node:util";
import { planKills } from "../lib/crash-plan.ts";
import { relayCrashRun, relayKept } from "../lib/crash-relay-run.ts";
import { crashRun, kept, type PhaseReport } from "../lib/crash-run.ts";
import { RELAY_STEP_NAMES } from "../lib/crash-steps.ts";
import { SeededRandom } from "../lib/random.ts";

/** Findings of each kind that one phase's line names. */
const NAMED = 5;

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "300" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    seconds: { type: "string" },
    every: { type: "string", default: "25" },
    relay: { type: "boolean", default: false },
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

const common = {
  seed,
  every: Number(values.every),
  ...(values.seconds === undefined ? {} : { seconds: Number(values.seconds) }),
  ...(values.verbose ? { onKill: killLine } : {}),
};

async function storeRun(): Promise<{ readonly kept: boolean }> {
  const report = await crashRun({
    ...common,
    kills: planKills(Number(values.kills), new SeededRandom(seed)),
    onPhase: phase => process.stdout.write(`${JSON.stringify(phaseLine(phase))}\n`),
  });
  return { kept: kept(report), ...report };
}

async function relayRun(): Promise<{ readonly kept: boolean }> {
  const kills = planKills(Number(values.kills), new SeededRandom(seed), RELAY_STEP_NAMES);
  const report = await relayCrashRun({ ...common, kills });
  return { kept: relayKept(report), ...report };
}

const verdict = await (values.relay ? relayRun() : storeRun());
process.stdout.write(`${JSON.stringify(verdict, undefined, 2)}\n`);
process.exitCode = verdict.kept ? 0 : 1;
