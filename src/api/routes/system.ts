/** `/livez`, `/readyz`, `/metrics`, and `/api/v1/admin/*` about the service itself. */
import type { FastifyRequest } from "fastify";
import type { CheckView } from "../../core/admin-ports.ts";
import type { ServicePorts } from "../../services/ports.ts";
import {
  listComponents,
  readiness,
  reloadConfiguration,
  scrapeMetrics,
  showConfiguration,
} from "../../services/system.ts";
import { systemRoutes as routes } from "../../wire/api/system.ts";
import { changeBy } from "../actor.ts";
import type { App } from "../app-type.ts";
import { listBodyOf } from "../bodies.ts";

/** Reasons may hold texts of plugins, paths and host names: whoever has no login gets these instead. */
const PUBLIC_REASONS: Readonly<Record<CheckView["status"], string>> = {
  ok: "",
  degraded: "works in part; the UNIX socket tells more",
  error: "does not work; the UNIX socket tells more",
};

/** @param isAdmin  whether a request may see more than its peer has to know */
export function systemRoutesOf(
  app: App,
  ports: ServicePorts,
  isAdmin: (request: FastifyRequest) => boolean,
): void {
  app.get("/livez", async (_request, reply) => reply.type("text/plain; charset=utf-8").send("ok\n"));
  app.get("/readyz", { schema: routes.readyz }, async (request, reply) => {
    const { ready, checks } = await readiness(ports);
    reply.code(ready ? 200 : 503);
    if (isAdmin(request)) return { ready, checks: [...checks] };
    return { ready, checks: checks.map(check => ({ ...check, reason: PUBLIC_REASONS[check.status] })) };
  });
  app.get("/metrics", async (_request, reply) => {
    const { contentType, text } = await scrapeMetrics(ports);
    return reply.header("content-type", contentType).send(text);
  });
  app.get("/api/v1/admin/components", { schema: routes.components }, async () =>
    listBodyOf(listComponents(ports), component => ({ ...component })),
  );
  app.get("/api/v1/admin/config", { schema: routes.config }, async () =>
    listBodyOf(showConfiguration(ports), entry => ({ ...entry })),
  );
  app.post("/api/v1/admin/reload", { schema: routes.reload }, async request => {
    const { applied, needRestart } = await reloadConfiguration(ports, changeBy(request));
    return { applied: [...applied], need_restart: [...needRestart] };
  });
}
