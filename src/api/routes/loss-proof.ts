/** `/api/v1/admin/loss-proof`: state of the kill switch, arm it, take it back. */
import type { KillSwitchState } from "../../core/ports/kill-switch.ts";
import { armKill, disarmKill, killSwitchState } from "../../services/loss-proof.ts";
import type { ServicePorts } from "../../services/ports.ts";
import { type KillSwitchBody, lossProofRoutes as routes } from "../../wire/api/loss-proof.ts";
import { KILL_STEPS } from "../../wire/kill-steps.ts";
import { actorOf } from "../actor.ts";
import type { App } from "../app-type.ts";

const BASE = "/api/v1/admin/loss-proof";

export function lossProofRoutesOf(app: App, ports: ServicePorts): void {
  app.get(BASE, { schema: routes.state }, async () => bodyOf(killSwitchState(ports)));
  app.post(`${BASE}/kill`, { schema: routes.arm }, async request => {
    const { step, within_s: withinS } = request.body;
    return bodyOf(await armKill(ports, { step, withinMs: withinS * 1000, who: actorOf(request) }));
  });
  app.delete(`${BASE}/kill`, { schema: routes.disarm }, async () => bodyOf(disarmKill(ports)));
}

function bodyOf({ allowed, armed, pid, startedAt }: KillSwitchState): KillSwitchBody {
  return {
    allowed,
    steps: [...KILL_STEPS],
    armed: armed === undefined ? null : { step: armed.step, until: armed.until.toISOString() },
    pid,
    started_at: startedAt.toISOString(),
  };
}
