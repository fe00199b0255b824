/**
 * REST resource `/api/v1/exports`: what `export imap` writes down, so that it may be killed at any time. The engine (`transfer/`)
 * runs where the command runs, and talks to the other server itself.
 */
import { type Static, Type } from "typebox";
import { MAX_KNOWN_ITEMS } from "../transfer.ts";
import { MAX_PATH_PARAM } from "./codes.ts";
import { closed, nullable, timestamp } from "./common.ts";

const text = (maxLength: number) => Type.String({ minLength: 1, maxLength });
const uid = Type.Integer({ minimum: 1, maximum: 4_294_967_295 });
const count = Type.Integer({ minimum: 0 });
const of = { account: text(1000), mailbox: text(MAX_PATH_PARAM) };
const folder = text(4096);
const flags = Type.Array(Type.String({ maxLength: 20 }), { maxItems: 5 });
const keywords = Type.Array(text(64), { maxItems: 64 });

export const newExportBody = Type.Object({ account: text(1000), target: text(4096) }, closed);
export type NewExportBody = Static<typeof newExportBody>;

export const exportBody = Type.Object(
  {
    id: Type.Integer(),
    account: Type.String(),
    target: Type.String(),
    state: Type.String(),
    started_at: timestamp,
    finished_at: nullable(timestamp),
    appending_to: nullable(
      Type.String({
        description: "folder there to which a killed export was sending: wait until it is quiet",
      }),
    ),
    copied: count,
    copied_bytes: count,
    report: nullable(Type.Unknown()),
  },
  closed,
);
export type ExportBody = Static<typeof exportBody>;

export const openExportBody = Type.Object({ ...of, folder, uid_validity: uid }, closed);
export type OpenExportBody = Static<typeof openExportBody>;

export const knownExportBody = Type.Object({ ...of, after: count }, closed);
export type KnownExportBody = Static<typeof knownExportBody>;

export const exportedBody = Type.Object(
  {
    items: Type.Array(
      Type.Object(
        {
          uid,
          there_uid: nullable(Type.Integer({ description: "null: imported with these flags, not exported" })),
          flags: Type.Array(Type.String()),
          keywords: Type.Array(Type.String()),
        },
        closed,
      ),
    ),
    more: Type.Boolean(),
  },
  closed,
);
export type ExportedBody = Static<typeof exportedBody>;

export const recordExportBody = Type.Object(
  {
    ...of,
    messages: Type.Array(Type.Object({ uid, there_uid: uid, flags, keywords }, closed), {
      maxItems: MAX_KNOWN_ITEMS,
    }),
    forget: Type.Array(uid, { maxItems: MAX_KNOWN_ITEMS }),
    /** Folder there to which messages are sent next; null: none are on their way. */
    appending_to: nullable(folder),
    copied: count,
    copied_bytes: count,
  },
  closed,
);
export type RecordExportBody = Static<typeof recordExportBody>;

export const finishExportBody = Type.Object(
  { state: Type.Enum(["done", "changed", "failed"]), report: Type.Unknown() },
  closed,
);
export type FinishExportBody = Static<typeof finishExportBody>;

const exportPath = Type.Object({ id: Type.String({ pattern: "^[0-9]{1,15}$" }) });
const done = { 200: Type.Object({}, closed) };

export const exportRoutes = {
  start: { body: newExportBody, response: { 201: exportBody } },
  get: { params: exportPath, response: { 200: exportBody } },
  open: { params: exportPath, body: openExportBody, response: done },
  known: { params: exportPath, body: knownExportBody, response: { 200: exportedBody } },
  record: { params: exportPath, body: recordExportBody, response: done },
  finish: { params: exportPath, body: finishExportBody, response: { 200: exportBody } },
} as const;
