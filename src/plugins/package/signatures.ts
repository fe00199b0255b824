/**
 * Signatures of packages: over `mairust-plugin-v1`, NUL, and the exact bytes of `manifest.json`. The prefix keeps a signature that a key
 * made for something else from counting here. Ed25519 (RFC 8032) by tweetnacl; RSA with SHA-256 as PKCS#1 v1.5 (RFC 8017 §8.2) by Node.
 * How a signature is checked follows from the key, never from what the file says.
 */
import { constants, createPublicKey, sign as rsaSign, verify as rsaVerify } from "node:crypto";
import nacl from "tweetnacl";
import { PluginValidationError } from "../../core/errors.ts";
import {
  type PackageSignature,
  packageSignaturesSchema,
  type SignatureRole,
} from "../../wire/plugin-package.ts";
import { parseCanonical, SIGNATURES_FILE } from "./contents.ts";
import type { PrivateKey, PublicKey } from "./keys.ts";
import type { Problems } from "./problems.ts";

const PREFIX = Buffer.from("mairust-plugin-v1\0");
/** Octets of `manifest.json.sig`. */
export const MAX_SIGNATURES_BYTES = 64 * 1024;

/** @returns undefined: problems were added */
export function parseSignatures(
  bytes: Uint8Array,
  problems: Problems,
): readonly PackageSignature[] | undefined {
  if (bytes.length > MAX_SIGNATURES_BYTES) {
    problems.add(`${SIGNATURES_FILE} has ${bytes.length} bytes, at most ${MAX_SIGNATURES_BYTES} are allowed`);
    return undefined;
  }
  const parsed = parseCanonical(bytes, SIGNATURES_FILE, packageSignaturesSchema, problems);
  const list = parsed as readonly PackageSignature[] | undefined;
  const names = new Set(list?.map(({ role, key_id: id }) => `${role} ${id}`));
  if (list === undefined || names.size === list.length) return list;
  problems.add(`${SIGNATURES_FILE} has two signatures of one key`);
  return undefined;
}

/** @param contents  the exact bytes of `manifest.json` */
export function verifySignature(key: PublicKey, contents: Uint8Array, signature: Uint8Array): boolean {
  const message = Buffer.concat([PREFIX, contents]);
  switch (key.algorithm) {
    case "ed25519":
      return (
        signature.length === nacl.sign.signatureLength &&
        nacl.sign.detached.verify(message, signature, key.spki.subarray(-nacl.sign.publicKeyLength))
      );
    case "rsa-sha256": {
      const object = createPublicKey({ key: Buffer.from(key.spki), format: "der", type: "spki" });
      return rsaVerify("sha256", message, { key: object, padding: constants.RSA_PKCS1_PADDING }, signature);
    }
  }
}

/** @throws {PluginValidationError} a marketplace signs with Ed25519 */
export function signContents(key: PrivateKey, contents: Uint8Array, role: SignatureRole): PackageSignature {
  const { publicKey } = key;
  if (role === "marketplace" && publicKey.algorithm !== "ed25519") {
    const why = "a marketplace signs with Ed25519, and this key is RSA";
    throw new PluginValidationError("plugin_validation", `Cannot sign: ${why}`, { publicText: why });
  }
  return {
    role,
    key_id: publicKey.id,
    algorithm: publicKey.algorithm,
    signature: Buffer.from(signed(key, Buffer.concat([PREFIX, contents]))).toString("base64"),
    ...(role === "developer" ? { public_key: Buffer.from(publicKey.spki).toString("base64") } : {}),
  };
}

function signed({ publicKey, object }: PrivateKey, message: Uint8Array): Uint8Array {
  if (publicKey.algorithm === "rsa-sha256")
    return rsaSign("sha256", message, { key: object, padding: constants.RSA_PKCS1_PADDING });
  const seed = Buffer.from(object.export({ format: "jwk" }).d ?? "", "base64url");
  return nacl.sign.detached(message, nacl.sign.keyPair.fromSeed(seed).secretKey);
}
