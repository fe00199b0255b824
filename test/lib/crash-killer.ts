/** Makes one planned kill after the other, under load, and brings the sidecar up again. */
import { existsSync, rmSync } from "node:fs";
import { deadlineAfter, every, sleep } from "../../src/platform/deadline.ts";
import type { CrashLoad } from "./crash-load.ts";
import type { Kill } from "./crash-plan.ts";
import { firedFile } from "./crash-probe.ts";
import { CRASH_STEPS } from "./crash-steps.ts";
import { killPostgres } from "./postgres-kill.ts";
import type { SeededRandom } from "./random.ts";
import type { Sidecar } from "./sidecar.ts";

/** A step is reached within this time under load, on a busy machine too, or it is not reached. */
const STEP_MS = 120_000;
/** Longest random time between readiness and a kill. */
const RANDOM_MS = 700;
/** Without its PostgreSQL a sidecar that lives on must be ready again after this time. */
const RECOVERY_MS = 120_000;
const START_TRIES = 3;
/** Between two flushes of the queue under load. */
const FLUSH_MS = 400;
const POLL_MS = 10;
/** New messages per kill. */
const BUDGET = 20;
/** A step that was not reached for so long gets as many again. */
const REFILL_MS = 2_000;

export interface KillerOptions {
  readonly sidecar: Sidecar;
  readonly dataDir: string;
  readonly load: CrashLoad;
  readonly random: SeededRandom;
  /** Try all deferred mail now. */
  readonly flush: () => Promise<void>;
}

export interface KillResult {
  /** False: the step was not reached, and the sidecar was killed all the same. */
  readonly reached: boolean;
  /** Of kills that the sidecar survived: until it was ready again. */
  readonly recoveryMs?: number;
}

export class Killer {
  /** Starts that failed although nobody killed the starting process; each was tried again. */
  readonly failedStarts: string[] = [];
  readonly #options: KillerOptions;

  constructor(options: KillerOptions) {
    this.#options = options;
  }

  /** Before: the sidecar is down or up. After: down, but for kills that it survives. */
  async kill(kill: Kill): Promise<KillResult> {
    const { load, random, sidecar } = this.#options;
    if (kill.kind === "startup") return this.#duringStart(kill.victim);
    if (kill.kind === "step") return this.#atStep(kill);
    if (!sidecar.running() || kill.kind === "random") await this.start();
    load.feed("mixed", BUDGET);
    await this.#underLoad(random.whole(0, RANDOM_MS));
    if (kill.kind === "random") {
      await this.#end(kill.victim);
      return { reached: true };
    }
    killPostgres(this.#options.dataDir, kill.part, () => random.next());
    return this.#survived();
  }

  /** A sidecar that is ready, without a plan. One that runs is killed first: its plan has not come true. */
  async start(): Promise<void> {
    const { sidecar } = this.#options;
    for (let tries = 1; ; tries++) {
      await sidecar.kill();
      try {
        return await sidecar.restart();
      } catch (error) {
        // Nobody killed this process: what it said counts as a finding, and an operator's init system would try again.
        this.failedStarts.push(error instanceof Error ? error.message.slice(-1500) : String(error));
        if (tries === START_TRIES) throw error;
      }
    }
  }

  async #atStep({ step, victim, skip }: Kill & { kind: "step" }): Promise<KillResult> {
    const { load, sidecar } = this.#options;
    await sidecar.kill();
    const fired = firedFile(sidecar.configFile);
    rmSync(fired, { force: true });
    // It may be killed before it was seen to be ready: waiting mail is delivered at once.
    const starting = sidecar.restart({ step, skip, victim }).then(
      () => undefined,
      (error: unknown) => error,
    );
    const mode = CRASH_STEPS[step].redeliveriesOnly ? "redeliveries" : "mixed";
    load.feed(mode, BUDGET);
    const failure = await starting;
    if (failure !== undefined && (await sidecar.ended()) !== "SIGKILL") {
      this.failedStarts.push(String(failure).slice(-1500));
      return { reached: false };
    }
    // Steps that not every message reaches may need more of them.
    const endFeeding = every(REFILL_MS, () => load.feed(mode, BUDGET));
    const reached = await this.#underLoad(
      STEP_MS,
      () => !sidecar.running() || (victim === "postgres" && existsSync(fired)),
    );
    endFeeding();
    if (!reached) {
      await sidecar.kill();
      return { reached };
    }
    return victim === "postgres" && sidecar.running() ? this.#survived() : { reached };
  }

  async #duringStart(victim: "sidecar" | "both"): Promise<KillResult> {
    const { sidecar, random } = this.#options;
    await sidecar.kill();
    const usualMs = Math.min(sidecar.readyMs, 1_000);
    const starting = sidecar.restart().catch(() => undefined);
    await sleep(random.whole(0, Math.ceil(usualMs * 1.1)));
    await this.#end(victim);
    await starting;
    return { reached: true };
  }

  /** PostgreSQL first: a sidecar that lived longer could see it go, and answer. */
  async #end(victim: "sidecar" | "both"): Promise<void> {
    if (victim === "both") killPostgres(this.#options.dataDir, "cluster");
    await this.#options.sidecar.kill();
  }

  /** The sidecar must be ready again by itself, and take mail. */
  async #survived(): Promise<KillResult> {
    const { sidecar } = this.#options;
    const started = performance.now();
    // A moment to notice: a server that has just gone may still be reported as ready.
    await sleep(50);
    const ready = await this.#underLoad(RECOVERY_MS, () => sidecar.ready());
    if (!ready) throw new Error(`the sidecar is not ready ${RECOVERY_MS} ms after its PostgreSQL was killed`);
    return { reached: true, recoveryMs: Math.round(performance.now() - started) };
  }

  /** Let mail flow for `ms`, or until `until` says so. @returns false: the time ran out first */
  async #underLoad(ms: number, until: () => boolean | Promise<boolean> = () => false): Promise<boolean> {
    const end = deadlineAfter(ms);
    let flushAt = 0;
    try {
      for (;;) {
        if (await until()) return true;
        if (end.remainingMs() === 0) return false;
        if (performance.now() >= flushAt) {
          flushAt = performance.now() + FLUSH_MS;
          await this.#options.flush();
        }
        await sleep(Math.min(POLL_MS, end.remainingMs()));
      }
    } finally {
      end.dispose();
    }
  }
}
