/**
 * REST resources `/api/v1/imports` and `/api/v1/verify`, and the list of one mailbox that `export` reads. The engines of import,
 * export and verify (`transfer/`) run where the command runs: the service cannot read other users' files.
 */
import { type Static, Type } from "typebox";
import { MAX_KEY_CHARS, MAX_KNOWN_ITEMS, MAX_REPORTED } from "../transfer.ts";
import { mailboxPath } from "./accounts.ts";
import { MAX_PATH_PARAM } from "./codes.ts";
import { changeQuery, closed, nullable, pageOf, pageQuery, timestamp } from "./common.ts";

const text = (maxLength: number) => Type.String({ minLength: 1, maxLength });
const uid = Type.Integer({ minimum: 1, maximum: 4_294_967_295 });
const count = Type.Integer({ minimum: 0 });
const mailboxName = text(MAX_PATH_PARAM);
const flagNames = Type.Array(Type.String({ maxLength: 20 }), { maxItems: 5 });
const keywords = Type.Array(text(64), { maxItems: 64 });

// ---------------------------------------------------------------- imports

const reasons = Type.Record(Type.String(), count);

export const importProblem = Type.Object(
  { mailbox: Type.String(), file: Type.String(), reason: Type.String(), detail: Type.String() },
  closed,
);
export type ImportProblem = Static<typeof importProblem>;

export const importMailboxReport = Type.Object(
  {
    source: Type.String(),
    mailbox: Type.String(),
    found: count,
    copied: count,
    already: count,
    skipped: count,
    failed: count,
    copied_bytes: count,
    flags_updated: count,
    gone_at_source: Type.Integer({ minimum: 0, description: "imported earlier, not at the source any more" }),
    uids: Type.Enum(["kept", "own"]),
    uids_reason: Type.String({ description: "why the UIDs are our own" }),
  },
  closed,
);
export type ImportMailboxReport = Static<typeof importMailboxReport>;

export const importReport = Type.Object(
  {
    mailboxes: Type.Array(importMailboxReport),
    skipped: reasons,
    failed: reasons,
    problems: Type.Array(importProblem, { description: `the first ${MAX_REPORTED}` }),
    notes: Type.Array(Type.String()),
    changed: Type.Boolean({ description: "the source changed meanwhile: run again" }),
    seconds: Type.Number(),
  },
  closed,
);
export type ImportReport = Static<typeof importReport>;

export const newImportBody = Type.Object(
  { account: text(1000), kind: Type.Enum(["maildir", "imap"]), source: text(4096) },
  closed,
);
export type NewImportBody = Static<typeof newImportBody>;

export const importBody = Type.Object(
  {
    id: nullable(Type.Integer({ description: "null: dry run" })),
    account: Type.String(),
    kind: Type.String(),
    source: Type.String(),
    state: Type.String(),
    started_at: timestamp,
    finished_at: nullable(timestamp),
    copied: count,
    copied_bytes: count,
    report: nullable(Type.Unknown()),
  },
  closed,
);
export type ImportBody = Static<typeof importBody>;

export const openMailboxBody = Type.Object(
  {
    account: text(1000),
    name: mailboxName,
    subscribe: Type.Boolean(),
    /** What the source says; null: it says nothing, or our own UIDs are asked for. */
    source_uids: nullable(Type.Object({ uid_validity: uid, uid_next: uid }, closed)),
    /** A folder of a server that counts its changes. */
    folder: Type.Optional(Type.Object({ source: text(4096), uid_validity: uid }, closed)),
  },
  closed,
);
export type OpenMailboxBody = Static<typeof openMailboxBody>;

export const openedMailboxBody = Type.Object(
  {
    name: Type.String(),
    uids: Type.Enum(["kept", "own"]),
    uids_reason: Type.String(),
    uid_next: uid,
    known: Type.Integer({ minimum: 0, description: "messages of any source imported earlier" }),
    source_modseq: Type.Optional(
      Type.String({ description: "MODSEQ of the folder at the end of the last whole pass" }),
    ),
  },
  closed,
);
export type OpenedMailboxBody = Static<typeof openedMailboxBody>;

/** Without flags and keywords: as at the last pass. */
const knownItem = Type.Object(
  { key: text(MAX_KEY_CHARS), flags: Type.Optional(flagNames), keywords: Type.Optional(keywords) },
  closed,
);
export const compareBody = Type.Object(
  { account: text(1000), mailbox: mailboxName, items: Type.Array(knownItem, { maxItems: MAX_KNOWN_ITEMS }) },
  closed,
);
export type CompareBody = Static<typeof compareBody>;

export const comparedBody = Type.Object(
  {
    results: Type.Array(Type.Enum(["new", "same", "flags_changed"])),
    /** UID at the source when it was imported, one per item; null: new, or it had none. */
    source_uids: Type.Array(nullable(Type.Integer())),
  },
  closed,
);
export type ComparedBody = Static<typeof comparedBody>;

/** The head of one message in a batch (`wire/message-batch.ts`). */
export interface BatchHead {
  readonly key: string;
  readonly source_uid: number | null;
  readonly flags: readonly string[];
  readonly keywords: readonly string[];
  /** RFC 3339. */
  readonly internal_date: string;
}

export const batchResult = Type.Object(
  {
    kind: Type.Enum(["stored", "already", "abandoned", "over_quota", "too_large", "uid_taken", "gone"]),
    uid: nullable(Type.Integer()),
    size_bytes: count,
  },
  closed,
);
export type BatchResult = Static<typeof batchResult>;

