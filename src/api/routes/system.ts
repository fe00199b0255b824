/** `/livez`, `/readyz`, `/metrics`, and `/api/v1/admin/*` about the service itself. */
import type { ServicePorts } from "../../services/ports.ts";
import {
  listComponents,
  readiness,
  reloadConfiguration,
  scrapeMetrics,
  showConfiguration,
} from "../../services/system.ts";
import { systemRoutes as routes } from "../../wire/api/system.ts";
import type { App } from "../app-type.ts";
import { listBodyOf } from "../bodies.ts";

export function systemRoutesOf(app: App, ports: ServicePorts): void {
  app.get("/livez", async (_request, reply) => reply.type("text/plain; charset=utf-8").send("ok\n"));
  app.get("/readyz", { schema: routes.readyz }, async (_request, reply) => {
    const { ready, checks } = await readiness(ports);
    reply.code(ready ? 200 : 503);
    return { ready, checks: [...checks] };
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
    const dryRun = request.query.dry_run === true;
    const { applied, needRestart } = await reloadConfiguration(ports, { dryRun });
    return { applied: [...applied], need_restart: [...needRestart] };
  });
}
