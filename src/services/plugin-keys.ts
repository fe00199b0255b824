/** Use cases on trusted keys and revocations: list, trust, forget, revoke, take back. Every change is in the audit log before it is made. */
import { MairustError, NotFound } from "../core/errors.ts";
import type { Revocation, RevocationKind, TrustedKey, TrustedRole } from "../core/ports/plugin-keys.ts";
import { PLUGIN_ID_PATTERN, SEMVER_PATTERN } from "../wire/manifest.ts";
import { SHA256_PATTERN } from "../wire/plugin-package.ts";
import type { ServicePorts } from "./ports.ts";

export interface KeyChange {
  readonly actor: string;
  readonly dryRun: boolean;
}

export function listPluginKeys(ports: ServicePorts): Promise<readonly TrustedKey[]> {
  return ports.pluginKeys.keys();
}

export interface NewTrustedKey {
  readonly pem: string;
  readonly role: TrustedRole;
  readonly label: string;
}

/** @throws {MairustError} `plugin_validation`: no key, or one that is too weak; `invalid_state`: it was revoked; `already_exists`, `too_many` */
export async function trustPluginKey(
  ports: ServicePorts,
  { pem, role, label }: NewTrustedKey,
  { actor, dryRun }: KeyChange,
): Promise<TrustedKey> {
  const read = ports.readPublicKey(pem);
  if (role === "marketplace" && read.algorithm !== "ed25519")
    throw refused("plugin_validation", "a marketplace signs with Ed25519, and this key is RSA");
  const key = { ...read, role, label, addedBy: actor };
  const known = (await ports.pluginKeys.keys()).some(({ id }) => id === key.id);
  if (known) throw refused("already_exists", `key ${key.id} is trusted already`);
  const revoked = (await ports.pluginKeys.revocations()).find(
    one => one.kind === "key" && one.value === key.id,
  );
  if (revoked !== undefined) throw refused("invalid_state", `key ${key.id} was revoked: ${revoked.reason}`);
  if (dryRun) return { ...key, addedAt: new Date() };
  await ports.audit.record({ actor, action: "plugin_key.trust", object: key.id, detail: { role, label } });
  return ports.pluginKeys.addKey(key);
}

/** Packages that it signed are as good as unsigned from now on; it is not revoked. @throws {NotFound} */
export async function forgetPluginKey(
  ports: ServicePorts,
  id: string,
  { actor, dryRun }: KeyChange,
): Promise<TrustedKey> {
  const key = (await ports.pluginKeys.keys()).find(one => one.id === id);
  if (key === undefined) throw new NotFound("trusted key", id);
  if (dryRun) return key;
  const detail = { role: key.role, label: key.label };
  await ports.audit.record({ actor, action: "plugin_key.forget", object: id, detail });
  await ports.pluginKeys.removeKey(id);
  return key;
}

export function listRevocations(ports: ServicePorts): Promise<readonly Revocation[]> {
  return ports.pluginKeys.revocations();
}

export interface Revoked {
  readonly kind: RevocationKind;
  readonly value: string;
}

/** Again: with the new severity and reason. @throws {MairustError} `invalid_argument`: no such thing can be; `too_many` */
export async function revoke(
  ports: ServicePorts,
  { kind, value }: Revoked,
  { severity, reason }: Pick<Revocation, "severity" | "reason">,
  { actor, dryRun }: KeyChange,
): Promise<Revocation> {
  if (!FORMS[kind].test(value)) throw refused("invalid_argument", `"${value}" is no ${NAMES[kind]}`);
  const revocation = { kind, value, severity, reason, by: actor };
  if (dryRun) return { ...revocation, at: new Date() };
  const object = `${kind}:${value}`;
  await ports.audit.record({ actor, action: "plugin_revocation.add", object, detail: { severity, reason } });
  return ports.pluginKeys.revoke(revocation);
}

/** @throws {NotFound} */
export async function unrevoke(
  ports: ServicePorts,
  { kind, value }: Revoked,
  { actor, dryRun }: KeyChange,
): Promise<Revocation> {
  const object = `${kind}:${value}`;
  const found = (await ports.pluginKeys.revocations()).find(one => one.kind === kind && one.value === value);
  if (found === undefined) throw new NotFound("revocation", object);
  if (dryRun) return found;
  await ports.audit.record({
    actor,
    action: "plugin_revocation.remove",
    object,
    detail: { reason: found.reason },
  });
  await ports.pluginKeys.unrevoke(kind, value);
  return found;
}

const FORMS: Readonly<Record<RevocationKind, RegExp>> = {
  key: new RegExp(SHA256_PATTERN, "u"),
  package: new RegExp(SHA256_PATTERN, "u"),
  plugin: new RegExp(PLUGIN_ID_PATTERN, "u"),
  version: new RegExp(`${PLUGIN_ID_PATTERN.slice(0, -1)}@${SEMVER_PATTERN.slice(1)}`, "u"),
};

const NAMES: Readonly<Record<RevocationKind, string>> = {
  key: "key id (64 hexadecimal digits)",
  package: "SHA-256 of a package (64 hexadecimal digits)",
  plugin: "plugin id",
  version: "plugin id and version (com.example.filter@1.2.0)",
};

function refused(
  code: "plugin_validation" | "already_exists" | "invalid_argument" | "invalid_state",
  publicText: string,
): MairustError {
  return new MairustError(code, `Cannot change trusted keys: ${publicText}`, { publicText });
}
