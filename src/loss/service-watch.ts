/** The service as seen from outside while it is ended and started again by whoever keeps it running (systemd, a container's engine). */
import { MairustError, messageOf } from "../core/errors.ts";
import { sleep } from "../platform/deadline.ts";
import type { KillPoint, LossCalls, ServiceState } from "../wire/loss-calls.ts";

const POLL_MS = 50;
/** A step is reached within this time while canaries are on their way, or it is not part of their way. */
const REACHED_MS = 90_000;
/** A kill stays armed so long; longer than it is waited for, so that "not reached" is true. */
const ARMED_S = 120;

export class ServiceWatch {
  readonly #calls: LossCalls;
  readonly #restartMs: number;

  constructor(calls: LossCalls, restartMs: number) {
    this.#calls = calls;
    this.#restartMs = restartMs;
  }

  /** @throws {MairustError} `store_unavailable`: it is not ready in time */
  async ready(): Promise<ServiceState> {
    const givenUpAt = performance.now() + this.#restartMs;
    for (;;) {
      const state = await this.#calls.state();
      if (state !== undefined) return state;
      if (performance.now() > givenUpAt) {
        const seconds = Math.round(this.#restartMs / 1000);
        const publicText = `the service is not ready after ${seconds} s. Whatever starts it again must do so also after SIGKILL (systemd: Restart=on-failure, StartLimitIntervalSec=0)`;
        throw new MairustError("store_unavailable", `Cannot go on: ${publicText}`, { publicText });
      }
      await sleep(POLL_MS);
    }
  }

  /**
   * End the service once.
   * @param work       sends canaries meanwhile
   * @param push       called again and again: has Postfix try what it deferred
   * @param windowMs   a random kill comes within this time
   * @returns          false: the step was not reached
   * @throws {MairustError} `store_unavailable`: it did not come back; and what `work` throws
   */
  async kill(
    point: KillPoint,
    work: () => Promise<void>,
    push: () => Promise<void>,
    windowMs: number,
  ): Promise<boolean> {
    const before = await this.ready();
    if (point !== "random") await this.#calls.arm(point, ARMED_S);
    const sender = { failed: false };
    const working = work();
    // It is awaited below; until then only the wait for the kill hears of it.
    working.catch(() => {
      sender.failed = true;
    });
    if (point === "random") {
      await sleep(Math.random() * windowMs);
      killProcess(before.pid);
    }
    const isGone = await this.#gone(before, push, sender);
    if (!isGone) await this.#calls.disarm();
    await working;
    if (isGone) await this.ready();
    return isGone;
  }

  async #gone(
    before: ServiceState,
    push: () => Promise<void>,
    sender: { readonly failed: boolean },
  ): Promise<boolean> {
    const givenUpAt = performance.now() + REACHED_MS;
    for (let round = 1; performance.now() < givenUpAt && !sender.failed; round++) {
      const state = await this.#calls.state();
      if (state?.startedAt !== before.startedAt || state.pid !== before.pid) return true;
      await sleep(POLL_MS);
      // Not each time: every push is a few processes.
      if (round % 20 === 0) await push();
    }
    return false;
  }
}

/** @throws {MairustError} `not_permitted` */
function killProcess(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    const publicText = `this user may not end the process ${pid}: run the command as root or as the user of the service`;
    throw new MairustError("not_permitted", `Cannot kill the service: ${messageOf(error)}`, {
      publicText,
      cause: error,
    });
  }
}
