/**
 * The HTTP application: routes over the services, problem documents, request log, metrics. It only translates.
 *
 * Who may do what in this version: a connection on a UNIX socket is the administrator (the socket's file mode is the access control);
 * any other connection reads `/livez`, `/readyz` and `/metrics` and nothing else. A request is never answered before its route is checked.
 */
import { randomUUID } from "node:crypto";
import type { Socket } from "node:net";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import fastify, { type FastifyError, type FastifyReply, type FastifyRequest } from "fastify";
import { MairustError } from "../core/errors.ts";
import type { Log } from "../core/ports/log.ts";
import type { ServicePorts } from "../services/ports.ts";
import { MAX_PATH_PARAM } from "../wire/api/codes.ts";
import type { App } from "./app-type.ts";
import { problemOf } from "./problem.ts";
import { closeQuery, convertQuery } from "./query.ts";
import { accountRoutesOf } from "./routes/accounts.ts";
import { auditRoutesOf } from "./routes/audit.ts";
import { dkimRoutesOf } from "./routes/dkim.ts";
import { domainRoutesOf } from "./routes/domains.ts";
import { exportRoutesOf } from "./routes/exports.ts";
import { heldRoutesOf } from "./routes/held.ts";
import { hookModeRoutesOf } from "./routes/hook-modes.ts";
import { hookRoutesOf } from "./routes/hooks.ts";
import { jobRoutesOf } from "./routes/jobs.ts";
import { keyRoutesOf } from "./routes/keys.ts";
import { ledgerRoutesOf } from "./routes/ledger.ts";
import { lossProofRoutesOf } from "./routes/loss-proof.ts";
import { messageRoutesOf } from "./routes/messages.ts";
import { pluginKeyRoutesOf } from "./routes/plugin-keys.ts";
import { lifecycleRoutesOf } from "./routes/plugin-lifecycle.ts";
import { pluginReviewRoutesOf } from "./routes/plugin-review.ts";
import { pluginSettingsRoutesOf } from "./routes/plugin-settings.ts";
import { pluginRoutesOf } from "./routes/plugins.ts";
import { relayRoutesOf } from "./routes/relays.ts";
import { scrubRoutesOf } from "./routes/scrub.ts";
import { sendRoutesOf } from "./routes/send.ts";
import { stageRoutesOf } from "./routes/stages.ts";
import { systemRoutesOf } from "./routes/system.ts";
import { transferRoutesOf } from "./routes/transfer.ts";
import { undoRoutesOf } from "./routes/undo.ts";
import { discardRest } from "./upload.ts";

/** What a listener's connections may ask for. */
export type Access = "admin" | "health" | "metrics";

export interface AppOptions {
  readonly ports: ServicePorts;
  readonly log: Log;
  /** Called once per answered request. @param route  as written in the routing table, never a client's text */
  readonly observeRequest: (route: string, seconds: number) => void;
  /** Which listener a connection came in by. */
  readonly accessOf: (socket: Socket) => Access;
  /** `/metrics` has listeners of its own. */
  readonly metricsApart: boolean;
}

/** Largest JSON body, in octets. Messages are streamed and have a limit of their own. */
const MAX_JSON_BYTES = 1_048_576;

const HEALTH_ROUTES: ReadonlySet<string> = new Set(["/livez", "/readyz"]);
const METRICS_ROUTE = "/metrics";
/** In every request that is made to a plugin, and in no other. */
const PLUGIN_ID_HEADER = "x-mairust-plugin-id";

