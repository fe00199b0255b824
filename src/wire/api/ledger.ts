/** REST resource `/api/v1/admin/ledger`. */
import { type Static, Type } from "typebox";
import { closed, pageOf, pageQuery, timestamp } from "./common.ts";

export const ledgerBody = Type.Object(
  {
    at: timestamp,
    call_id: Type.String(),
    attempt: Type.Integer(),
    message_id: Type.String({ description: "as in our logs; the trace id at the milter" }),
    queue_id: Type.String(),
    point: Type.String(),
    hook: Type.String(),
    plugin: Type.String(),
    plugin_version: Type.String(),
    mode: Type.String(),
    fields: Type.Array(Type.String(), { description: "beyond the envelope of every call" }),
    grants: Type.Record(Type.String(), Type.Unknown(), { description: "that let them out" }),
    bytes: Type.Integer(),
    digest: Type.String({ description: "SHA-256 of the payload, hex" }),
    destination: Type.String(),
    recipients: Type.Integer(),
  },
  closed,
);
export type LedgerBody = Static<typeof ledgerBody>;

const filterText = Type.Optional(Type.String({ minLength: 1, maxLength: 1000 }));
const time = Type.Optional(Type.String({ maxLength: 40, description: "RFC 3339" }));

export const ledgerRoutes = {
  list: {
    querystring: Type.Object(
      {
        ...pageQuery,
        plugin: filterText,
        hook: filterText,
        message: filterText,
        queue_id: filterText,
        since: time,
        until: time,
      },
      closed,
    ),
    response: { 200: pageOf(ledgerBody) },
  },
} as const;
