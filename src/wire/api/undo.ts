/** REST resource `/api/v1/admin/undo`: take back what a plugin changed in stored mail. */
import { type Static, Type } from "typebox";
import { closed, nullable, timestamp } from "./common.ts";

export const undoRequest = Type.Object(
  {
    plugin: Type.String({ minLength: 1, maxLength: 128 }),
    version: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
    hook: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
    since: Type.Optional(timestamp),
    until: Type.Optional(timestamp),
    account: Type.Optional(Type.String({ minLength: 3, maxLength: 320 })),
  },
  closed,
);
export type UndoRequest = Static<typeof undoRequest>;

export const undoBody = Type.Object(
  {
    changes: Type.Integer({ description: "entries of the journal that are meant" }),
    messages: Type.Integer(),
    accounts: Type.Integer(),
    job: nullable(Type.Integer({ description: "that undoes them; null: nothing was started" })),
  },
  closed,
);
export type UndoBody = Static<typeof undoBody>;

export const undoRoutes = {
  start: {
    body: undoRequest,
    querystring: Type.Object({ dry_run: Type.Optional(Type.Boolean()) }, closed),
    response: { 200: undoBody, 202: undoBody },
  },
} as const;
