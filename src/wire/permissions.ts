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

const right = (description: string) => Type.Optional(Type.Boolean({ description }));

export const permissionsSchema = Type.Object(
  {
    read_headers: Type.Optional(
      Type.Union([Type.Boolean(), Type.Array(headerName, { minItems: 1, maxItems: MAX_HEADER_NAMES })], {
        allowed: "true, false, or a list of header field names",
        description: "see all header fields, none, or these; with any of them the envelope too",
        examples: [["Subject"]],
      }),
    ),
    read_body: Type.Optional(
      Type.Enum([...READ_BODY], { description: "see the body: none, its first text, all" }),
    ),
    read_attachments: Type.Optional(
      Type.Enum([...READ_ATTACHMENTS], {
        description: "see attachments: none, names and sizes, their start and digest, all",
      }),
    ),
    write_tags: right("add and remove tags"),
    write_flags: right("set flags"),
    move_message: right("choose the folder"),
    write_metadata: right("attach data of its own"),
    decide: Type.Optional(
      Type.Array(Type.Enum([...DECISIONS]), {
        maxItems: DECISIONS.length,
        description: "refuse, defer or hold mail",
        examples: [["tempfail"]],
      }),
    ),
    write_headers: right("add X-… header fields"),
    append_text: right("add text to mail that is sent"),
    add_recipients: right("add blind recipients that the administrator named"),
    send_mail: right("send mail of its own"),
  },
  { ...closed, description: "what it may see and do" },
);

/** As written: what is left out is not asked for. */
export type PermissionsInput = Static<typeof permissionsSchema>;
export type ReadBody = (typeof READ_BODY)[number];
export type ReadAttachments = (typeof READ_ATTACHMENTS)[number];
export type Decision = (typeof DECISIONS)[number];
export type PermissionName = keyof PermissionsInput;

export const PERMISSION_NAMES = Object.keys(permissionsSchema.properties) as readonly PermissionName[];
