/** REST resource `/api/v1/admin/key`: the master key, which is never given out. */
import { type Static, Type } from "typebox";
import { closed, timestamp } from "./common.ts";

export const keyRotationBody = Type.Object(
  {
    key_id: Type.String({ description: "says nothing about the key itself" }),
    secrets: Type.Integer({ description: "signing secrets that were sealed again" }),
    settings: Type.Integer({ description: "secret settings that were sealed again" }),
    dkim_keys: Type.Integer({ description: "private DKIM keys that were sealed again" }),
    trace_until: timestamp,
  },
  closed,
);
export type KeyRotationBody = Static<typeof keyRotationBody>;

const query = Type.Object({ dry_run: Type.Optional(Type.Boolean()) }, closed);

export const keyRoutes = { rotate: { querystring: query, response: { 200: keyRotationBody } } } as const;
