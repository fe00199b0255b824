/**
 * SIGKILL at a named step of a delivery (message path, steps 5 to 7), for the loss proof on a live host. Off unless the configuration
 * allows it, asked again at the step itself; armed for one kill, and for a bounded time.
 */
import type { KillSwitch, KillSwitchState } from "../core/ports/kill-switch.ts";
import type { KillStep } from "../wire/kill-steps.ts";

export interface KillSwitchParts {
  /** `loss_proof.allow_kill` now in effect. */
  readonly allowed: () => boolean;
  readonly now: () => Date;
  /** Ends the process; does not return. */
  readonly kill: () => void;
}

export class StepKillSwitch implements KillSwitch {
  readonly #parts: KillSwitchParts;
  readonly #startedAt: Date;
  #armed: { readonly step: KillStep; readonly until: Date } | undefined;

  constructor(parts: KillSwitchParts) {
    this.#parts = parts;
    this.#startedAt = parts.now();
  }

  state(): KillSwitchState {
    if (this.#armed !== undefined && this.#armed.until <= this.#parts.now()) this.#armed = undefined;
    return {
      allowed: this.#parts.allowed(),
      armed: this.#armed,
      pid: process.pid,
      startedAt: this.#startedAt,
    };
  }

  arm(step: KillStep, withinMs: number): void {
    this.#armed = { step, until: new Date(this.#parts.now().getTime() + withinMs) };
  }

  disarm(): void {
    this.#armed = undefined;
  }

  reached(step: KillStep): void {
    if (this.#armed?.step !== step) return;
    const { allowed, armed } = this.state();
    this.#armed = undefined;
    if (allowed && armed !== undefined) this.#parts.kill();
  }
}

export function killSwitch(parts: Omit<KillSwitchParts, "kill">): StepKillSwitch {
  return new StepKillSwitch({ ...parts, kill: () => process.kill(process.pid, "SIGKILL") });
}