export async function buildApp(options: AppOptions): Promise<App> {
  const app = fastify({
    logger: false,
    genReqId: () => randomUUID(),
    bodyLimit: MAX_JSON_BYTES,
    routerOptions: { maxParamLength: MAX_PATH_PARAM * 9, ignoreTrailingSlash: false },
    // Nothing is repaired: a wrong type or an unknown member is an error, not a guess.
    ajv: {
      customOptions: {
        ...{ coerceTypes: false, removeAdditional: false, useDefaults: false, allErrors: false },
        // What our own schemas say for errors of their own.
        keywords: ["allowed", "allowedKeys"],
      },
    },
    frameworkErrors: (error, request, reply) => sendProblem(options, error, request, reply),
  }).withTypeProvider<TypeBoxTypeProvider>();
  // Bodies are typed by the response schemas; compiling a serializer for each would cost a third of the start-up time of the API.
  app.setSerializerCompiler(() => body => JSON.stringify(body));
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    "application/json",
    { parseAs: "string" },
    app.getDefaultJsonParser("error", "error"),
  );
  app.addContentTypeParser(["message/rfc822", "application/octet-stream"], (_request, payload, done) =>
    done(null, payload),
  );
  app.addHook("onRoute", closeQuery);
  app.addHook("onRequest", async request => checkAccess(options, request));
  app.addHook("preValidation", async request => convertQuery(request));
  app.addHook("onResponse", async (request, reply) => recordRequest(options, request, reply));
  app.setErrorHandler((error: FastifyError, request, reply) => sendProblem(options, error, request, reply));
  app.setNotFoundHandler((request, reply) => {
    const text = `no such route: ${request.method} ${request.url.split("?")[0]}`;
    return sendProblem(options, new MairustError("not_found", text, { publicText: text }), request, reply);
  });
  domainRoutesOf(app, options.ports);
  dkimRoutesOf(app, options.ports);
  accountRoutesOf(app, options.ports);
  stageRoutesOf(app, options.ports);
  relayRoutesOf(app, options.ports);
  messageRoutesOf(app, options.ports);
  scrubRoutesOf(app, options.ports, options.log);
  lossProofRoutesOf(app, options.ports);
  hookRoutesOf(app, options.ports);
  hookModeRoutesOf(app, options.ports);
  ledgerRoutesOf(app, options.ports);
  undoRoutesOf(app, options.ports);
  auditRoutesOf(app, options.ports);
  keyRoutesOf(app, options.ports);
  jobRoutesOf(app, options.ports);
  heldRoutesOf(app, options.ports);
  sendRoutesOf(app, options.ports);
  transferRoutesOf(app, options.ports);
  exportRoutesOf(app, options.ports);
  pluginRoutesOf(app, options.ports);
  pluginReviewRoutesOf(app, options.ports);
  pluginSettingsRoutesOf(app, options.ports);
  lifecycleRoutesOf(app, options.ports);
  pluginKeyRoutesOf(app, options.ports);
  systemRoutesOf(app, options.ports, request => options.accessOf(request.raw.socket) === "admin");
  await app.ready();
  return app;
}

/**
 * @throws {MairustError} `auth_failed` for everything that the listener does not give away; `not_permitted` for what we ask ourselves
 * on behalf of a plugin: a manifest that names our own socket as its endpoint would have us act as the administrator
 */
function checkAccess(options: AppOptions, request: FastifyRequest): void {
  if (request.headers[PLUGIN_ID_HEADER] !== undefined) {
    const publicText = "this is the service itself, not a plugin";
    throw new MairustError("not_permitted", `Cannot answer the call of a plugin: ${publicText}`, {
      publicText,
    });
  }
  const access = options.accessOf(request.raw.socket);
  const route = request.routeOptions.url ?? "";
  const isMetrics = route === METRICS_ROUTE;
  if (access === "admin") return;
  if (access === "metrics" ? isMetrics : HEALTH_ROUTES.has(route) || (isMetrics && !options.metricsApart))
    return;
  throw new MairustError(
    "auth_failed",
    `Cannot answer "${request.method} ${route}": no login on this listener`,
    {
      publicText: "this address needs a login; on the host itself use the UNIX socket",
    },
  );
}

function sendProblem(
  options: AppOptions,
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const problem = problemOf(error, request.id, request.headers["accept-language"]);
  if (problem.status >= 500 && problem.code !== "not_built") {
    options.log.error("request failed", {
      trace_id: request.id,
      route: request.routeOptions.url ?? "",
      code: problem.code,
      error: error instanceof Error ? error : String(error),
    });
  }
  if (!request.raw.complete) discardRest(request.raw);
  return reply
    .code(problem.status)
    .header("content-type", "application/problem+json; charset=utf-8")
    .serializer((payload: unknown) => JSON.stringify(payload))
    .send(problem);
}

function recordRequest(options: AppOptions, request: FastifyRequest, reply: FastifyReply): void {
  const route = request.routeOptions.url ?? "unknown";
  const seconds = reply.elapsedTime / 1000;
  options.observeRequest(route, seconds);
  const isProbe = HEALTH_ROUTES.has(route) || route === METRICS_ROUTE;
  const fields = {
    method: request.method,
    route,
    status: reply.statusCode,
    ms: Math.round(reply.elapsedTime * 10) / 10,
    trace_id: request.id,
  };
  if (isProbe && reply.statusCode < 400) options.log.debug("http request", fields);
  else options.log.info("http request", fields);
}
