/** `/api/v1/domains/{name}/stage`, `/api/v1/accounts/{address}/stage`, `/api/v1/routing/stages`. */
import type { FastifyReply, FastifyRequest } from "fastify";
import type { ServicePorts } from "../../services/ports.ts";
import { getStage, listStages, type Scope, type StageView, setStage } from "../../services/stages.ts";
import {
  stageRoutes as routes,
  type SetStageBody,
  type StageBody,
  type StageSetBody,
} from "../../wire/api/stages.ts";
import { changeBy } from "../actor.ts";
import type { App } from "../app-type.ts";
import { setVersion, versionOf } from "../if-match.ts";
import { sendPage } from "./paging.ts";

const OF_DOMAIN = "/api/v1/domains/:name/stage";
const OF_ACCOUNT = "/api/v1/accounts/:address/stage";

export function stageRoutesOf(app: App, ports: ServicePorts): void {
  const show = async (scope: Scope, reply: FastifyReply) => {
    const view = await getStage(ports, scope);
    setVersion(reply, view.record.version);
    return stageBodyOf(view);
  };
  const set = async (
    scope: Scope,
    request: FastifyRequest<{ Body: SetStageBody; Querystring: { dry_run?: boolean } }>,
    reply: FastifyReply,
  ): Promise<StageSetBody> => {
    const {
      stage,
      relay_lmtp: relayLmtp,
      without_verify: withoutVerify = false,
      force = false,
    } = request.body;
    const change = {
      stage: stage === "domain" ? undefined : stage,
      ...(relayLmtp === undefined ? {} : { relayLmtp }),
      ...{ withoutVerify, force },
    };
    const { view, from, waived } = await setStage(
      ports,
      scope,
      change,
      versionOf(request),
      changeBy(request),
    );
    setVersion(reply, view.record.version);
    return { ...stageBodyOf(view), from, waived: waived.map(one => ({ ...one })) };
  };
  app.get("/api/v1/routing/stages", { schema: routes.list }, async (request, reply) =>
    sendPage(request, reply, await listStages(ports, request.query), stageBodyOf),
  );
  app.get(OF_DOMAIN, { schema: routes.getOfDomain }, async (request, reply) =>
    show({ kind: "domain", scope: request.params.name }, reply),
  );
  app.post(OF_DOMAIN, { schema: routes.setOfDomain }, async (request, reply) =>
    set({ kind: "domain", scope: request.params.name }, request, reply),
  );
  app.get(OF_ACCOUNT, { schema: routes.getOfAccount }, async (request, reply) =>
    show({ kind: "account", scope: request.params.address }, reply),
  );
  app.post(OF_ACCOUNT, { schema: routes.setOfAccount }, async (request, reply) =>
    set({ kind: "account", scope: request.params.address }, request, reply),
  );
}

const stageBodyOf = ({ record, initial, relayOrigin, settledAt }: StageView): StageBody => ({
  kind: record.kind,
  scope: record.scope,
  domain: record.domain,
  stage: record.stage,
  own_stage: record.own ?? null,
  domain_stage: record.domainStage,
  initial_stage: initial?.stage ?? null,
  initial_origin: initial?.origin ?? null,
  relay_lmtp: record.relayLmtp ?? null,
  relay_origin: relayOrigin ?? null,
  since: record.since.toISOString(),
  by: record.by,
  settled_at: settledAt.toISOString(),
  accounts: record.accounts,
  accounts_apart: record.accountsApart,
  version: record.version,
});
