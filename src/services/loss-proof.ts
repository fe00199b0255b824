/** Use cases of the loss proof: may the service be ended in the middle of a delivery, and do it at the next one. */
import { MairustError } from "../core/errors.ts";
import type { KillSwitchState } from "../core/ports/kill-switch.ts";
import type { KillStep } from "../wire/kill-steps.ts";
import type { Actor } from "./audit.ts";
import type { ServicePorts } from "./ports.ts";

export function killSwitchState(ports: ServicePorts): KillSwitchState {
  return ports.killSwitch.state();
}

/** @throws {MairustError} `not_permitted` the configuration does not allow it, `store_unavailable` it cannot be recorded */
export async function armKill(
  ports: ServicePorts,
  { step, withinMs, who }: { readonly step: KillStep; readonly withinMs: number } & Actor,
): Promise<KillSwitchState> {
  if (!ports.killSwitch.state().allowed) {
    const publicText =
      "the configuration does not allow it: set loss_proof.allow_kill for the time of the proof";
    throw new MairustError("not_permitted", `Cannot arm a kill: ${publicText}`, { publicText });
  }
  await ports.audit.record({ actor: who, action: "loss_proof.kill", object: step, detail: {} });
  ports.log.warn("kill armed: the process ends at the next delivery", { step, actor: who });
  ports.killSwitch.arm(step, withinMs);
  return ports.killSwitch.state();
}

export function disarmKill(ports: ServicePorts): KillSwitchState {
  ports.killSwitch.disarm();
  return ports.killSwitch.state();
}
