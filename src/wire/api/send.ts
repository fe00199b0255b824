/** REST resource `/api/v1/send`: mail that our users send, and all mail that the service hands to the MTA. */
import { type Static, Type } from "typebox";
import { changeQuery, closed, nullable, pageOf, pageQuery, timestamp } from "./common.ts";

export const OUTGOING_STATES = ["queued", "done", "failed", "canceled"] as const;
export const OUTGOING_PURPOSES = ["send", "notice", "dsn", "alert"] as const;
export const SENT_COPIES = ["stored", "over_quota", "gone", "not_applicable"] as const;

/** Largest JSON request, in octets: attachments are base64 within. Larger mail comes as message/rfc822. */
export const MAX_SEND_JSON_BYTES = 33_554_432;
/** Characters of an address with its name. */
const MAX_ADDRESS_CHARS = 1000;
const MAX_TEXT_CHARS = 10_000_000;
const MAX_LIST = 500;

const address = Type.String({ minLength: 3, maxLength: MAX_ADDRESS_CHARS });
const addresses = Type.Array(address, { maxItems: MAX_LIST });

export const sendBody = Type.Object(
  {
    from: Type.String({
      minLength: 3,
      maxLength: MAX_ADDRESS_CHARS,
      description: "an address of an account here",
    }),
    to: Type.Optional(addresses),
    cc: Type.Optional(addresses),
    bcc: Type.Optional(Type.Array(address, { maxItems: MAX_LIST, description: "in no header field" })),
    reply_to: Type.Optional(addresses),
    subject: Type.Optional(Type.String({ maxLength: 1000 })),
    text: Type.Optional(Type.String({ maxLength: MAX_TEXT_CHARS })),
    html: Type.Optional(Type.String({ maxLength: MAX_TEXT_CHARS })),
    attachments: Type.Optional(
      Type.Array(
        Type.Object(
          {
            filename: Type.String({ minLength: 1, maxLength: 255 }),
            content_type: Type.Optional(
              Type.String({ maxLength: 255, description: "default: by the file's name" }),
            ),
            content: Type.String({ description: "base64", pattern: "^[A-Za-z0-9+/\\s]*={0,2}\\s*$" }),
          },
          closed,
        ),
        { maxItems: 100 },
      ),
    ),
    in_reply_to: Type.Optional(Type.String({ maxLength: 1000, description: "a Message-ID" })),
    references: Type.Optional(Type.Array(Type.String({ maxLength: 1000 }), { maxItems: 100 })),
  },
  closed,
);
export type SendBody = Static<typeof sendBody>;

const recipientBody = Type.Object(
  {
    recipient: Type.String(),
    state: Type.Enum(["waiting", "taken", "refused", "canceled"]),
    reply: Type.String({ description: "what the MTA said, why it waits, or who ended it" }),
    at: nullable(timestamp),
  },
  closed,
);

const sentCopy = nullable(
  Type.Enum([...SENT_COPIES], { description: "the copy in the sender's mailbox Sent; null: none is made" }),
);

export const outgoingBody = Type.Object(
  {
    id: Type.String(),
    purpose: Type.Enum([...OUTGOING_PURPOSES]),
    state: Type.Enum([...OUTGOING_STATES], {
      description: "failed: for at least one recipient; canceled: somebody ended it for at least one",
    }),
    message_id: nullable(Type.String({ description: "for explain" })),
    mail_from: Type.String({ description: "empty: the null sender" }),
    recipients: Type.Array(recipientBody),
    sent_copy: sentCopy,
    job: Type.Integer({ description: "for job show" }),
    created_at: timestamp,
    ended_at: nullable(timestamp),
    canceled_by: nullable(Type.String({ description: "who ended it, at ended_at" })),
  },
  closed,
);
export type OutgoingBody = Static<typeof outgoingBody>;

export const sentBody = Type.Object(
  {
    id: nullable(Type.String({ description: "for GET /send/{id}; null: held, or a dry run" })),
    message_id: Type.String({ description: "for explain" }),
    state: Type.Enum([...OUTGOING_STATES, "held", "checked"]),
    hold: nullable(Type.String({ description: "a hook keeps it for approval, under this id" })),
    mail_from: Type.String(),
    recipients: Type.Array(recipientBody),
    sent_copy: sentCopy,
    size_bytes: Type.Integer(),
    created_at: timestamp,
  },
  closed,
);
export type SentBody = Static<typeof sentBody>;

export const sendRoutes = {
  send: {
    querystring: Type.Object(
      {
        ...changeQuery.properties,
        from: Type.Optional(
          Type.String({ maxLength: MAX_ADDRESS_CHARS, description: "of message/rfc822; default: its From" }),
        ),
        to: Type.Optional(
          Type.String({
            maxLength: 200_000,
            description: "of message/rfc822, separated by commas; default: its To, Cc and Bcc",
          }),
        ),
      },
      closed,
    ),
    headers: Type.Object({
      "idempotency-key": Type.Optional(
        Type.String({ pattern: "^[!-~]{1,255}$", description: "the same answer again for a day" }),
      ),
    }),
    body: {
      content: {
        "application/json": { schema: sendBody },
        "message/rfc822": { schema: Type.Unknown() },
      },
    },
    response: { 200: sentBody, 202: sentBody },
  },
  list: {
    querystring: Type.Object(
      {
        ...pageQuery,
        state: Type.Optional(Type.Enum([...OUTGOING_STATES])),
        purpose: Type.Optional(Type.Enum([...OUTGOING_PURPOSES])),
      },
      closed,
    ),
    response: { 200: pageOf(outgoingBody) },
  },
  get: {
    params: Type.Object({ id: Type.String({ minLength: 1, maxLength: 64 }) }),
    response: { 200: outgoingBody },
  },
} as const;
