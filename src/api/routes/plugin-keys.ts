/** `/api/v1/admin/plugin-keys`, `/api/v1/admin/plugin-revocations`. */
import type { FastifyRequest } from "fastify";
import type { Revocation, TrustedKey } from "../../core/ports/plugin-keys.ts";
import {
  forgetPluginKey,
  type KeyChange,
  listPluginKeys,
  listRevocations,
  revoke,
  trustPluginKey,
  unrevoke,
} from "../../services/plugin-keys.ts";
import type { ServicePorts } from "../../services/ports.ts";
import type { ChangeQuery } from "../../wire/api/common.ts";
import {
  type PluginKeyBody,
  type RevocationBody,
  pluginKeyRoutes as routes,
} from "../../wire/api/plugin-keys.ts";
import { actorOf } from "../actor.ts";
import type { App } from "../app-type.ts";
import { listBodyOf } from "../bodies.ts";
import { createdCode } from "./paging.ts";

const KEYS = "/api/v1/admin/plugin-keys";
const REVOCATIONS = "/api/v1/admin/plugin-revocations";

export function pluginKeyRoutesOf(app: App, ports: ServicePorts): void {
  app.get(KEYS, { schema: routes.list }, async () => listBodyOf(await listPluginKeys(ports), keyBodyOf));
  app.post(KEYS, { schema: routes.trust }, async (request, reply) => {
    const { public_key: pem, role, label } = request.body;
    const key = await trustPluginKey(ports, { pem, role, label }, changeOf(request, request.query));
    reply.code(createdCode(request.query.dry_run));
    return keyBodyOf(key);
  });
  app.delete(`${KEYS}/:id`, { schema: routes.remove }, async request =>
    keyBodyOf(await forgetPluginKey(ports, request.params.id, changeOf(request, request.query))),
  );
  app.get(REVOCATIONS, { schema: routes.revocations }, async () =>
    listBodyOf(await listRevocations(ports), revocationBodyOf),
  );
  app.put(`${REVOCATIONS}/:kind/:value`, { schema: routes.revoke }, async request =>
    revocationBodyOf(await revoke(ports, request.params, request.body, changeOf(request, request.query))),
  );
  app.delete(`${REVOCATIONS}/:kind/:value`, { schema: routes.unrevoke }, async request =>
    revocationBodyOf(await unrevoke(ports, request.params, changeOf(request, request.query))),
  );
}

const changeOf = (request: FastifyRequest, query: ChangeQuery): KeyChange => ({
  actor: actorOf(request),
  dryRun: query.dry_run === true,
});

const keyBodyOf = (key: TrustedKey): PluginKeyBody => ({
  id: key.id,
  role: key.role,
  algorithm: key.algorithm,
  label: key.label,
  public_key: pemOf(key.spki),
  added_by: key.addedBy,
  added_at: key.addedAt.toISOString(),
});

/** RFC 7468 §13. */
function pemOf(spki: Uint8Array): string {
  const lines =
    Buffer.from(spki)
      .toString("base64")
      .match(/.{1,64}/gu) ?? [];
  return `-----BEGIN PUBLIC KEY-----\n${lines.join("\n")}\n-----END PUBLIC KEY-----\n`;
}

const revocationBodyOf = (revocation: Revocation): RevocationBody => ({
  kind: revocation.kind,
  value: revocation.value,
  severity: revocation.severity,
  reason: revocation.reason,
  revoked_by: revocation.by,
  revoked_at: revocation.at.toISOString(),
});
