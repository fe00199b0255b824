/** `/api/v1/admin/audit`: who did what to what. */
import { Readable } from "node:stream";
import type { AuditFilter, AuditRecord } from "../../core/ports/audit.ts";
import { exportAudit, listAudit } from "../../services/audit.ts";
import type { ServicePorts } from "../../services/ports.ts";
import { type AuditBody, type AuditFilterQuery, auditRoutes as routes } from "../../wire/api/audit.ts";
import type { App } from "../app-type.ts";
import { timeOf } from "../times.ts";
import { sendPage } from "./paging.ts";

const BASE = "/api/v1/admin/audit";

export function auditRoutesOf(app: App, ports: ServicePorts): void {
  app.get(BASE, { schema: routes.list }, async (request, reply) => {
    const { limit, cursor, ...filter } = request.query;
    return sendPage(request, reply, await listAudit(ports, filterOf(filter), { limit, cursor }), auditBodyOf);
  });
  app.get(`${BASE}/export`, { schema: routes.export }, async (request, reply) =>
    reply
      .header("content-type", "application/x-ndjson; charset=utf-8")
      .send(Readable.from(linesOf(exportAudit(ports, filterOf(request.query))), { objectMode: false })),
  );
}

async function* linesOf(records: AsyncIterable<AuditRecord>): AsyncIterable<string> {
  for await (const record of records) yield `${JSON.stringify(auditBodyOf(record))}\n`;
}

/** @throws {MairustError} `invalid_argument` */
function filterOf({ actor, action, object, since, until }: AuditFilterQuery): AuditFilter {
  return {
    ...(actor === undefined ? {} : { actor }),
    ...(action === undefined ? {} : { action }),
    ...(object === undefined ? {} : { object }),
    ...(since === undefined ? {} : { since: timeOf("the audit log", "since", since) }),
    ...(until === undefined ? {} : { until: timeOf("the audit log", "until", until) }),
  };
}

const auditBodyOf = (record: AuditRecord): AuditBody => ({
  id: record.id,
  at: record.at.toISOString(),
  actor: record.actor,
  action: record.action,
  object: record.object,
  detail: { ...record.detail },
});
