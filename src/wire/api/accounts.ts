/** REST resources `/api/v1/accounts`, `…/aliases`, `…/mailboxes`. */
import { type Static, Type } from "typebox";
import { STAGES } from "../config/mail.ts";
import { MAX_PATH_PARAM } from "./codes.ts";
import { changeQuery, closed, nullable, pageOf, pageQuery, timestamp } from "./common.ts";

const address = Type.String({ minLength: 3, maxLength: 1000 });
const quota = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

export const accountBody = Type.Object(
  {
    address: Type.String(),
    domain: Type.String(),
    stage: Type.Enum([...STAGES], { description: "in effect" }),
    own_stage: nullable(Type.Enum([...STAGES], { description: "null: the domain's" })),
    quota_bytes: nullable(Type.Integer({ description: "its own; null: the domain's" })),
    effective_quota_bytes: Type.Integer({ description: "0: none" }),
    used_bytes: Type.Integer(),
    used_messages: Type.Integer(),
    aliases: Type.Array(Type.String()),
    has_password: Type.Boolean({ description: "may log in by IMAP with a password of its own" }),
    created_at: timestamp,
  },
  closed,
);
export type AccountBody = Static<typeof accountBody>;

const passwordMembers = {
  password: Type.Optional(Type.String({ minLength: 1, maxLength: 1000 })),
  hash: Type.Optional(Type.String({ minLength: 1, maxLength: 500, description: "Argon2id, PHC form" })),
};

/** At most one of `password` and `hash`; without them only the master user gets in. */
export const newAccountBody = Type.Object(
  {
    address,
    ...passwordMembers,
    quota_bytes: Type.Optional(nullable(quota)),
  },
  closed,
);
export type NewAccountBody = Static<typeof newAccountBody>;

export const accountChangeBody = Type.Object({ quota_bytes: nullable(quota) }, closed);
export type AccountChangeBody = Static<typeof accountChangeBody>;

export const passwordBody = Type.Object(passwordMembers, {
  ...closed,
  minProperties: 1,
  maxProperties: 1,
});
export type PasswordBody = Static<typeof passwordBody>;

export const aliasBody = Type.Object(
  { address: Type.String(), account: Type.String(), created_at: timestamp },
  closed,
);
export type AliasBody = Static<typeof aliasBody>;

export const newAliasBody = Type.Object({ address }, closed);
export type NewAliasBody = Static<typeof newAliasBody>;

export const mailboxBody = Type.Object(
  {
    name: Type.String(),
    special_use: nullable(Type.String()),
    subscribed: Type.Boolean(),
    uid_validity: Type.Integer(),
    uid_next: Type.Integer(),
    highest_modseq: Type.Integer(),
    messages: Type.Integer(),
    unseen: Type.Integer(),
    size_bytes: Type.Integer(),
  },
  closed,
);
export type MailboxBody = Static<typeof mailboxBody>;

const pathText = Type.String({ minLength: 1, maxLength: MAX_PATH_PARAM });
export const accountPath = Type.Object({ address: pathText });
export const aliasPath = Type.Object({ address: pathText, alias: pathText });
export const mailboxPath = Type.Object({ address: pathText, mailbox: pathText });

export const accountRoutes = {
  list: {
    querystring: Type.Object(
      { ...pageQuery, domain: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })) },
      closed,
    ),
    response: { 200: pageOf(accountBody) },
  },
  get: { params: accountPath, response: { 200: accountBody } },
  add: {
    body: newAccountBody,
    querystring: changeQuery,
    response: { 200: accountBody, 201: accountBody },
  },
  change: {
    params: accountPath,
    body: accountChangeBody,
    querystring: changeQuery,
    response: { 200: accountBody },
  },
  setPassword: {
    params: accountPath,
    body: passwordBody,
    querystring: changeQuery,
    response: { 200: accountBody },
  },
  clearPassword: { params: accountPath, querystring: changeQuery, response: { 200: accountBody } },
  remove: { params: accountPath, querystring: changeQuery, response: { 200: accountBody } },
  listAliases: {
    params: accountPath,
    response: { 200: Type.Object({ items: Type.Array(aliasBody), next_cursor: Type.Null() }, closed) },
  },
  addAlias: {
    params: accountPath,
    body: newAliasBody,
    querystring: changeQuery,
    response: { 200: aliasBody, 201: aliasBody },
  },
  removeAlias: { params: aliasPath, querystring: changeQuery, response: { 200: aliasBody } },
  listMailboxes: {
    params: accountPath,
    response: { 200: Type.Object({ items: Type.Array(mailboxBody), next_cursor: Type.Null() }, closed) },
  },
} as const;
