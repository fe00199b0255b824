/**
 * The rights a plugin can ask for and be granted, as they stand in `plugin.toml` `[permissions]` and in the
 * configuration's `[plugin."id"] grants`. One schema for both: a grant is a permission that somebody said yes to.
 */
import { type Static, Type } from "typebox";

const closed = { additionalProperties: false } as const;

export const READ_BODY = ["none", "preview", "full"] as const;
export const READ_ATTACHMENTS = ["none", "metadata", "preview", "full"] as const;
export const DECISIONS = ["reject", "tempfail", "hold"] as const;

/** Most names in a `read_headers` list. */
export const MAX_HEADER_NAMES = 100;

/** RFC 5322 §3.6.8: a field name is printable US-ASCII without the colon. */
const headerName = Type.String({ pattern: "^[!-9;-~]{1,128}$", allowed: "a header field name" });

export const permissionsSchema = Type.Object(
  {
    read_headers: Type.Optional(
      Type.Union([Type.Boolean(), Type.Array(headerName, { minItems: 1, maxItems: MAX_HEADER_NAMES })], {
        allowed: "true, false, or a list of header field names",
      }),
    ),
    read_body: Type.Optional(Type.Enum([...READ_BODY])),
    read_attachments: Type.Optional(Type.Enum([...READ_ATTACHMENTS])),
    write_tags: Type.Optional(Type.Boolean()),
    write_flags: Type.Optional(Type.Boolean()),
    move_message: Type.Optional(Type.Boolean()),
    write_metadata: Type.Optional(Type.Boolean()),
    decide: Type.Optional(Type.Array(Type.Enum([...DECISIONS]), { maxItems: DECISIONS.length })),
    write_headers: Type.Optional(Type.Boolean()),
    append_text: Type.Optional(Type.Boolean()),
    add_recipients: Type.Optional(Type.Boolean()),
    send_mail: Type.Optional(Type.Boolean()),
  },
  closed,
);

/** As written: what is left out is not asked for. */
export type PermissionsInput = Static<typeof permissionsSchema>;
export type ReadBody = (typeof READ_BODY)[number];
export type ReadAttachments = (typeof READ_ATTACHMENTS)[number];
export type Decision = (typeof DECISIONS)[number];
export type PermissionName = keyof PermissionsInput;

export const PERMISSION_NAMES = Object.keys(permissionsSchema.properties) as readonly PermissionName[];
