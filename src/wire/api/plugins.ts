/** REST resource `/api/v1/admin/plugins`, the part about secrets that calls by HTTP are signed with. */
import { type Static, Type } from "typebox";
import { MAX_GRACE_S } from "../plugin-secrets.ts";
import { closed, nullable, timestamp } from "./common.ts";

export const newSecretBody = Type.Object(
  {
    plugin: Type.String(),
    secret: Type.String({ description: "whsec_ and base64 of 32 bytes; shown this once" }),
    secret_id: Type.String(),
    active: Type.Boolean({ description: "false: X-MaiRust-Signature is still made with the old one" }),
    old_until: nullable(timestamp),
  },
  closed,
);
export type NewSecretBody = Static<typeof newSecretBody>;

/** Most lines of one answer. */
export const MAX_LOG_LINES = 1000;

export const pluginLogBody = Type.Object(
  {
    lines: Type.Array(Type.String({ description: "the plugin's own words" })),
    end: Type.Integer({ description: "ask for what comes after it" }),
  },
  closed,
);
export type PluginLogBody = Static<typeof pluginLogBody>;

export const pluginRoutes = {
  log: {
    params: Type.Object({ id: Type.String({ minLength: 1, maxLength: 128 }) }),
    querystring: Type.Object(
      {
        lines: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_LOG_LINES })),
        after: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
      },
      closed,
    ),
    response: { 200: pluginLogBody },
  },
  rotate: {
    params: Type.Object({ id: Type.String({ minLength: 1, maxLength: 128 }) }),
    querystring: Type.Object(
      { grace_s: Type.Optional(Type.Integer({ minimum: 0, maximum: MAX_GRACE_S })) },
      closed,
    ),
    response: { 200: newSecretBody },
  },
} as const;
