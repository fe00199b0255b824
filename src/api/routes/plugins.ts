/** `/api/v1/admin/plugins`: logs and secrets. */
import { readPluginLog, rotatePluginSecret } from "../../services/plugins.ts";
import type { ServicePorts } from "../../services/ports.ts";
import { pluginRoutes as routes } from "../../wire/api/plugins.ts";
import { actorOf } from "../actor.ts";
import type { App } from "../app-type.ts";
import { newSecretBodyOf } from "../bodies.ts";

const BASE = "/api/v1/admin/plugins";

export function pluginRoutesOf(app: App, ports: ServicePorts): void {
  app.get(`${BASE}/:id/logs`, { schema: routes.log }, async request => {
    const { lines, end } = await readPluginLog(ports, request.params.id, request.query);
    return { lines: [...lines], end };
  });
  app.post(`${BASE}/:id/secrets/rotate`, { schema: routes.rotate }, async (request, reply) => {
    const { id } = request.params;
    reply.header("cache-control", "no-store");
    return newSecretBodyOf(
      id,
      await rotatePluginSecret(ports, id, request.query.grace_s, { who: actorOf(request) }),
    );
  });
}
