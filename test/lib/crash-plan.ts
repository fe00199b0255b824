/** Which kills a crash run makes, in which order: chosen by a seed, so that a run can be repeated. Pure. */
import { CRASH_STEP_NAMES, CRASH_STEPS, type CrashStep, type CrashVictim } from "./crash-steps.ts";
import type { PostgresPart } from "./postgres-kill.ts";
import type { SeededRandom } from "./random.ts";

/**
 * `step`: at a named step. `random`: at any time under load. `startup`: between spawn and readiness (and in the middle of recovery).
 * `postgres`: PostgreSQL, or a part of it, at any time while the sidecar lives on.
 */
export type Kill =
  | { readonly kind: "step"; readonly step: CrashStep; readonly victim: CrashVictim; readonly skip: number }
  | { readonly kind: "random"; readonly victim: "sidecar" | "both" }
  | { readonly kind: "startup"; readonly victim: "sidecar" | "both" }
  | { readonly kind: "postgres"; readonly part: PostgresPart };

/** Of 20 kills that are not at steps: at random times, during a start, of PostgreSQL alone. */
const OTHERS = { random: 10, startup: 4, postgres: 6 } as const;
const MAX_SKIP = 6;

/** `name` of a kill in reports. */
export function killName(kill: Kill): string {
  switch (kill.kind) {
    case "step":
      return `step ${kill.step}, ${kill.victim}`;
    case "postgres":
      return `PostgreSQL alone: ${kill.part}`;
    default:
      return `${kill.kind}, ${kill.victim}`;
  }
}

/** @returns `count` kills: as many at each step as at each other, half of all at steps */
export function planKills(
  count: number,
  random: SeededRandom,
  names: readonly CrashStep[] = CRASH_STEP_NAMES,
): readonly Kill[] {
  const rounds = Math.max(1, Math.floor(count / 2 / names.length));
  const steps = stepKills(rounds, random, names).slice(0, count);
  return random.shuffled([...steps, ...otherKills(count - steps.length, random)]);
}

/** @returns `rounds` kills at each step; every second one ends PostgreSQL too, or it alone where that makes sense */
export function stepKills(
  rounds: number,
  random: SeededRandom,
  names: readonly CrashStep[] = CRASH_STEP_NAMES,
): readonly Kill[] {
  return Array.from({ length: rounds }, (_, round) =>
    names.map(step => stepKill(step, round, random)),
  ).flat();
}

function stepKill(step: CrashStep, round: number, random: SeededRandom): Kill {
  const { withoutPostgres, rare } = CRASH_STEPS[step];
  const others: readonly CrashVictim[] = withoutPostgres ? ["postgres", "both"] : ["both"];
  const victim = round % 2 === 0 ? "sidecar" : random.pick(others);
  return { kind: "step", step, victim, skip: rare ? 0 : random.whole(0, MAX_SKIP) };
}

/** @returns `count` kills at no particular step */
export function otherKills(count: number, random: SeededRandom): readonly Kill[] {
  const kinds = (Object.keys(OTHERS) as (keyof typeof OTHERS)[]).flatMap(
    kind => Array(OTHERS[kind]).fill(kind) as (keyof typeof OTHERS)[],
  );
  return Array.from({ length: count }, (_, i) =>
    otherKill(kinds[(i * 7) % kinds.length] ?? "random", random),
  );
}

function otherKill(kind: keyof typeof OTHERS, random: SeededRandom): Kill {
  if (kind === "postgres")
    return { kind, part: random.pick(["cluster", "cluster", "postmaster", "backend"]) };
  return { kind, victim: random.pick(["sidecar", "both"]) };
}
