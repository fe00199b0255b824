/**
 * Transport "script, mode worker": a plugin as long-lived processes that speak JSON lines on stdin and stdout.
 *
 * `workers` calls run at once, one per process; one process more stands by warm, so that a recycled or killed one is replaced
 * without a wait. Waiting for a free process counts towards the call's time. Processes are recycled after many calls or an
 * hour; after a kill or crash the next starts at once, then after 1, 2, 4 … 60 s until a call succeeds. With no process left
 * calls fail at once instead of waiting for their time-out.
 */
import type { Deadline } from "../core/deadline.ts";
import { MairustError, type PluginError } from "../core/errors.ts";
import type { ScriptSpec } from "../core/hook-plugin.ts";
import type { PluginTransport, TransportCall } from "../core/ports/plugin-transport.ts";
import { deadlineAfter, sleep, within } from "../platform/deadline.ts";
import { MAX_PAYLOAD_BYTES } from "../wire/hook-payload.ts";
import { callFailure, reasonOf } from "./call-failure.ts";
import { askHealth, HEALTH_TIMEOUT_MS, type Health } from "./health.ts";
import type { StartProcess } from "./plugin-process.ts";
import { startPlain } from "./script-child.ts";
import { HEALTH, readHealth } from "./script-hello.ts";
import { type ScriptEnd, ScriptProcess } from "./script-process.ts";

export interface ScriptWorkerLimits {
  readonly callsPerProcess: number;
  readonly processAgeMs: number;
  /** Calls that wait for a process; the next one fails at once. */
  readonly waiting: number;
  /** Delay before the start that follows the n-th failure in a row, n from 1. */
  readonly backOffMs: (failures: number) => number;
}

export const SCRIPT_WORKER_LIMITS: ScriptWorkerLimits = {
  callsPerProcess: 10_000,
  processAgeMs: 3_600_000,
  waiting: 1000,
  backOffMs: failures => (failures <= 1 ? 0 : Math.min(60, 2 ** (failures - 2)) * 1000),
};

/** @returns the transport of one plugin; nothing runs before `start` */
export function createScriptWorker(
  spec: ScriptSpec,
  limits: ScriptWorkerLimits = SCRIPT_WORKER_LIMITS,
  startProcess: StartProcess = startPlain,
): PluginTransport {
  return new ScriptWorker(spec, limits, startProcess);
}

interface Waiter {
  readonly resolve: (process: ScriptProcess) => void;
  readonly reject: (error: MairustError) => void;
}

class ScriptWorker implements PluginTransport {
  readonly #spec: ScriptSpec;
  readonly #limits: ScriptWorkerLimits;
  readonly #startProcess: StartProcess;
  /** In service or starting; those on their way out are not. */
  readonly #serving = new Set<ScriptProcess>();
  /** Not reaped yet. */
  readonly #alive = new Set<ScriptProcess>();
  readonly #idle: ScriptProcess[] = [];
  #busy = 0;
  readonly #waiting: Waiter[] = [];
  #failures = 0;
  #lastFailure = "";
  #filling: Promise<void> | undefined;
  #isBackingOff = false;
  #state: "created" | "started" | "stopping" = "created";
  readonly #stop = new AbortController();
  #onDrained: (() => void) | undefined;

  constructor(spec: ScriptSpec, limits: ScriptWorkerLimits, startProcess: StartProcess) {
    this.#spec = spec;
    this.#limits = limits;
    this.#startProcess = startProcess;
  }

