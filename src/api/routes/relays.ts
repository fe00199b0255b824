/** `/api/v1/routing/relays/pause`, `/api/v1/routing/relays/resume`. */
import type { ServicePorts } from "../../services/ports.ts";
import { pauseRelays, resumeRelays } from "../../services/relays.ts";
import { relayRoutes as routes } from "../../wire/api/relays.ts";
import { actorOf } from "../actor.ts";
import type { App } from "../app-type.ts";

export function relayRoutesOf(app: App, ports: ServicePorts): void {
  app.post("/api/v1/routing/relays/pause", { schema: routes.pause }, async request => ({
    quiet: await pauseRelays(ports, request.body.for_ms, actorOf(request)),
  }));
  app.post("/api/v1/routing/relays/resume", { schema: routes.resume }, async request => {
    resumeRelays(ports, actorOf(request));
    return {};
  });
}
