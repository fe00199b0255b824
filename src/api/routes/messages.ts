/** `/api/v1/messages`, and the way in for one message without hooks. */
import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import type { FastifyReply } from "fastify";
import { MairustError } from "../../core/errors.ts";
import { parseFlags } from "../../services/flags.ts";
import {
  addMessage,
  explainMessage,
  getMessage,
  type RawContent,
  readRaw,
  searchMessages,
} from "../../services/messages.ts";
import type { ServicePorts } from "../../services/ports.ts";
import { messageRoutes as routes } from "../../wire/api/messages.ts";
import { readTime } from "../../wire/message-arguments.ts";
import { actorOf } from "../actor.ts";
import type { App } from "../app-type.ts";
import { eventBodyOf, messageBodyOf } from "../bodies.ts";
import { uploadedBytes } from "../upload.ts";
import { createdCode, sendPage } from "./paging.ts";

const BASE = "/api/v1/messages";
const IN_MAILBOX = "/api/v1/accounts/:address/mailboxes/:mailbox/messages";

export function messageRoutesOf(app: App, ports: ServicePorts): void {
  app.get(BASE, { schema: routes.list }, async (request, reply) => {
    const { q = "", ...page } = request.query;
    return sendPage(request, reply, await searchMessages(ports, q, page), messageBodyOf);
  });
  app.get(`${BASE}/:id`, { schema: routes.get }, async request =>
    messageBodyOf(await getMessage(ports, request.params.id)),
  );
  app.get(`${BASE}/:id/timeline`, { schema: routes.timeline }, async request => {
    const { id } = request.params;
    const { matched, events, truncated } = await explainMessage(ports, id);
    return { id, matched, events: events.map(eventBodyOf), truncated };
  });
  app.get(`${BASE}/:id/raw`, { schema: routes.raw }, async (request, reply) => {
    const { account, mailbox, uid } = request.query;
    const place = {
      ...(account === undefined ? {} : { account }),
      ...(mailbox === undefined ? {} : { mailbox }),
      ...(uid === undefined ? {} : { uid }),
    };
    return sendRaw(reply, await readRaw(ports, request.params.id, place, { who: actorOf(request) }));
  });
  app.get(`${IN_MAILBOX}/:uid/raw`, { schema: routes.rawAt }, async (request, reply) => {
    const { address: account, mailbox, uid } = request.params;
    const place = { account, mailbox, uid: Number(uid) };
    return sendRaw(reply, await readRaw(ports, undefined, place, { who: actorOf(request) }));
  });
  app.post(IN_MAILBOX, { schema: routes.add }, async (request, reply) => {
    const { address: account, mailbox } = request.params;
    const { date, flags = "", dry_run: dryRun = false } = request.query;
    const given = await addMessage(ports, {
      account,
      mailbox,
      flags: parseFlags(flags),
      internalDate: date === undefined ? undefined : readDate(date),
      content: messageBytes(request.raw, request.body),
      dryRun,
      who: actorOf(request),
    });
    reply.code(createdCode(dryRun));
    return {
      id: given.added?.messageId ?? null,
      account: given.account,
      mailbox: given.mailbox,
      uid: given.added?.uid ?? null,
      size_bytes: given.sizeBytes,
    };
  });
}

/** @throws {MairustError} `invalid_argument`: the body came as something else than a message */
function messageBytes(raw: IncomingMessage, body: unknown): AsyncIterable<Uint8Array> {
  if (!(body instanceof Readable)) {
    const text = "send the message as message/rfc822";
    throw new MairustError("invalid_argument", `Cannot add a message: ${text}`, { publicText: text });
  }
  return uploadedBytes(raw);
}

/** @throws {MairustError} `invalid_argument` */
function readDate(text: string): Date {
  const time = readTime(text);
  if (typeof time !== "string") return time;
  throw new MairustError("invalid_argument", `Cannot read a date: ${time}`, { publicText: time });
}

function sendRaw(reply: FastifyReply, { raw, content }: RawContent): FastifyReply {
  return reply
    .header("content-type", "message/rfc822")
    .header("content-length", raw.sizeBytes)
    .header("x-content-type-options", "nosniff")
    .header("mairust-account", encodeURIComponent(raw.account))
    .header("mairust-mailbox", encodeURIComponent(raw.mailbox))
    .header("mairust-uid", raw.uid)
    .header("mairust-other-places", raw.otherPlaces)
    .send(Readable.from(content, { objectMode: false }));
}
