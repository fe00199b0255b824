/** `/api/v1/jobs`. */
import { cancelJob, getJob, listJobs, retryJob } from "../../services/jobs.ts";
import type { ServicePorts } from "../../services/ports.ts";
import { jobRoutes as routes } from "../../wire/api/jobs.ts";
import { actorOf } from "../actor.ts";
import type { App } from "../app-type.ts";
import { jobBodyOf } from "../bodies.ts";
import { sendPage } from "./paging.ts";

const BASE = "/api/v1/jobs";

export function jobRoutesOf(app: App, ports: ServicePorts): void {
  app.get(BASE, { schema: routes.list }, async (request, reply) => {
    const { kind, state, ...page } = request.query;
    return sendPage(request, reply, await listJobs(ports, { kind, state }, page), jobBodyOf);
  });
  app.get(`${BASE}/:id`, { schema: routes.get }, async request =>
    jobBodyOf(await getJob(ports, Number(request.params.id))),
  );
  app.post(`${BASE}/:id/cancel`, { schema: routes.cancel }, async request =>
    jobBodyOf(await cancelJob(ports, Number(request.params.id), { who: actorOf(request) })),
  );
  app.post(`${BASE}/:id/retry`, { schema: routes.retry }, async request =>
    jobBodyOf(await retryJob(ports, Number(request.params.id), { who: actorOf(request) })),
  );
}
