/** REST resource `/api/v1/messages` and the way in for one message: `POST /accounts/{address}/mailboxes/{mailbox}/messages`. */
import { type Static, Type } from "typebox";
import { mailboxPath } from "./accounts.ts";
import { MAX_PATH_PARAM, MAX_SEARCH_CHARS } from "./codes.ts";
import { closed, nullable, pageOf, pageQuery, timestamp } from "./common.ts";

export const placeBody = Type.Object(
  {
    account: Type.String(),
    mailbox: Type.String(),
    uid: Type.Integer(),
    flags: Type.Array(Type.String(), { description: "system flags, e.g. \\Seen" }),
    tags: Type.Array(Type.String(), { description: "keywords" }),
    internal_date: timestamp,
    size_bytes: Type.Integer({ description: "prefix and message together, RFC822.SIZE" }),
    metadata: Type.Record(Type.String(), Type.Unknown()),
  },
  { ...closed, description: "one copy in one mailbox" },
);
export type PlaceBody = Static<typeof placeBody>;

const authFact = Type.Object(
  {
    result: Type.String({ description: "as in Authentication-Results, RFC 8601" }),
    detail: nullable(Type.String({ description: "who was checked, and why it is no pass" })),
  },
  closed,
);

export const messageBody = Type.Object(
  {
    id: Type.String(),
    subject: Type.String(),
    from: Type.String(),
    message_id_header: nullable(Type.String()),
    queue_id: Type.String(),
    mail_from: Type.String(),
    size_bytes: Type.Integer({ description: "of the message as it came, without prefix" }),
    attachments: Type.Integer(),
    thread_key: nullable(Type.String()),
    blob_digest: Type.String({ description: "SHA-256 of the message, hex" }),
    received_at: timestamp,
    auth: nullable(
      Type.Object(
        { spf: authFact, dkim: authFact, dmarc: authFact, arc: authFact },
        { ...closed, description: "what our own checks said of the sender; null: nothing was checked" },
      ),
    ),
    places: Type.Array(placeBody),
    places_total: Type.Integer({ description: "all there are: places may be cut" }),
  },
  closed,
);
export type MessageBody = Static<typeof messageBody>;

export const eventBody = Type.Object(
  {
    at: timestamp,
    message_id: Type.String(),
    queue_id: Type.String(),
    kind: Type.String(),
    recipient: nullable(Type.String()),
    data: Type.Record(Type.String(), Type.Unknown()),
  },
  closed,
);
export type EventBody = Static<typeof eventBody>;

export const timelineBody = Type.Object(
  {
    id: Type.String({ description: "as asked for" }),
    matched: Type.Enum(["message_id", "queue_id", "message_id_header"]),
    events: Type.Array(eventBody),
    truncated: Type.Boolean({ description: "there are more events than are shown" }),
  },
  closed,
);
export type TimelineBody = Static<typeof timelineBody>;

export const addedBody = Type.Object(
  {
    id: nullable(Type.String({ description: "null: dry run" })),
    account: Type.String(),
    mailbox: Type.String(),
    uid: nullable(Type.Integer()),
    size_bytes: Type.Integer(),
  },
  closed,
);
export type AddedBody = Static<typeof addedBody>;

const pathText = Type.String({ minLength: 1, maxLength: MAX_PATH_PARAM });

/** Any id of a message: UUID, queue id or Message-ID field. */
export const messagePath = Type.Object({ id: pathText });

export const messageRoutes = {
  list: {
    querystring: Type.Object(
      { ...pageQuery, q: Type.Optional(Type.String({ maxLength: MAX_SEARCH_CHARS })) },
      closed,
    ),
    response: { 200: pageOf(messageBody) },
  },
  get: { params: messagePath, response: { 200: messageBody } },
  raw: {
    params: messagePath,
    querystring: Type.Object(
      {
        account: Type.Optional(Type.String({ minLength: 1, maxLength: 1000 })),
        mailbox: Type.Optional(Type.String({ minLength: 1, maxLength: 1000 })),
        uid: Type.Optional(Type.Integer({ minimum: 1, maximum: 4_294_967_295 })),
      },
      closed,
    ),
  },
  rawAt: {
    params: Type.Object({
      address: pathText,
      mailbox: pathText,
      uid: Type.String({ pattern: "^[1-9][0-9]{0,9}$" }),
    }),
  },
  timeline: { params: messagePath, response: { 200: timelineBody } },
  add: {
    params: mailboxPath,
    querystring: Type.Object(
      {
        dry_run: Type.Optional(Type.Boolean()),
        date: Type.Optional(Type.String({ maxLength: 40, description: "RFC 3339; default: now" })),
        flags: Type.Optional(
          Type.String({ maxLength: 2000, description: "flags and keywords, separated by commas" }),
        ),
      },
      closed,
    ),
    response: { 200: addedBody, 201: addedBody },
  },
} as const;
