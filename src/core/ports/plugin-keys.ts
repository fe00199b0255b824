/** Whom this service trusts to vouch for plugins, and what it does not run any more; `store/plugin-keys.ts` implements it. */
import type { KeyAlgorithm } from "../../wire/plugin-package.ts";

/** A package that a marketplace key signed is `signed`, one that a private key signed is `private`. */
export const TRUSTED_ROLES = ["marketplace", "private"] as const;
export type TrustedRole = (typeof TRUSTED_ROLES)[number];

export interface TrustedKey {
  /** SHA-256 of `spki`, hex. */
  readonly id: string;
  readonly role: TrustedRole;
  readonly algorithm: KeyAlgorithm;
  /** SubjectPublicKeyInfo in DER. */
  readonly spki: Uint8Array;
  /** Whose it is, in the words of who trusted it. */
  readonly label: string;
  readonly addedBy: string;
  readonly addedAt: Date;
}

/** By key (its id), by plugin (id), by version (`id@version`), by package (SHA-256 of its bytes). */
export const REVOCATION_KINDS = ["key", "plugin", "version", "package"] as const;
export type RevocationKind = (typeof REVOCATION_KINDS)[number];
export const REVOCATION_SEVERITIES = ["malicious", "vulnerable"] as const;
export type RevocationSeverity = (typeof REVOCATION_SEVERITIES)[number];

export interface Revocation {
  readonly kind: RevocationKind;
  readonly value: string;
  readonly severity: RevocationSeverity;
  readonly reason: string;
  readonly by: string;
  readonly at: Date;
}

/** All that verification needs to know. */
export interface PluginTrust {
  readonly keys: readonly Pick<TrustedKey, "id" | "role" | "spki" | "label">[];
  readonly revocations: readonly Revocation[];
}

export const MAX_TRUSTED_KEYS = 100;
export const MAX_REVOCATIONS = 10_000;

export interface PluginKeys {
  /** As it is now. @throws {MairustError} `store_unavailable` */
  trust(): Promise<PluginTrust>;
  /** By label. */
  keys(): Promise<readonly TrustedKey[]>;
  /** Newest first. */
  revocations(): Promise<readonly Revocation[]>;
  /** @throws {MairustError} `already_exists`, `too_many` */
  addKey(key: Omit<TrustedKey, "addedAt">): Promise<TrustedKey>;
  /** @throws {NotFound} */
  removeKey(id: string): Promise<void>;
  /** Again: with the new severity and reason. @throws {MairustError} `too_many` */
  revoke(revocation: Omit<Revocation, "at">): Promise<Revocation>;
  /** @throws {NotFound} */
  unrevoke(kind: RevocationKind, value: string): Promise<void>;
  /** Called after each change, of other nodes too; what it throws is its own. @returns ends it */
  onChange(listener: () => void): () => void;
}
