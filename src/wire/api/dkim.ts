/** REST resource `/api/v1/domains/{name}/dkim`: the keys that mail of a domain is signed with. Private keys are never given out. */
import { type Static, Type } from "typebox";
import { changeQuery, closed, nullable, timestamp } from "./common.ts";
import { domainPath } from "./domains.ts";

const algorithm = Type.Enum(["rsa-sha256", "ed25519-sha256"]);

const keyFields = {
  domain: Type.String(),
  selector: Type.String(),
  algorithm,
  dns_name: Type.String({ description: "where the TXT record stands" }),
  dns_value: Type.String({ description: "the TXT record" }),
  created_at: timestamp,
};

export const dkimKeyBody = Type.Object(keyFields, closed);
export type DkimKeyBody = Static<typeof dkimKeyBody>;

export const dkimCheckBody = Type.Object(
  {
    ...keyFields,
    dns: Type.Enum(["published", "absent", "differs", "unknown"]),
    found: nullable(Type.String({ description: "what DNS has, or why nothing is known" })),
  },
  closed,
);
export type DkimCheckBody = Static<typeof dkimCheckBody>;

export const newDkimKeyBody = Type.Object(
  {
    selector: Type.Optional(Type.String({ minLength: 1, maxLength: 63 })),
    algorithm: Type.Optional(algorithm),
    private_key: Type.Optional(
      Type.String({ maxLength: 16_384, description: "PEM; absent: a new key is made" }),
    ),
  },
  closed,
);

const keyPath = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 255 }),
  selector: Type.String({ minLength: 1, maxLength: 63 }),
});
const all = <T extends Parameters<typeof Type.Array>[0]>(item: T) =>
  Type.Object({ items: Type.Array(item) }, closed);

export const dkimRoutes = {
  list: { params: domainPath, response: { 200: all(dkimKeyBody) } },
  add: {
    params: domainPath,
    body: newDkimKeyBody,
    querystring: changeQuery,
    response: { 200: dkimKeyBody, 201: dkimKeyBody },
  },
  remove: { params: keyPath, querystring: changeQuery, response: { 200: dkimKeyBody } },
  check: { params: domainPath, response: { 200: all(dkimCheckBody) } },
} as const;