  /** @throws {MairustError} `plugin_failed`, `deadline`: the first process did not come up; it is tried again in the background */
  async start(deadline: Deadline): Promise<void> {
    if (this.#state !== "created") throw this.#failure("it was started before");
    this.#state = "started";
    try {
      await this.#launch(deadline);
    } finally {
      this.#fill();
    }
  }

  get destination(): string {
    return `script:${this.#spec.command[0] ?? ""}`;
  }

  async call(payload: Uint8Array, _call: TransportCall, deadline: Deadline): Promise<Uint8Array> {
    if (payload.byteLength > MAX_PAYLOAD_BYTES)
      throw this.#failure(`the payload has more than ${MAX_PAYLOAD_BYTES} bytes`);
    const process = this.#takeIdle() ?? (await this.#wait(deadline));
    try {
      const answer = await process.call(payload, deadline);
      this.#failures = 0;
      return answer;
    } finally {
      this.#release(process);
    }
  }

  async health(): Promise<Health> {
    if (this.#state !== "started") return { status: "error", detail: `it is ${this.#state}` };
    const spare = this.#takeSpare();
    const process = spare ?? this.#takeIdle();
    if (process === undefined) {
      if (this.#busy > 0) return { status: "ok", detail: "all workers are busy" };
      return {
        status: "error",
        detail: `no process is ready${this.#lastFailure === "" ? "" : `: ${this.#lastFailure}`}`,
      };
    }
    if (this.#spec.health !== undefined) {
      // It need not know the health line then.
      this.#release(process, process !== spare);
      return askHealth(this.#spec.health, this.#spec, this.#startProcess);
    }
    const deadline = deadlineAfter(HEALTH_TIMEOUT_MS);
    try {
      return readHealth(await process.exchange(HEALTH, deadline));
    } catch (error) {
      return { status: "error", detail: reasonOf(error) };
    } finally {
      deadline.dispose();
      this.#release(process, process !== spare);
    }
  }

  async stop(deadline: Deadline): Promise<void> {
    this.#state = "stopping";
    this.#stop.abort(
      new MairustError("draining", `Cannot call plugin "${this.#spec.pluginId}": it is being stopped`),
    );
    this.#rejectWaiting(
      new MairustError("draining", `Cannot call plugin "${this.#spec.pluginId}": it is being stopped`),
    );
    if (this.#busy > 0) await this.#drained(deadline);
    await Promise.all([...this.#alive].map(process => process.leave(deadline)));
    await this.#filling;
  }

  /** Running calls have ended, or the deadline has passed. */
  async #drained(deadline: Deadline): Promise<void> {
    const drained = new Promise<void>(resolve => {
      this.#onDrained = resolve;
    });
    try {
      await within(drained, deadline);
    } catch {
      // Out of time: the calls end with their processes, which are ended next.
    }
  }

  #takeIdle(): ScriptProcess | undefined {
    if (this.#state !== "started" || this.#busy >= this.#spec.workers) return undefined;
    for (let process = this.#idle.pop(); process !== undefined; process = this.#idle.pop()) {
      if (process.isEnded) continue;
      if (process.ageMs > this.#limits.processAgeMs) this.#retire(process);
      else {
        this.#busy++;
        return process;
      }
    }
    return undefined;
  }

  /** One that no call needs now: what it is asked costs no call its turn. @returns undefined: there is none */
  #takeSpare(): ScriptProcess | undefined {
    if (this.#idle.length <= this.#spec.workers - this.#busy) return undefined;
    const spare = this.#idle.shift();
    return spare?.isEnded === true ? undefined : spare;
  }

  #wait(deadline: Deadline): Promise<ScriptProcess> {
    if (this.#state === "created") throw this.#failure("it is not started");
    if (this.#state === "stopping") throw this.#stop.signal.reason;
    if (this.#isDown()) throw this.#failure(`no process runs: ${this.#lastFailure}`);
    if (this.#waiting.length >= this.#limits.waiting) throw this.#failure("too many calls wait");
    return new Promise((resolve, reject) => {
      const settle = () => deadline.signal.removeEventListener("abort", onAbort);
      const waiter: Waiter = {
        resolve: process => {
          settle();
          resolve(process);
        },
        reject: error => {
          settle();
          reject(error);
        },
      };
      const onAbort = () => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
        reject(deadline.signal.reason);
      };
      if (deadline.signal.aborted) return reject(deadline.signal.reason);
      deadline.signal.addEventListener("abort", onAbort, { once: true });
      this.#waiting.push(waiter);
    });
  }

  /** Nothing runs and nothing is about to: waiting would only use up the time. */
  #isDown(): boolean {
    return this.#isBackingOff && this.#serving.size === 0;
  }

  /** @param inTurn  it was taken for a call, or in place of one */
  #release(process: ScriptProcess, inTurn = true): void {
    if (inTurn) this.#busy--;
    if (!process.isEnded) {
      if (process.calls >= this.#limits.callsPerProcess || process.isWorn) this.#retire(process);
      else this.#idle.push(process);
    }
    if (this.#busy === 0) this.#onDrained?.();
    this.#serve();
  }

  #serve(): void {
    while (this.#waiting.length > 0) {
      const process = this.#takeIdle();
      if (process === undefined) return;
      this.#waiting.shift()?.resolve(process);
    }
  }

  #rejectWaiting(error: MairustError): void {
    for (const waiter of this.#waiting.splice(0)) waiter.reject(error);
  }

  /** It goes when it likes, but not for ever; the spare takes over at once. */
  #retire(process: ScriptProcess): void {
    this.#serving.delete(process);
    void process.leave(deadlineAfter(Number.POSITIVE_INFINITY));
    this.#fill();
  }

  /** Start one process and shake hands. @throws {MairustError} when it did not come up; it is gone then */
  async #launch(deadline: Deadline): Promise<void> {
    // A stop may have come while a start was on its way: it has ended all it knew of.
    this.#stop.signal.throwIfAborted();
    let process: ScriptProcess;
    try {
      process = new ScriptProcess(this.#spec, this.#startProcess);
    } catch (error) {
      this.#onFailure(reasonOf(error));
      throw this.#failure(reasonOf(error));
    }
    this.#serving.add(process);
    this.#alive.add(process);
    void process.ended.then(end => this.#onEnded(process, end));
    await process.handshake(deadline);
    this.#idle.push(process);
    this.#serve();
  }

  #onEnded(process: ScriptProcess, end: ScriptEnd): void {
    this.#alive.delete(process);
    this.#serving.delete(process);
    const place = this.#idle.indexOf(process);
    if (place !== -1) this.#idle.splice(place, 1);
    if (end.planned || this.#state === "stopping") return;
    this.#onFailure(end.reason);
    if (end.crashed) this.#spec.onCrash?.(end.reason);
    this.#fill();
  }

  #onFailure(reason: string): void {
    this.#failures++;
    this.#lastFailure = reason;
    this.#spec.onNotice(reason);
  }

  /** Keep the workers and one spare running: one start at a time, with a growing pause while they fail. */
  #fill(): void {
    this.#filling ??= this.#keepFilled().finally(() => {
      this.#filling = undefined;
      // A process may have ended between the last look and now.
      if (this.#needsMore()) this.#fill();
    });
  }

  #needsMore(): boolean {
    return this.#state === "started" && this.#serving.size <= this.#spec.workers;
  }

  async #keepFilled(): Promise<void> {
    while (this.#needsMore()) {
      try {
        await this.#backOff(this.#limits.backOffMs(this.#failures));
        await this.#launch(ENDLESS);
      } catch (error) {
        // Counted where it happened, or we are being stopped; the loop's condition tells which.
        this.#lastFailure = reasonOf(error);
      }
    }
  }

  async #backOff(ms: number): Promise<void> {
    if (ms === 0) return;
    this.#isBackingOff = true;
    if (this.#isDown()) this.#rejectWaiting(this.#failure(`no process runs: ${this.#lastFailure}`));
    try {
      await sleep(ms, this.#stop.signal);
    } finally {
      this.#isBackingOff = false;
    }
  }

  #failure(why: string): PluginError {
    return callFailure(this.#spec.pluginId, why);
  }
}

/** For starts in the background: the handshake has its own end. */
const ENDLESS: Deadline = {
  remainingMs: () => Number.POSITIVE_INFINITY,
  signal: new AbortController().signal,
};
