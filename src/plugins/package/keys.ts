/**
 * Keys that packages are signed with, as PEM files of the usual kinds: Ed25519 (RFC 8410) and RSA (RFC 8017), made by us or by
 * `openssl genpkey`. A key is named by the SHA-256 of its SubjectPublicKeyInfo, so its algorithm is part of its name.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
} from "node:crypto";
import { PluginValidationError } from "../../core/errors.ts";
import type { KeyAlgorithm } from "../../wire/plugin-package.ts";

const MIN_RSA_BITS = 2048;
/** Above it a signature takes too long to check. */
const MAX_RSA_BITS = 8192;
const MIN_RSA_EXPONENT = 65537n;
/** Characters of a key file. */
export const MAX_KEY_TEXT = 16_384;

export interface PublicKey {
  /** SHA-256 of {@link spki}, in hexadecimal. */
  readonly id: string;
  readonly algorithm: KeyAlgorithm;
  /** SubjectPublicKeyInfo in DER. */
  readonly spki: Uint8Array;
}

export interface PrivateKey {
  readonly publicKey: PublicKey;
  readonly object: KeyObject;
}

/** @param pem  `-----BEGIN PUBLIC KEY-----`, or `RSA PUBLIC KEY`. @throws {PluginValidationError} with the reason */
export function readPublicKey(pem: string): PublicKey {
  if (pem.includes("PRIVATE KEY-----")) throw refused("it holds a private key; give its public part");
  if (!pem.includes("PUBLIC KEY-----")) throw refused('it is no PEM file with "BEGIN PUBLIC KEY"');
  return publicKeyOf(() => createPublicKey({ key: pem.slice(0, MAX_KEY_TEXT), format: "pem" }));
}

/** @param spki  SubjectPublicKeyInfo in DER. @throws {PluginValidationError} */
export function publicKeyFromDer(spki: Uint8Array): PublicKey {
  return publicKeyOf(() => createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" }));
}

function publicKeyOf(open: () => KeyObject): PublicKey {
  const object = opened(open);
  const algorithm = algorithmOf(object);
  // Written again: other encodings of the same key have the same name.
  const spki = object.export({ type: "spki", format: "der" });
  return { id: createHash("sha256").update(spki).digest("hex"), algorithm, spki };
}

/** @param pem  PKCS#8, or OpenSSL's older form for RSA. @throws {PluginValidationError} with the reason */
export function readPrivateKey(pem: string): PrivateKey {
  if (/BEGIN ENCRYPTED|Proc-Type: 4,ENCRYPTED/u.test(pem))
    throw refused('it is encrypted; write it without a passphrase first ("openssl pkey -in KEY -out PLAIN")');
  if (!pem.includes("PRIVATE KEY-----")) throw refused('it is no PEM file with "BEGIN PRIVATE KEY"');
  const object = opened(() => createPrivateKey({ key: pem.slice(0, MAX_KEY_TEXT), format: "pem" }));
  return { object, publicKey: publicKeyOf(() => createPublicKey(object)) };
}

/** A new Ed25519 key, both parts as PEM. */
export function generateKey(): {
  readonly privatePem: string;
  readonly publicPem: string;
  readonly id: string;
} {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  return {
    privatePem: String(privateKey.export({ type: "pkcs8", format: "pem" })),
    publicPem: String(publicKey.export({ type: "spki", format: "pem" })),
    id: publicKeyOf(() => publicKey).id,
  };
}

function opened(open: () => KeyObject): KeyObject {
  try {
    return open();
  } catch (error) {
    throw refused("it is damaged, or of a kind that is not known here", error);
  }
}

function algorithmOf(key: KeyObject): KeyAlgorithm {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type === "ed25519") return "ed25519";
  if (type !== "rsa") throw refused(`its type is ${type}; Ed25519 and RSA are taken`);
  const { modulusLength: bits = 0, publicExponent: exponent = 0n } = details ?? {};
  if (bits < MIN_RSA_BITS || bits > MAX_RSA_BITS)
    throw refused(`it has ${bits} bits; of RSA ${MIN_RSA_BITS} to ${MAX_RSA_BITS} are taken`);
  if (exponent < MIN_RSA_EXPONENT)
    throw refused(`its exponent is ${exponent}, at least ${MIN_RSA_EXPONENT} is taken`);
  return "rsa-sha256";
}

function refused(why: string, cause?: unknown): PluginValidationError {
  return new PluginValidationError("plugin_validation", `Cannot use key: ${why}`, { publicText: why, cause });
}
