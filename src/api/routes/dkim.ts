/** `/api/v1/domains/{name}/dkim`. */
import { type DkimKeyRecord, dkimName, dkimRecord } from "../../core/ports/dkim.ts";
import { addDkimKey, checkDkimKeys, listDkimKeys, removeDkimKey } from "../../services/dkim.ts";
import type { ServicePorts } from "../../services/ports.ts";
import { type DkimKeyBody, dkimRoutes as routes } from "../../wire/api/dkim.ts";
import { changeBy } from "../actor.ts";
import type { App } from "../app-type.ts";
import { createdCode } from "./paging.ts";

const BASE = "/api/v1/domains/:name/dkim";

export function dkimRoutesOf(app: App, ports: ServicePorts): void {
  app.get(BASE, { schema: routes.list }, async request => ({
    items: (await listDkimKeys(ports, request.params.name)).map(bodyOf),
  }));
  app.post(BASE, { schema: routes.add }, async (request, reply) => {
    const { selector, algorithm, private_key: privateKey } = request.body;
    const asked = { domain: request.params.name, selector, algorithm, privateKey };
    reply.code(createdCode(request.query.dry_run));
    return bodyOf(await addDkimKey(ports, asked, changeBy(request)));
  });
  app.delete(`${BASE}/:selector`, { schema: routes.remove }, async request => {
    const { name, selector } = request.params;
    return bodyOf(await removeDkimKey(ports, name, selector, changeBy(request)));
  });
  app.get(`${BASE}/check`, { schema: routes.check }, async request => ({
    items: (await checkDkimKeys(ports, request.params.name)).map(({ key, dns, found }) => ({
      ...bodyOf(key),
      dns,
      found: found ?? null,
    })),
  }));
}

const bodyOf = (key: DkimKeyRecord): DkimKeyBody => ({
  domain: key.domain,
  selector: key.selector,
  algorithm: key.algorithm,
  dns_name: dkimName(key),
  dns_value: dkimRecord(key),
  created_at: key.createdAt.toISOString(),
});
