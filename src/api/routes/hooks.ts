/** `/api/v1/admin/hooks`: what there is, changes, and calls on trial. */
import { Readable } from "node:stream";
import type { FastifyRequest } from "fastify";
import { MairustError } from "../../core/errors.ts";
import type { HookTest, HookView } from "../../core/ports/hook-admin.ts";
import { setHookMode } from "../../services/hook-modes.ts";
import { type TestSource, testHook } from "../../services/hook-tests.ts";
import { addHook, changeHook, getHook, listHooks, orderHooks, removeHook } from "../../services/hooks.ts";
import type { ServicePorts } from "../../services/ports.ts";
import { type HookBody, type HookTestBody, hookRoutes as routes } from "../../wire/api/hooks.ts";
import { changeBy } from "../actor.ts";
import type { App } from "../app-type.ts";
import { listBodyOf } from "../bodies.ts";
import { setVersion, versionOf } from "../if-match.ts";
import { uploadedBytes } from "../upload.ts";
import { createdCode } from "./paging.ts";

const BASE = "/api/v1/admin/hooks";
const ONE = `${BASE}/:name`;

export function hookRoutesOf(app: App, ports: ServicePorts): void {
  app.get(BASE, { schema: routes.list }, async () => listBodyOf(await listHooks(ports), hookBodyOf));
  app.get(ONE, { schema: routes.get }, async (request, reply) => {
    const view = await getHook(ports, request.params.name);
    setVersion(reply, view.stored?.version);
    return hookBodyOf(view);
  });
  app.post(BASE, { schema: routes.add }, async (request, reply) => {
    const view = await addHook(ports, request.body, changeBy(request));
    reply.code(createdCode(request.query.dry_run));
    setVersion(reply, view.stored?.version);
    return hookBodyOf(view);
  });
  app.patch(ONE, { schema: routes.change }, async (request, reply) => {
    const { name } = request.params;
    const view = await changeHook(ports, name, request.body, versionOf(request), changeBy(request));
    setVersion(reply, view.stored?.version);
    return hookBodyOf(view);
  });
  app.post(`${ONE}/mode`, { schema: routes.mode }, async (request, reply) => {
    const { name } = request.params;
    const view = await setHookMode(ports, name, request.body, versionOf(request), changeBy(request));
    setVersion(reply, view.stored?.version);
    return hookBodyOf(view);
  });
  app.delete(ONE, { schema: routes.remove }, async request =>
    hookBodyOf(await removeHook(ports, request.params.name, versionOf(request), changeBy(request))),
  );
  app.post(`${BASE}/reorder`, { schema: routes.order }, async request =>
    listBodyOf(await orderHooks(ports, request.body.hooks, changeBy(request)), hookBodyOf),
  );
  app.post(`${ONE}/test`, { schema: routes.test }, async request => {
    const { from, to = "", direction = "inbound" } = request.query;
    const recipients = to
      .split(",")
      .map(one => one.trim())
      .filter(one => one !== "");
    const asked = { source: sourceOf(request), mailFrom: from, recipients, direction };
    return testBodyOf(await testHook(ports, request.params.name, asked));
  });
}

/** @throws {MairustError} `invalid_argument` */
function sourceOf({ body, raw }: FastifyRequest): TestSource {
  if (body instanceof Readable) return { kind: "upload", content: uploadedBytes(raw) };
  const given: { readonly message?: unknown; readonly sample?: unknown } = { ...(body as object) };
  if (typeof given.message === "string") return { kind: "stored", id: given.message };
  if (given.sample === true) return { kind: "sample" };
  const text = 'send a message as message/rfc822, or {"message": "<id>"}, or {"sample": true}';
  throw new MairustError("invalid_argument", `Cannot test a hook: ${text}`, { publicText: text });
}

export function hookBodyOf({ row, stored, ...view }: HookView): HookBody {
  const { filter, ...keys } = row;
  return {
    ...keys,
    canary_for: [...row.canary_for],
    demote: { ...row.demote },
    filter: { ...filter, header: { ...filter.header } },
    effective_mode: view.demotion === undefined ? row.mode : "shadow",
    origin: view.origin,
    where: view.where ?? null,
    state: view.state,
    reason: view.reason ?? null,
    notes: [...view.notes],
    version: stored?.version ?? null,
    created_at: stored?.createdAt.toISOString() ?? null,
    updated_at: stored?.updatedAt.toISOString() ?? null,
    calls: { ...view.calls },
    diffs: { ...view.diffs },
  };
}

function testBodyOf({ callId, ...test }: HookTest): HookTestBody {
  return {
    hook: test.hook,
    plugin: test.plugin,
    point: test.point,
    call_id: callId,
    matches: test.matches,
    outcome: test.outcome,
    ms: test.ms,
    fields: [...test.fields],
    bytes: test.bytes,
    verdict: test.verdict ?? null,
    reply: test.reply === undefined ? null : { ...test.reply },
    reason: test.reason ?? null,
    explanation: test.explanation ?? null,
    tags: { add: [...test.tags.add], remove: [...test.tags.remove] },
    folder: test.folder ?? null,
    denied: test.denied.map(({ item, why }) => ({ item, why })),
    problem: test.problem ?? null,
    policy: test.policy ?? null,
  };
}
