/**
 * What a plugin is sent (`hook-1.schema.json`): the published contract, version `mairust.hook/1`. The payload is built in
 * `core/permissions.ts`; its key order is the order of the properties here. Every field beyond the envelope stands for a
 * grant: absent without it, `null` or `[]` with it but without content.
 */
import { type Static, Type } from "typebox";
import { HOOK_POINTS } from "./config/hooks.ts";

/** Version of the wire contract in the `hello` handshake. */
export const API_VERSION = "1";
export const HOOK_API = "mairust.hook/1";

/** Limits of what is sent. */
export const MAX_PAYLOAD_BYTES = 16 * 1024 * 1024;
export const MAX_HEADER_FIELDS = 500;
export const MAX_HEADER_FIELD_BYTES = 8 * 1024;
export const MAX_HEADERS_BYTES = 128 * 1024;
/** Preview of the text, in bytes of UTF-8. */
export const MAX_PREVIEW_BYTES = 4096;
/** Text of one part, and of all, in bytes of UTF-8. */
export const MAX_BODY_PART_BYTES = 1024 * 1024;
export const MAX_BODY_BYTES = 4 * 1024 * 1024;
/** Start of an attachment, decoded. */
export const ATTACHMENT_PREVIEW_BYTES = 4096;
/** An attachment that is sent whole, decoded; and all of them. */
export const MAX_ATTACHMENT_BYTES = 1024 * 1024;
export const MAX_ATTACHMENTS_BYTES = 5 * 1024 * 1024;

const closed = { additionalProperties: false } as const;
const nullable = <T extends ReturnType<typeof Type.String> | ReturnType<typeof Type.Boolean>>(type: T) =>
  Type.Union([type, Type.Null()]);
const authResult = Type.Object(
  {
    result: Type.Enum(["none", "pass", "fail", "softfail", "neutral", "temperror", "permerror", "policy"]),
    detail: nullable(Type.String()),
  },
  closed,
);

export const bodyPreviewSchema = Type.Object(
  {
    text: Type.String(),
    truncated: Type.Boolean(),
    source: Type.Enum(["plain", "html"]),
    charset_declared: nullable(Type.String()),
    charset_used: Type.String(),
    decode_errors: Type.Integer({ minimum: 0 }),
  },
  closed,
);
export type BodyPreview = Static<typeof bodyPreviewSchema>;

export const bodyPartSchema = Type.Object(
  {
    type: Type.Enum(["text/plain", "text/html"]),
    text: Type.String(),
    truncated: Type.Boolean(),
    charset_declared: nullable(Type.String()),
    charset_used: Type.String(),
  },
  closed,
);
export type BodyPart = Static<typeof bodyPartSchema>;

export const attachmentSchema = Type.Object(
  {
    index: Type.Integer({ minimum: 0 }),
    filename: Type.Union([Type.String(), Type.Null()], {
      description: "decoded; no folders, no controls, at most 255 bytes",
    }),
    content_type: Type.String({ description: "as declared, in lower case" }),
    size_bytes: Type.Integer({ minimum: 0, description: "as it stands in the message, still encoded" }),
    disposition: nullable(Type.String()),
    content_id: nullable(Type.String()),
    sha256: Type.Optional(Type.String({ pattern: "^[0-9a-f]{64}$", description: "of the decoded bytes" })),
    preview_base64: Type.Optional(Type.String({ description: "the first 4096 decoded bytes" })),
    preview_truncated: Type.Optional(Type.Boolean()),
    content_base64: Type.Optional(
      Type.Union([Type.String(), Type.Null()], {
        description: "all decoded bytes, up to 1 MiB each and 5 MiB a call; else null",
      }),
    ),
    content_url: Type.Optional(
      Type.Union([Type.String(), Type.Null()], {
        description: "where the content can be fetched when content_base64 is null; null in this version",
      }),
    ),
  },
  closed,
);
export type SentAttachment = Static<typeof attachmentSchema>;

export const hookPayloadSchema = Type.Object(
  {
    api: Type.Literal(HOOK_API),
    call_id: Type.String({ format: "uuid" }),
    hook: Type.Enum([...HOOK_POINTS]),
    mode: Type.Enum(["shadow", "enforce"]),
    attempt: Type.Integer({ minimum: 1 }),
    deadline_ms: Type.Integer({ minimum: 0 }),
    plugin: Type.Object({ id: Type.String(), version: Type.String() }, closed),
    received_at: Type.String({ format: "date-time" }),
    size_bytes: Type.Integer({ minimum: 0 }),
    settings: Type.Record(Type.String(), Type.Union([Type.String(), Type.Number(), Type.Boolean()])),
    provenance: Type.Optional(
      Type.Array(
        Type.Object(
          { plugin_id: Type.String(), hook: Type.String(), changes: Type.Array(Type.String()) },
          closed,
        ),
      ),
    ),
    headers: Type.Optional(Type.Array(Type.Object({ name: Type.String(), value: Type.String() }, closed))),
    headers_truncated: Type.Optional(Type.Boolean()),
    envelope: Type.Optional(
      Type.Object(
        {
          mail_from: Type.String(),
          rcpt_to: Type.Array(Type.String()),
          client_ip: nullable(Type.String()),
          client_name: nullable(Type.String()),
          helo: nullable(Type.String()),
          tls: nullable(Type.Boolean()),
          auth_user: nullable(Type.String()),
          queue_id: nullable(Type.String()),
        },
        closed,
      ),
    ),
    auth: Type.Optional(
      Type.Object({ spf: authResult, dkim: authResult, dmarc: authResult, arc: authResult }, closed),
    ),
    context: Type.Optional(
      Type.Object(
        {
          direction: Type.Enum(["inbound", "outbound"]),
          stage: Type.Enum(["observe", "hooks", "mirror", "store"]),
          tags: Type.Array(Type.String()),
          thread_id: nullable(Type.String()),
          account: nullable(Type.String()),
        },
        closed,
      ),
    ),
    body_preview: Type.Optional(Type.Union([bodyPreviewSchema, Type.Null()])),
    body: Type.Optional(Type.Array(bodyPartSchema)),
    attachments: Type.Optional(Type.Array(attachmentSchema)),
    mime_truncated: Type.Optional(
      Type.Boolean({ description: "parts were left out: deeper than 20, more than 1000, or not here" }),
    ),
  },
  { ...closed, $id: "hook-1.schema.json", title: "MaiRust hook payload 1" },
);
export type HookPayload = Static<typeof hookPayloadSchema>;
export type ProvenanceEntry = NonNullable<HookPayload["provenance"]>[number];
