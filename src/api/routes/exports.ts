/** `/api/v1/exports`: what `export imap` writes down. */
import { systemFlagNames } from "../../core/flag-names.ts";
import type { ExportRecord } from "../../core/ports/transfer.ts";
import * as exports from "../../services/exports.ts";
import { flagSetOf } from "../../services/flags.ts";
import type { ServicePorts } from "../../services/ports.ts";
import { type ExportBody, exportRoutes } from "../../wire/api/exports.ts";
import type { App } from "../app-type.ts";

const EXPORTS = "/api/v1/exports";

export function exportRoutesOf(app: App, ports: ServicePorts): void {
  app.post(EXPORTS, { schema: exportRoutes.start }, async (request, reply) => {
    reply.code(201);
    return exportBodyOf(await exports.startExport(ports, request.body));
  });
  app.get(`${EXPORTS}/:id`, { schema: exportRoutes.get }, async request =>
    exportBodyOf(await exports.getExport(ports, Number(request.params.id))),
  );
  app.post(`${EXPORTS}/:id/open`, { schema: exportRoutes.open }, async request => {
    const { uid_validity: uidValidity, ...asked } = request.body;
    await exports.openExportMailbox(ports, { ...asked, uidValidity, exportId: Number(request.params.id) });
    return {};
  });
  app.post(`${EXPORTS}/:id/known`, { schema: exportRoutes.known }, async request => {
    const exportId = Number(request.params.id);
    const { items, more } = await exports.knownExports(ports, { ...request.body, exportId });
    return {
      items: items.map(({ uid, thereUid, flags }) => ({
        uid,
        there_uid: thereUid ?? null,
        flags: systemFlagNames(flags.system),
        keywords: [...flags.keywords],
      })),
      more,
    };
  });
  app.post(`${EXPORTS}/:id/record`, { schema: exportRoutes.record }, async request => {
    const { messages, forget, appending_to: folder, copied, copied_bytes: copiedBytes } = request.body;
    await exports.recordExport(
      ports,
      { ...request.body, exportId: Number(request.params.id) },
      {
        messages: messages.map(({ uid, there_uid: thereUid, flags, keywords }) => ({
          ...{ uid, thereUid },
          flags: flagSetOf(flags, keywords),
        })),
        ...{ forget, copied, copiedBytes },
        appendingTo: folder ?? undefined,
      },
    );
    return {};
  });
  app.post(`${EXPORTS}/:id/finish`, { schema: exportRoutes.finish }, async request => {
    const { state, report } = request.body;
    return exportBodyOf(await exports.finishExport(ports, Number(request.params.id), state, report));
  });
}

const exportBodyOf = (record: ExportRecord): ExportBody => ({
  id: record.id,
  account: record.account,
  target: record.target,
  state: record.state,
  started_at: record.startedAt.toISOString(),
  finished_at: record.finishedAt?.toISOString() ?? null,
  appending_to: record.appendingTo ?? null,
  copied: record.copied,
  copied_bytes: record.copiedBytes,
  report: record.report,
});
