/** REST resource `/api/v1/held`: mail that waits for somebody's decision. */
import { type Static, Type } from "typebox";
import { changeQuery, closed, nullable, pageOf, pageQuery, timestamp } from "./common.ts";
import { SENT_COPIES } from "./send.ts";

export const HELD_STATES = ["held", "releasing", "released", "rejected", "deleted", "expired"] as const;

const heldFields = {
  id: Type.String(),
  message_id: Type.String({ description: "for explain and msg show" }),
  state: Type.Enum([...HELD_STATES]),
  point: Type.String({ description: "hook point: pre_receive, pre_delivery or pre_send" }),
  hook: nullable(Type.String()),
  plugin: nullable(Type.String()),
  reason: Type.String(),
  queue_id: Type.String(),
  mail_from: Type.String(),
  recipients: Type.Array(Type.String({ description: "those who still wait for it" })),
  account: nullable(Type.String({ description: "whose mail it is; null: held before it was known" })),
  auth_user: nullable(Type.String({ description: "who sent it, of outbound mail" })),
  problem: nullable(Type.String({ description: "why the last release did not end it" })),
  subject: Type.String(),
  from: Type.String(),
  size_bytes: Type.Integer({ description: "0 when the message is gone" }),
  attachments: Type.Integer(),
  created_at: timestamp,
  expires_at: timestamp,
  ended_at: nullable(timestamp),
  ended_by: nullable(Type.String()),
};

export const heldBody = Type.Object(heldFields, closed);
export type HeldBody = Static<typeof heldBody>;

export const heldPreviewBody = Type.Object(
  {
    headers: Type.Array(Type.Object({ name: Type.String(), value: Type.String() }, closed)),
    headers_truncated: Type.Boolean(),
    text: nullable(Type.String({ description: "plain text, never HTML" })),
    text_truncated: Type.Boolean(),
    from_html: Type.Boolean({ description: "the text was made from HTML" }),
    attachments: Type.Array(
      Type.Object(
        {
          filename: nullable(Type.String()),
          content_type: Type.String({ description: "as the sender calls it" }),
          size_bytes: Type.Integer({ description: "as it stands in the message, encoded" }),
        },
        closed,
      ),
      { description: "names, never contents" },
    ),
    attachments_truncated: Type.Boolean(),
  },
  { ...closed, description: "decoded; nothing that a browser would run or load" },
);
export type HeldPreviewBody = Static<typeof heldPreviewBody>;

export const heldDetailBody = Type.Object({ ...heldFields, preview: nullable(heldPreviewBody) }, closed);
export type HeldDetailBody = Static<typeof heldDetailBody>;

const answer = Type.Object({ recipient: Type.String(), text: Type.String() }, closed);

export const releasedBody = Type.Object(
  {
    hold: heldBody,
    released: Type.Array(answer, { description: "where it is stored, or what the mail server said" }),
    kept: Type.Array(answer, { description: "for whom it stays held, and why" }),
    sent_copy: nullable(
      Type.Enum([...SENT_COPIES, "failed"] as const, {
        description:
          "the copy in the sender's mailbox Sent, of mail from send; failed: it could not be written; null: none was due",
      }),
    ),
  },
  closed,
);
export type ReleasedBody = Static<typeof releasedBody>;

const heldPath = Type.Object({ id: Type.String({ minLength: 1, maxLength: 64 }) });

export const heldRoutes = {
  list: {
    querystring: Type.Object(
      {
        ...pageQuery,
        account: Type.Optional(Type.String({ minLength: 1, maxLength: 1000 })),
        state: Type.Optional(
          Type.Enum([...HELD_STATES, "all"], { description: "default: held and releasing" }),
        ),
        hook: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
      },
      closed,
    ),
    response: { 200: pageOf(heldBody) },
  },
  get: { params: heldPath, response: { 200: heldDetailBody } },
  release: {
    params: heldPath,
    querystring: changeQuery,
    body: Type.Optional(
      Type.Union([
        Type.Object(
          {
            to: Type.Optional(
              Type.String({
                minLength: 3,
                maxLength: 1000,
                description: "store it for this account instead",
              }),
            ),
          },
          closed,
        ),
        Type.Null(),
      ]),
    ),
    response: { 200: releasedBody },
  },
  reject: { params: heldPath, querystring: changeQuery, response: { 200: heldBody } },
  delete: { params: heldPath, querystring: changeQuery, response: { 200: heldBody } },
} as const;
