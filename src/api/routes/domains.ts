/** `/api/v1/domains`. */
import { addDomain, getDomain, listDomains, removeDomain } from "../../services/domains.ts";
import type { ServicePorts } from "../../services/ports.ts";
import { domainRoutes as routes } from "../../wire/api/domains.ts";
import { changeBy } from "../actor.ts";
import type { App } from "../app-type.ts";
import { domainBodyOf } from "../bodies.ts";
import { createdCode, sendPage } from "./paging.ts";

const BASE = "/api/v1/domains";

export function domainRoutesOf(app: App, ports: ServicePorts): void {
  app.get(BASE, { schema: routes.list }, async (request, reply) =>
    sendPage(request, reply, await listDomains(ports, request.query), domainBodyOf),
  );
  app.get(`${BASE}/:name`, { schema: routes.get }, async request =>
    domainBodyOf(await getDomain(ports, request.params.name)),
  );
  app.post(BASE, { schema: routes.add }, async (request, reply) => {
    const { name, accounts = "listed", quota_bytes: quotaBytes = 0, stage = "store" } = request.body;
    const { relay_lmtp: relayLmtp } = request.body;
    const domain = { name, accounts, quotaBytes, stage, ...(relayLmtp === undefined ? {} : { relayLmtp }) };
    reply.code(createdCode(request.query.dry_run));
    return domainBodyOf(await addDomain(ports, domain, changeBy(request)));
  });
  app.delete(`${BASE}/:name`, { schema: routes.remove }, async request =>
    domainBodyOf(await removeDomain(ports, request.params.name, changeBy(request))),
  );
}
