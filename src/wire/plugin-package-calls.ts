/** What the commands that make and look at packages ask of `plugins/package/`; `main.ts` hands it over. Types only. */
import type { KeyAlgorithm, SignatureRole } from "./plugin-package.ts";

export interface PackageFacts {
  readonly id: string;
  readonly version: string;
  readonly files: number;
  readonly packed_bytes: number;
  readonly unpacked_bytes: number;
  /** SHA-256 of the package. */
  readonly sha256: string;
}

export interface MadePackage {
  readonly bytes: Uint8Array;
  readonly facts: PackageFacts;
  /** Files of the folder that were not taken. */
  readonly leftOut: readonly string[];
  readonly notes: readonly string[];
}

export interface CheckedSignature {
  readonly role: SignatureRole;
  readonly key_id: string;
  readonly algorithm: KeyAlgorithm;
  /** Whether it fits, and whether one of the keys that were given made it. */
  readonly verdict: "given key" | "own key" | "bad" | "unknown key";
}

export interface CheckedPackage {
  readonly facts: PackageFacts;
  readonly signatures: readonly CheckedSignature[];
}

export interface NewKey {
  readonly id: string;
  readonly privatePem: string;
  readonly publicPem: string;
}

/** All throw errors of the one family, with texts for people. */
export interface PackageEngines {
  readonly maxPackedBytes: number;
  pack(folder: string): Promise<MadePackage>;
  /** @returns the package, with one more signature, and the id of its key */
  sign(
    bytes: Uint8Array,
    keyPem: string,
    role: SignatureRole,
  ): Promise<MadePackage & { readonly keyId: string; readonly algorithm: KeyAlgorithm }>;
  /** @param keys  public keys, PEM */
  check(bytes: Uint8Array, keys: readonly string[]): Promise<CheckedPackage>;
  makeKey(): NewKey;
  /** @param pem  a public key. @throws {PluginValidationError} */
  keyId(pem: string): string;
}
