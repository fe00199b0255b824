/** `/api/v1/admin/ledger`: what left for which plugin. */
import type { LedgerEntry } from "../../core/ports/ledger.ts";
import { listLedger } from "../../services/ledger.ts";
import type { ServicePorts } from "../../services/ports.ts";
import { type LedgerBody, ledgerRoutes as routes } from "../../wire/api/ledger.ts";
import type { App } from "../app-type.ts";
import { timeOf } from "../times.ts";
import { sendPage } from "./paging.ts";

export function ledgerRoutesOf(app: App, ports: ServicePorts): void {
  app.get("/api/v1/admin/ledger", { schema: routes.list }, async (request, reply) => {
    const { plugin, hook, message, queue_id: queueId, since, until, ...page } = request.query;
    const filter = {
      ...(plugin === undefined ? {} : { plugin }),
      ...(hook === undefined ? {} : { hook }),
      ...(message === undefined ? {} : { message }),
      ...(queueId === undefined ? {} : { queueId }),
      ...(since === undefined ? {} : { since: timeOf("the ledger", "since", since) }),
      ...(until === undefined ? {} : { until: timeOf("the ledger", "until", until) }),
    };
    return sendPage(request, reply, await listLedger(ports, filter, page), ledgerBodyOf);
  });
}

const ledgerBodyOf = (entry: LedgerEntry): LedgerBody => ({
  at: entry.at.toISOString(),
  call_id: entry.callId,
  attempt: entry.attempt,
  message_id: entry.messageId,
  queue_id: entry.queueId,
  point: entry.point,
  hook: entry.hook,
  plugin: entry.pluginId,
  plugin_version: entry.pluginVersion,
  mode: entry.mode,
  fields: [...entry.fields],
  grants: { ...entry.grants },
  bytes: entry.bytes,
  digest: entry.digest,
  destination: entry.destination,
  recipients: entry.recipients,
});
