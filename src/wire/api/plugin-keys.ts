/** REST resources `/api/v1/admin/plugin-keys` and `/api/v1/admin/plugin-revocations`: whom the service trusts to vouch for plugins. */
import { type Static, Type } from "typebox";
import { KEY_ALGORITHMS, SHA256_PATTERN } from "../plugin-package.ts";
import { changeQuery, closed, pageOf, timestamp } from "./common.ts";

export const KEY_ROLES = ["marketplace", "private"] as const;
export const REVOKED_KINDS = ["key", "plugin", "version", "package"] as const;
export const SEVERITIES = ["malicious", "vulnerable"] as const;

export const MAX_KEY_LABEL = 200;
export const MAX_REVOCATION_REASON = 500;
/** Characters of a PEM file. */
const MAX_PEM = 16_384;

export const pluginKeyBody = Type.Object(
  {
    id: Type.String({ description: "SHA-256 of the SubjectPublicKeyInfo" }),
    role: Type.Enum([...KEY_ROLES]),
    algorithm: Type.Enum([...KEY_ALGORITHMS]),
    label: Type.String(),
    public_key: Type.String({ description: "PEM" }),
    added_by: Type.String(),
    added_at: timestamp,
  },
  closed,
);
export type PluginKeyBody = Static<typeof pluginKeyBody>;

export const newPluginKeyBody = Type.Object(
  {
    public_key: Type.String({ maxLength: MAX_PEM, description: "PEM, as openssl writes it" }),
    role: Type.Enum([...KEY_ROLES]),
    label: Type.String({ minLength: 1, maxLength: MAX_KEY_LABEL }),
  },
  closed,
);

export const revocationBody = Type.Object(
  {
    kind: Type.Enum([...REVOKED_KINDS]),
    value: Type.String({ description: "key id, plugin id, id@version, SHA-256 of the package" }),
    severity: Type.Enum([...SEVERITIES]),
    reason: Type.String(),
    revoked_by: Type.String(),
    revoked_at: timestamp,
  },
  closed,
);
export type RevocationBody = Static<typeof revocationBody>;

const revocationPath = {
  kind: Type.Enum([...REVOKED_KINDS]),
  value: Type.String({ minLength: 1, maxLength: 200 }),
};
const keyPath = Type.Object({ id: Type.String({ pattern: SHA256_PATTERN }) });

export const pluginKeyRoutes = {
  list: { response: { 200: pageOf(pluginKeyBody) } },
  trust: {
    body: newPluginKeyBody,
    querystring: changeQuery,
    response: { 200: pluginKeyBody, 201: pluginKeyBody },
  },
  remove: { params: keyPath, querystring: changeQuery, response: { 200: pluginKeyBody } },
  revocations: { response: { 200: pageOf(revocationBody) } },
  revoke: {
    params: Type.Object(revocationPath, closed),
    body: Type.Object(
      {
        severity: Type.Enum([...SEVERITIES]),
        reason: Type.String({ minLength: 1, maxLength: MAX_REVOCATION_REASON }),
      },
      closed,
    ),
    querystring: changeQuery,
    response: { 200: revocationBody },
  },
  unrevoke: {
    params: Type.Object(revocationPath, closed),
    querystring: changeQuery,
    response: { 200: revocationBody },
  },
} as const;
