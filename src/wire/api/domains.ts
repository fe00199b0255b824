/** REST resource `/api/v1/domains`. */
import { type Static, Type } from "typebox";
import { ACCOUNT_POLICIES, STAGES } from "../config/mail.ts";
import { changeQuery, closed, nullable, pageOf, pageQuery, timestamp } from "./common.ts";

export const domainBody = Type.Object(
  {
    name: Type.String({ description: "lower-case A-label" }),
    tenant: Type.String(),
    stage: Type.Enum([...STAGES]),
    accounts: Type.Enum([...ACCOUNT_POLICIES]),
    quota_bytes: Type.Integer({ minimum: 0, description: "of each account; 0: none" }),
    relay_lmtp: nullable(Type.String({ description: "next hop of the stages before store" })),
    account_count: Type.Integer({ minimum: 0 }),
    created_at: timestamp,
  },
  closed,
);
export type DomainBody = Static<typeof domainBody>;

export const newDomainBody = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 255 }),
    accounts: Type.Optional(Type.Enum([...ACCOUNT_POLICIES])),
    quota_bytes: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
    stage: Type.Optional(Type.Enum([...STAGES], { description: "its first one; default store" })),
    relay_lmtp: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
  },
  closed,
);
export type NewDomainBody = Static<typeof newDomainBody>;

export const domainPath = Type.Object({ name: Type.String({ minLength: 1, maxLength: 255 }) });

export const domainRoutes = {
  list: { querystring: Type.Object(pageQuery, closed), response: { 200: pageOf(domainBody) } },
  get: { params: domainPath, response: { 200: domainBody } },
  add: {
    body: newDomainBody,
    querystring: changeQuery,
    response: { 200: domainBody, 201: domainBody },
  },
  remove: { params: domainPath, querystring: changeQuery, response: { 200: domainBody } },
} as const;
