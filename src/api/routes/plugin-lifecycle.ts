/** `/api/v1/admin/plugins`: the life of a plugin. */
import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import type { FastifyRequest } from "fastify";
import { MairustError } from "../../core/errors.ts";
import type { LifecycleResult, PluginDetail, PluginHealthReport } from "../../core/ports/plugin-lifecycle.ts";
import type { ServicePorts } from "../../services/ports.ts";
import {
  type LifecycleBody,
  type PluginDetailBody,
  type PluginHealthBody,
  lifecycleRoutes as routes,
} from "../../wire/api/plugin-lifecycle.ts";
import { MAX_PACKED_BYTES } from "../../wire/plugin-package.ts";
import { actorOf } from "../actor.ts";
import type { App } from "../app-type.ts";
import { listBodyOf } from "../bodies.ts";
import { uploadedBytes } from "../upload.ts";
import { createdCode } from "./paging.ts";

const BASE = "/api/v1/admin/plugins";
const ONE = `${BASE}/:id`;

type Asked = FastifyRequest & { readonly query: { readonly dry_run?: boolean } };

export function lifecycleRoutesOf(app: App, { lifecycle }: ServicePorts): void {
  const options = (request: FastifyRequest, query: Asked["query"]) => ({
    dryRun: query.dry_run === true,
    actor: actorOf(request),
  });
  app.get(BASE, { schema: routes.list }, async () => listBodyOf(await lifecycle.list(), detailBodyOf));
  app.get(ONE, { schema: routes.get }, async request => detailBodyOf(await lifecycle.get(request.params.id)));
  app.get(`${ONE}/health`, { schema: routes.health }, async request =>
    healthBodyOf(await lifecycle.health(request.params.id)),
  );
  app.post(`${BASE}/verify`, { schema: routes.verify }, async () => {
    await lifecycle.verify();
    return listBodyOf(await lifecycle.list(), detailBodyOf);
  });
  app.post(BASE, { schema: routes.install }, async (request, reply) => {
    const { downgrade = false } = request.query;
    const source = await sourceOf(request.raw, request.body);
    const result = await lifecycle.install(source, { ...options(request, request.query), downgrade });
    reply.code(createdCode(request.query.dry_run));
    return resultBodyOf(result);
  });
  app.post(`${BASE}/upgrade`, { schema: routes.upgrade }, async request => {
    const source = await sourceOf(request.raw, request.body);
    if (!("package" in source)) throw unusable();
    const { downgrade = false } = request.query;
    const given = { ...options(request, request.query), downgrade };
    return resultBodyOf(await lifecycle.upgrade(source.package, given));
  });
  app.post(`${ONE}/approve`, { schema: routes.approve }, async request => {
    const { permissions, digest } = request.body;
    const given = { ...options(request, request.query), permissions, digest };
    return resultBodyOf(await lifecycle.approve(request.params.id, given));
  });
  app.post(`${ONE}/enable`, { schema: routes.enable }, async request => {
    const given = { ...options(request, request.query), mode: request.body.mode };
    return resultBodyOf(await lifecycle.enable(request.params.id, given));
  });
  app.post(`${ONE}/disable`, { schema: routes.disable }, async request => {
    const given = { ...options(request, request.query), cascade: request.query.cascade === true };
    return resultBodyOf(await lifecycle.disable(request.params.id, given));
  });
  app.post(`${ONE}/rollback`, { schema: routes.rollback }, async request =>
    resultBodyOf(await lifecycle.rollback(request.params.id, options(request, request.query))),
  );
  app.post(`${ONE}/uninstall`, { schema: routes.uninstall }, async request => {
    const { cascade = false, purge = false } = request.query;
    const given = { ...options(request, request.query), cascade, purge };
    return resultBodyOf(await lifecycle.uninstall(request.params.id, given));
  });
}

/** @throws {MairustError} `invalid_argument`, `message_too_large`, `data_invalid` */
async function sourceOf(
  raw: IncomingMessage,
  body: unknown,
): Promise<{ readonly package: Uint8Array } | { readonly folder: string }> {
  if (body instanceof Readable) return { package: await packageBytes(raw) };
  const { folder } = { ...(body as { readonly folder?: unknown } | undefined) };
  if (typeof folder === "string") return { folder };
  throw unusable();
}

async function packageBytes(raw: IncomingMessage): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of uploadedBytes(raw)) {
    bytes += chunk.byteLength;
    if (bytes > MAX_PACKED_BYTES) {
      const publicText = `a package has at most ${MAX_PACKED_BYTES} bytes`;
      throw new MairustError("message_too_large", `Cannot take a package: ${publicText}`, { publicText });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function unusable(): MairustError {
  const publicText = 'send a package as application/octet-stream, or to install {"folder": "<id>"}';
  return new MairustError("invalid_argument", `Cannot take a package: ${publicText}`, { publicText });
}

function resultBodyOf({ plugin, done }: LifecycleResult): LifecycleBody {
  return { plugin: detailBodyOf(plugin), done: [...done] };
}

function detailBodyOf({ record, ...plugin }: PluginDetail): PluginDetailBody {
  const { approval } = record ?? {};
  return {
    id: plugin.id,
    name: plugin.name,
    version: plugin.version,
    state: plugin.state,
    reason: plugin.reason ?? null,
    destination: plugin.destination ?? null,
    origin: plugin.origin,
    signature: plugin.signature ?? null,
    signature_detail: plugin.signatureDetail ?? null,
    grants: { ...plugin.grants },
    granted_by: plugin.grantedBy,
    approved_by: approval?.by ?? null,
    approved_at: approval?.at.toISOString() ?? null,
    hooks: plugin.hooks.map(hook => ({ ...hook })),
    previous: [...(record?.previous ?? [])],
    pending: record?.pending ?? null,
    waits_for: plugin.waitsFor.map(({ kind, name }) => (name === "" ? kind : `${kind} ${name}`)),
  };
}

function healthBodyOf(report: PluginHealthReport): PluginHealthBody {
  return {
    id: report.id,
    version: report.version,
    status: report.status,
    detail: report.detail ?? null,
    checked_at: report.checkedAt.toISOString(),
    circuit: report.circuit ?? null,
    crashes: report.crashes.map(({ at, reason }) => ({ at: at.toISOString(), reason })),
    limits: report.limits.map(limit => ({ ...limit })),
    egress: report.egress.map(one => ({
      destination: one.destination,
      connections: one.connections,
      refused: { ...one.refused },
      bytes_up: one.bytesUp,
      bytes_down: one.bytesDown,
    })),
  };
}
