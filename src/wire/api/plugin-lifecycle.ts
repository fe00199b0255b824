/** REST resource `/api/v1/admin/plugins`, the part about the life of a plugin: install, approve, enable … */
import { type Static, Type } from "typebox";
import { closed, nullable, pageOf, timestamp } from "./common.ts";

export const PLUGIN_STATES = [
  "enabled",
  "refused",
  "failed",
  "installed",
  "disabled",
  "uninstalled",
] as const;
export const SIGNATURE_STATES = ["signed", "private", "unsigned", "modified", "revoked"] as const;

/** Rights by name; checked by the schema of grants and not here, so that all problems come at once. */
const permissions = Type.Record(Type.String(), Type.Unknown());
const text = nullable(Type.String());

export const pluginDetailBody = Type.Object(
  {
    id: Type.String(),
    name: Type.String(),
    version: Type.String(),
    state: Type.Enum([...PLUGIN_STATES]),
    reason: nullable(Type.String({ description: "why it is not enabled, or not called" })),
    destination: nullable(Type.String({ description: "where payloads go" })),
    origin: Type.Enum(["package", "folder", "unknown"]),
    signature: nullable(Type.Enum([...SIGNATURE_STATES])),
    signature_detail: text,
    grants: permissions,
    granted_by: Type.Enum(["file", "approval", "nobody"]),
    approved_by: text,
    approved_at: nullable(timestamp),
    hooks: Type.Array(
      Type.Object({ name: Type.String(), point: Type.String(), mode: Type.String() }, closed),
    ),
    previous: Type.Array(Type.String(), { description: "versions that rollback goes to, newest first" }),
    pending: nullable(Type.String({ description: "the version that waits for consent" })),
    waits_for: Type.Array(Type.String(), { description: "what it asks for beyond what was approved" }),
  },
  closed,
);
export type PluginDetailBody = Static<typeof pluginDetailBody>;

export const lifecycleBody = Type.Object(
  { plugin: pluginDetailBody, done: Type.Array(Type.String()) },
  closed,
);
export type LifecycleBody = Static<typeof lifecycleBody>;

export const pluginHealthBody = Type.Object(
  {
    id: Type.String(),
    version: Type.String(),
    status: Type.Enum(["ok", "degraded", "error"]),
    detail: text,
    checked_at: timestamp,
    circuit: nullable(Type.String({ description: "why it is not called now" })),
    crashes: Type.Array(Type.Object({ at: timestamp, reason: Type.String() }, closed), {
      description: "processes that ended by themselves within the last hour",
    }),
    limits: Type.Array(
      Type.Object(
        {
          limit: Type.String(),
          mechanism: Type.String(),
          enforcement: Type.Enum(["enforced", "best_effort", "not_enforced", "not_applicable"]),
          evidence: Type.String(),
        },
        closed,
      ),
    ),
    egress: Type.Array(
      Type.Object(
        {
          destination: Type.String(),
          connections: Type.Integer(),
          refused: Type.Record(Type.String(), Type.Integer()),
          bytes_up: Type.Integer(),
          bytes_down: Type.Integer(),
        },
        closed,
      ),
    ),
  },
  closed,
);
export type PluginHealthBody = Static<typeof pluginHealthBody>;

const pluginPath = Type.Object({ id: Type.String({ minLength: 1, maxLength: 128 }) });
const flag = Type.Optional(Type.Boolean());
const queryOf = (more: Record<string, typeof flag> = {}) => Type.Object({ dry_run: flag, ...more }, closed);
const response = { 200: lifecycleBody };

export const lifecycleRoutes = {
  list: { response: { 200: pageOf(pluginDetailBody) } },
  get: { params: pluginPath, response: { 200: pluginDetailBody } },
  /** Installed packages are looked at now, as is done every hour. */
  verify: { response: { 200: pageOf(pluginDetailBody) } },
  health: { params: pluginPath, response: { 200: pluginHealthBody } },
  /** The body is a package as application/octet-stream, or `{"folder": id}`. */
  install: {
    querystring: Type.Object({ dry_run: flag, downgrade: flag }, closed),
    response: { 200: lifecycleBody, 201: lifecycleBody },
  },
  upgrade: { querystring: Type.Object({ dry_run: flag, downgrade: flag }, closed), response },
  approve: {
    params: pluginPath,
    body: Type.Object(
      {
        permissions: Type.Optional(permissions),
        digest: Type.Optional(Type.String({ pattern: "^[0-9a-f]{64}$" })),
      },
      closed,
    ),
    querystring: queryOf(),
    response,
  },
  enable: {
    params: pluginPath,
    body: Type.Object({ mode: Type.Optional(Type.String({ maxLength: 20 })) }, closed),
    querystring: queryOf(),
    response,
  },
  disable: {
    params: pluginPath,
    querystring: Type.Object({ dry_run: flag, cascade: flag }, closed),
    response,
  },
  rollback: { params: pluginPath, querystring: queryOf(), response },
  uninstall: {
    params: pluginPath,
    querystring: Type.Object({ dry_run: flag, cascade: flag, purge: flag }, closed),
    response,
  },
} as const;
