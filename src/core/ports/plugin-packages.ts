/** Signed packages of plugins (`.mairust-plugin`); `plugins/package/` reads, writes and verifies them. */
import type { Manifest } from "../../wire/manifest.ts";
import type { Revocation } from "./plugin-keys.ts";

/** What the signatures of a package are worth. Everything but the first two needs `plugins.allow_unsigned`, or does not run at all. */
export type SignatureState =
  /** By a marketplace key that we trust. */
  | "signed"
  /** By a key that the administrator trusts. */
  | "private"
  /** No signature of anybody we know. */
  | "unsigned"
  /** Files are not what was signed. Never runs. */
  | "modified"
  /**
   * Key, id, version or digest was revoked. As malicious it never runs. As vulnerable it is told and runs on where it was enabled, and
   * is not installed or enabled any more.
   */
  | "revoked";

export interface Verification {
  readonly state: SignatureState;
  /** Why, for people. */
  readonly detail: string;
  /** Fingerprint of the developer's key; undefined: no developer signed. */
  readonly developerKey: string | undefined;
  /** Key ids of all valid signatures. */
  readonly signers: readonly string[];
  /** With state `revoked`: why, and how bad it is. */
  readonly revocation: Revocation | undefined;
  /** With a revocation as vulnerable: it would be `signed` or `private` without it. */
  readonly isVouchedFor?: boolean;
}

/** One package, read and checked as a whole. */
export interface PluginPackage {
  readonly manifest: Manifest;
  /** Exact bytes by path; `plugin.toml`, `manifest.json` and `manifest.json.sig` among them. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** SHA-256 of the package's bytes, hex. */
  readonly digest: string;
}
