/** `/api/v1/held`. */
import { deleteHeld, getHeld, listHeld, rejectHeld, releaseHeld } from "../../services/holds.ts";
import type { ServicePorts } from "../../services/ports.ts";
import { heldRoutes as routes } from "../../wire/api/held.ts";
import { actorOf, changeBy } from "../actor.ts";
import type { App } from "../app-type.ts";
import { heldBodyOf, heldPreviewBodyOf } from "../held-bodies.ts";
import { sendPage } from "./paging.ts";

const BASE = "/api/v1/held";

export function heldRoutesOf(app: App, ports: ServicePorts): void {
  app.get(BASE, { schema: routes.list }, async (request, reply) => {
    const { account, state, hook, ...page } = request.query;
    return sendPage(request, reply, await listHeld(ports, { account, state, hook }, page), heldBodyOf);
  });
  app.get(`${BASE}/:id`, { schema: routes.get }, async request => {
    const { record, preview } = await getHeld(ports, request.params.id, { who: actorOf(request) });
    return { ...heldBodyOf(record), preview: preview === undefined ? null : heldPreviewBodyOf(preview) };
  });
  app.post(`${BASE}/:id/release`, { schema: routes.release }, async request => {
    const asked = {
      id: request.params.id,
      to: request.body?.to,
      dryRun: request.query.dry_run ?? false,
    };
    const { hold, released, kept, sentCopy } = await releaseHeld(ports, asked, { who: actorOf(request) });
    const answers = { released: [...released], kept: [...kept] };
    return { hold: heldBodyOf(hold), ...answers, sent_copy: sentCopy ?? null };
  });
  app.post(`${BASE}/:id/reject`, { schema: routes.reject }, async request => {
    return heldBodyOf(await rejectHeld(ports, request.params.id, changeBy(request)));
  });
  app.post(`${BASE}/:id/delete`, { schema: routes.delete }, async request => {
    return heldBodyOf(await deleteHeld(ports, request.params.id, changeBy(request)));
  });
}
