/** REST resource `/api/v1/admin/audit`. */
import { type Static, Type } from "typebox";
import { closed, pageOf, pageQuery, timestamp } from "./common.ts";

export const auditBody = Type.Object(
  {
    id: Type.String(),
    at: timestamp,
    actor: Type.String({ description: "local:<name> by the UNIX socket, rule:<name> by the service itself" }),
    action: Type.String({ description: "plugin.approve, hook.change, config.reload …" }),
    object: Type.String({ description: "id or name of what it was done to" }),
    detail: Type.Record(Type.String(), Type.Unknown(), {
      description: "what was asked for; failed: the error code of a change that was not made",
    }),
  },
  closed,
);
export type AuditBody = Static<typeof auditBody>;

const filterText = Type.Optional(Type.String({ minLength: 1, maxLength: 1000 }));
const time = Type.Optional(Type.String({ maxLength: 40, description: "RFC 3339" }));
const filter = {
  actor: filterText,
  action: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 64,
      description: "plugin.approve; plugin. for all about plugins",
    }),
  ),
  object: filterText,
  since: time,
  until: time,
};

export const auditRoutes = {
  list: {
    querystring: Type.Object({ ...pageQuery, ...filter }, closed),
    response: { 200: pageOf(auditBody) },
  },
  /** One JSON object a line, newest first, to the end. */
  export: { querystring: Type.Object(filter, closed) },
} as const;
export type AuditFilterQuery = Static<typeof auditRoutes.export.querystring>;
