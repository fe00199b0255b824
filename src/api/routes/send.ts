/** `/api/v1/send`. */
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import type { RawMail } from "../../core/ports/sending.ts";
import type { ServicePorts } from "../../services/ports.ts";
import { getOutgoing, listOutgoing, sendMail } from "../../services/send.ts";
import { MAX_SEND_JSON_BYTES, sendRoutes as routes, type SendBody } from "../../wire/api/send.ts";
import { actorOf } from "../actor.ts";
import type { App } from "../app-type.ts";
import { composedOf, outgoingBodyOf, sentBodyOf } from "../send-bodies.ts";
import { uploadedBytes } from "../upload.ts";
import { sendPage } from "./paging.ts";

const BASE = "/api/v1/send";

export function sendRoutesOf(app: App, ports: ServicePorts): void {
  app.post(BASE, { schema: routes.send, bodyLimit: MAX_SEND_JSON_BYTES }, async (request, reply) => {
    const { dry_run: dryRun = false, from, to } = request.query;
    const body: unknown = request.body;
    const raw: RawMail = {
      ...{ kind: "raw", content: uploadedBytes(request.raw), from },
      to: (to ?? "").split(",").flatMap(one => (one.trim() === "" ? [] : [one.trim()])),
    };
    const isRaw = body instanceof Readable;
    const key = request.headers["idempotency-key"];
    const digest = isRaw ? undefined : createHash("sha256").update(JSON.stringify(body)).digest("hex");
    const asked = {
      // What is no stream was checked against the schema.
      mail: isRaw ? raw : composedOf(body as SendBody),
      idempotency: key === undefined ? undefined : { key, digest },
      dryRun,
    };
    const sent = await sendMail(ports, asked, { who: actorOf(request) });
    if (sent.id !== undefined) reply.header("location", `${BASE}/${sent.id}`);
    reply.code(dryRun ? 200 : 202);
    return sentBodyOf(sent);
  });
  app.get(BASE, { schema: routes.list }, async (request, reply) => {
    const { state, purpose, ...page } = request.query;
    return sendPage(request, reply, await listOutgoing(ports, { state, purpose }, page), outgoingBodyOf);
  });
  app.get(`${BASE}/:id`, { schema: routes.get }, async request =>
    outgoingBodyOf(await getOutgoing(ports, request.params.id)),
  );
}
