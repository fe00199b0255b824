/** `/api/v1/imports`, `/api/v1/verify`, and the list of a mailbox that `export` reads. */
import { Readable } from "node:stream";
import type { FastifyRequest } from "fastify";
import { MairustError } from "../../core/errors.ts";
import { systemFlagNames } from "../../core/flag-names.ts";
import type { ImportRecord, SourceUids, Verification } from "../../core/ports/transfer.ts";
import { flagSetOf } from "../../services/flags.ts";
import * as imports from "../../services/imports.ts";
import type { ServicePorts } from "../../services/ports.ts";
import {
  type ImportBody,
  importRoutes,
  type MailboxMessageBody,
  mailboxMessageRoutes,
  type VerifyBody,
  verifyRoutes,
} from "../../wire/api/transfer.ts";
import type { App } from "../app-type.ts";
import { uploadedBytes } from "../upload.ts";
import { createdCode, sendPage } from "./paging.ts";

const IMPORTS = "/api/v1/imports";

export function transferRoutesOf(app: App, ports: ServicePorts): void {
  importRoutesOf(app, ports);
  importStepsOf(app, ports);
  app.post("/api/v1/verify", { schema: verifyRoutes.record }, async (request, reply) => {
    const { account, ...verification } = request.body;
    reply.code(201);
    return verifyBodyOf(await imports.recordVerification(ports, account, verification));
  });
  app.get("/api/v1/verify/:address", { schema: verifyRoutes.get }, async request =>
    verifyBodyOf(await imports.lastVerification(ports, request.params.address)),
  );
  app.get(
    "/api/v1/accounts/:address/mailboxes/:mailbox/messages",
    { schema: mailboxMessageRoutes.list },
    async (request, reply) => {
      const { address, mailbox } = request.params;
      const page = await imports.listMailboxMessages(ports, address, mailbox, request.query);
      return sendPage(request, reply, page, listedBodyOf);
    },
  );
  app.post(
    "/api/v1/accounts/:address/mailboxes/:mailbox/seen",
    { schema: mailboxMessageRoutes.addSeen },
    async request => {
      const { address: account, mailbox } = request.params;
      const { uid_validity: uidValidity, uids } = request.body;
      return { changed: await imports.addSeen(ports, { account, mailbox, uidValidity, uids }) };
    },
  );
}

function importRoutesOf(app: App, ports: ServicePorts): void {
  app.post(IMPORTS, { schema: importRoutes.start }, async (request, reply) => {
    const dryRun = request.query.dry_run === true;
    reply.code(createdCode(dryRun));
    return importBodyOf(await imports.startImport(ports, request.body, dryRun));
  });
  app.get(IMPORTS, { schema: importRoutes.list }, async (request, reply) => {
    const { account, ...page } = request.query;
    return sendPage(request, reply, await imports.listImports(ports, account, page), importBodyOf);
  });
  app.get(`${IMPORTS}/:id`, { schema: importRoutes.get }, async request =>
    importBodyOf(await imports.getImport(ports, Number(request.params.id))),
  );
  app.post(`${IMPORTS}/:id/finish`, { schema: importRoutes.finish }, async request => {
    const { state, report } = request.body;
    return importBodyOf(await imports.finishImport(ports, Number(request.params.id), state, report));
  });
}

/** One pass over one mailbox: open, compare, batches, close. */
function importStepsOf(app: App, ports: ServicePorts): void {
  app.post(`${IMPORTS}/:id/open`, { schema: importRoutes.open }, async request => {
    const { source_uids: uids, folder: from, ...asked } = request.body;
    const dryRun = request.query.dry_run === true;
    const folder = from === undefined ? undefined : { source: from.source, uidValidity: from.uid_validity };
    const opened = await imports.openImportMailbox(
      ports,
      { ...asked, source: sourceUids(uids), folder },
      dryRun,
    );
    const { name, uids: whose, uidsReason, uidNext, known, sourceModseq: modseq } = opened;
    return {
      ...{ name, uids: whose, uids_reason: uidsReason, uid_next: uidNext, known },
      ...(modseq === undefined ? {} : { source_modseq: String(modseq) }),
    };
  });
  app.post(`${IMPORTS}/:id/compare`, { schema: importRoutes.compare }, async request => {
    const { account, mailbox, items } = request.body;
    const messages = items.map(({ key, flags, keywords }) => ({
      key,
      flags: flags === undefined ? undefined : flagSetOf(flags, keywords ?? []),
    }));
    const asked = { account, mailbox, importId: Number(request.params.id), messages };
    const found = await imports.compareImport(ports, asked, request.query.dry_run === true);
    return { results: found.map(one => one.kind), source_uids: found.map(one => one.sourceUid ?? null) };
  });
  app.post(`${IMPORTS}/:id/messages`, { schema: importRoutes.batch }, async request => {
    const { account, mailbox, uid_validity: keep } = request.query;
    const importId = Number(request.params.id);
    const content = batchBytes(request);
    const outcomes = await imports.addBatch(ports, { account, mailbox, importId, keep, content });
    return {
      results: outcomes.map(one => ({
        kind: one.kind,
        uid: "uid" in one ? one.uid : null,
        size_bytes: one.sizeBytes,
      })),
    };
  });
  app.post(`${IMPORTS}/:id/close`, { schema: importRoutes.close }, async request => {
    const { source_uids: uids, seen: to, ...asked } = request.body;
    const importId = Number(request.params.id);
    const seen =
      to === undefined
        ? undefined
        : { source: to.source, uidValidity: to.uid_validity, modseq: BigInt(to.modseq) };
    const closed = await imports.closeImportMailbox(ports, {
      ...asked,
      importId,
      source: sourceUids(uids),
      seen,
    });
    return { uid_next: closed.uidNext, gone_at_source: closed.goneAtSource, uids: closed.uids };
  });
}

const sourceUids = (uids: { uid_validity: number; uid_next: number } | null): SourceUids | undefined =>
  uids === null ? undefined : { uidValidity: uids.uid_validity, uidNext: uids.uid_next };

/** @throws {MairustError} `invalid_argument`: the body came as something else than a batch */
function batchBytes(request: Pick<FastifyRequest, "body" | "raw">): AsyncIterable<Uint8Array> {
  if (request.body instanceof Readable) return uploadedBytes(request.raw);
  const text = "send the batch as application/octet-stream";
  throw new MairustError("invalid_argument", `Cannot take a batch: ${text}`, { publicText: text });
}

const importBodyOf = (record: ImportRecord): ImportBody => ({
  id: record.id === 0 ? null : record.id,
  account: record.account,
  kind: record.kind,
  source: record.source,
  state: record.state,
  started_at: record.startedAt.toISOString(),
  finished_at: record.finishedAt?.toISOString() ?? null,
  copied: record.copied,
  copied_bytes: record.copiedBytes,
  report: record.report,
});

const verifyBodyOf = ({ finishedAt, ...rest }: Verification): VerifyBody => ({
  ...rest,
  finished_at: finishedAt.toISOString(),
});

const listedBodyOf = (message: imports.ListedMessage): MailboxMessageBody => ({
  uid: message.uid,
  flags: systemFlagNames(message.flags.system),
  keywords: [...message.flags.keywords],
  internal_date: message.internalDate.toISOString(),
  size_bytes: message.sizeBytes,
});
