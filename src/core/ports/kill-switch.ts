/** Ends the service's own process with SIGKILL in the middle of a delivery, where the configuration allows it: the proof that nothing is lost by it. */
import type { KillStep } from "../../wire/kill-steps.ts";

export interface KillSwitchState {
  /** `loss_proof.allow_kill` now. */
  readonly allowed: boolean;
  readonly armed: { readonly step: KillStep; readonly until: Date } | undefined;
  readonly pid: number;
  readonly startedAt: Date;
}

export interface KillSwitch {
  state(): KillSwitchState;
  /** The next delivery that gets to this step within the time ends the process there. What was armed before is not any more. */
  arm(step: KillStep, withinMs: number): void;
  disarm(): void;
  /** A delivery is there. Does not return when this is where the process ends. */
  reached(step: KillStep): void;
}
