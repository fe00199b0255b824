/** REST: the stage of a domain (`/domains/{name}/stage`), of an account (`/accounts/{address}/stage`), and of all domains. */
import { type Static, Type } from "typebox";
import { STAGES } from "../config/mail.ts";
import { accountPath } from "./accounts.ts";
import { changeQuery, closed, nullable, pageOf, pageQuery, timestamp } from "./common.ts";
import { domainPath } from "./domains.ts";

const stage = Type.Enum([...STAGES]);

export const stageBody = Type.Object(
  {
    kind: Type.Enum(["domain", "account"]),
    scope: Type.String({ description: "name of the domain, or address of the account" }),
    domain: Type.String(),
    stage: Type.Enum([...STAGES], { description: "in effect" }),
    own_stage: nullable(Type.Enum([...STAGES], { description: "of an account; null: its domain's" })),
    domain_stage: stage,
    initial_stage: nullable(Type.String({ description: "of a domain that a file names" })),
    initial_origin: nullable(Type.String({ description: "where the file says so" })),
    relay_lmtp: nullable(Type.String({ description: "next hop of the stages before store" })),
    relay_origin: nullable(Type.String({ description: "where a file sets it: it is locked then" })),
    since: timestamp,
    by: Type.String({ description: "who set it; empty: its first value" }),
    settled_at: Type.String({
      description: "from then on no mail is under way that was accepted in the stage before",
    }),
    accounts: Type.Integer({ minimum: 0 }),
    accounts_apart: Type.Integer({ minimum: 0, description: "accounts with another stage of their own" }),
    version: Type.Integer({ description: "as in the ETag" }),
  },
  closed,
);
export type StageBody = Static<typeof stageBody>;

export const setStageBody = Type.Object(
  {
    stage: Type.Union([stage, Type.Literal("domain")], {
      description: "domain: take the account's own stage away",
    }),
    relay_lmtp: Type.Optional(nullable(Type.String({ minLength: 1, maxLength: 255 }))),
    without_verify: Type.Optional(
      Type.Boolean({ description: "to or from store without a comparison of all accounts" }),
    ),
    force: Type.Optional(Type.Boolean({ description: "though the next hop is silent, or none is set yet" })),
  },
  closed,
);
export type SetStageBody = Static<typeof setStageBody>;

export const stageSetBody = Type.Object(
  {
    ...stageBody.properties,
    from: stage,
    waived: Type.Array(Type.Object({ code: Type.String(), text: Type.String() }, closed), {
      description: "what spoke against it",
    }),
  },
  closed,
);
export type StageSetBody = Static<typeof stageSetBody>;

const set = { body: setStageBody, querystring: changeQuery, response: { 200: stageSetBody } };

export const stageRoutes = {
  list: { querystring: Type.Object(pageQuery, closed), response: { 200: pageOf(stageBody) } },
  getOfDomain: { params: domainPath, response: { 200: stageBody } },
  setOfDomain: { params: domainPath, ...set },
  getOfAccount: { params: accountPath, response: { 200: stageBody } },
  setOfAccount: { params: accountPath, ...set },
} as const;