export const batchBody = Type.Object({ results: Type.Array(batchResult) }, closed);
export type BatchBody = Static<typeof batchBody>;

export const closeMailboxBody = Type.Object(
  {
    account: text(1000),
    name: mailboxName,
    source_uids: openMailboxBody.properties.source_uids,
    /** How far a folder was seen whole; absent: it was not. */
    seen: Type.Optional(
      Type.Object(
        { source: text(4096), uid_validity: uid, modseq: Type.String({ pattern: "^[0-9]{1,19}$" }) },
        closed,
      ),
    ),
  },
  closed,
);
export type CloseMailboxBody = Static<typeof closeMailboxBody>;

export const closedMailboxBody = Type.Object(
  { uid_next: uid, gone_at_source: count, uids: Type.Enum(["kept", "own"]) },
  closed,
);
export type ClosedMailboxBody = Static<typeof closedMailboxBody>;

export const finishImportBody = Type.Object(
  { state: Type.Enum(["done", "changed", "failed"]), report: importReport },
  closed,
);
export type FinishImportBody = Static<typeof finishImportBody>;

const importPath = Type.Object({ id: Type.String({ pattern: "^[0-9]{1,15}$" }) });
const batchQuery = Type.Object(
  { account: text(1000), mailbox: mailboxName, uid_validity: Type.Optional(uid) },
  closed,
);

export const importRoutes = {
  start: { body: newImportBody, querystring: changeQuery, response: { 200: importBody, 201: importBody } },
  list: {
    querystring: Type.Object({ ...pageQuery, account: Type.Optional(text(1000)) }, closed),
    response: { 200: pageOf(importBody) },
  },
  get: { params: importPath, response: { 200: importBody } },
  open: {
    params: importPath,
    body: openMailboxBody,
    querystring: changeQuery,
    response: { 200: openedMailboxBody },
  },
  compare: {
    params: importPath,
    body: compareBody,
    querystring: changeQuery,
    response: { 200: comparedBody },
  },
  batch: { params: importPath, querystring: batchQuery, response: { 200: batchBody } },
  close: { params: importPath, body: closeMailboxBody, response: { 200: closedMailboxBody } },
  finish: { params: importPath, body: finishImportBody, response: { 200: importBody } },
} as const;

// ---------------------------------------------------------------- verify

export const verifyMailbox = Type.Object(
  {
    mailbox: Type.String(),
    there: Type.String({ description: "its name on the other server; empty: it is not there" }),
    messages: count,
    messages_there: count,
    same: count,
    missing: Type.Integer({ minimum: 0, description: "there, but not here" }),
    extra: Type.Integer({ minimum: 0, description: "here, but not there" }),
    bytes_differ: count,
    flags_differ: count,
    dates_differ: count,
    uids_differ: count,
    uid_validity_differs: Type.Boolean(),
    matched_by: Type.Enum(["uid", "digest"]),
  },
  closed,
);
export type VerifyMailbox = Static<typeof verifyMailbox>;

export const verifyDifference = Type.Object(
  {
    mailbox: Type.String(),
    kind: Type.String(),
    uid: nullable(Type.Integer()),
    uid_there: nullable(Type.Integer()),
    detail: Type.String(),
  },
  closed,
);
export type VerifyDifference = Static<typeof verifyDifference>;

export const verifyResult = Type.Object(
  {
    mailboxes: Type.Array(verifyMailbox),
    differences: Type.Array(verifyDifference, { description: `the first ${MAX_REPORTED}` }),
    differences_total: count,
    seconds: Type.Number(),
  },
  closed,
);
export type VerifyResult = Static<typeof verifyResult>;

export const newVerifyBody = Type.Object(
  {
    account: text(1000),
    against: text(1000),
    mode: Type.Enum(["headers", "full"]),
    equal: Type.Boolean(),
    result: verifyResult,
  },
  closed,
);
export type NewVerifyBody = Static<typeof newVerifyBody>;

export const verifyBody = Type.Object(
  {
    account: Type.String(),
    against: Type.String(),
    mode: Type.String(),
    equal: Type.Boolean(),
    finished_at: timestamp,
    result: Type.Unknown(),
  },
  closed,
);
export type VerifyBody = Static<typeof verifyBody>;

export const verifyRoutes = {
  record: { body: newVerifyBody, response: { 201: verifyBody } },
  get: { params: Type.Object({ address: mailboxName }), response: { 200: verifyBody } },
} as const;

// ---------------------------------------------------------------- one mailbox, for export

export const mailboxMessageBody = Type.Object(
  {
    uid,
    flags: Type.Array(Type.String()),
    keywords: Type.Array(Type.String()),
    internal_date: timestamp,
    size_bytes: count,
  },
  closed,
);
export type MailboxMessageBody = Static<typeof mailboxMessageBody>;

export const addSeenBody = Type.Object(
  { uid_validity: uid, uids: Type.Array(uid, { minItems: 1, maxItems: MAX_KNOWN_ITEMS }) },
  closed,
);
export type AddSeenBody = Static<typeof addSeenBody>;

export const addedSeenBody = Type.Object(
  { changed: Type.Integer({ minimum: 0, description: "messages that were not read before" }) },
  closed,
);
export type AddedSeenBody = Static<typeof addedSeenBody>;

export const mailboxMessageRoutes = {
  list: {
    params: mailboxPath,
    querystring: Type.Object(pageQuery, closed),
    response: { 200: pageOf(mailboxMessageBody) },
  },
  addSeen: { params: mailboxPath, body: addSeenBody, response: { 200: addedSeenBody } },
} as const;
