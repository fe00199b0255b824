/** `/api/v1/admin/undo`. */
import type { ServicePorts } from "../../services/ports.ts";
import { undoPlugin } from "../../services/undo.ts";
import { undoRoutes as routes } from "../../wire/api/undo.ts";
import { actorOf } from "../actor.ts";
import type { App } from "../app-type.ts";
import { timeOf } from "../times.ts";

export function undoRoutesOf(app: App, ports: ServicePorts): void {
  app.post("/api/v1/admin/undo", { schema: routes.start }, async (request, reply) => {
    const { plugin, version, hook, since, until, account } = request.body;
    const time = (name: string, text: string | undefined) =>
      text === undefined ? undefined : timeOf("changes", name, text);
    const times = { since: time("since", since), until: time("until", until) };
    const asked = { plugin, version, hook, account, ...times };
    const dryRun = request.query.dry_run === true;
    const { job, ...counts } = await undoPlugin(ports, asked, { actor: actorOf(request), dryRun });
    reply.status(job === undefined ? 200 : 202);
    return { ...counts, job: job ?? null };
  });
}
