/**
 * What stands in a `.mairust-plugin` package beside the plugin's own files: `manifest.json` (what is in it) and `manifest.json.sig`
 * (who vouches for it), as schemas. The form is fixed too: JSON with two spaces, keys in the order written here, a line feed at the end.
 */
import { type Static, Type } from "typebox";
import { MAX_PLUGIN_ID, PLUGIN_ID_PATTERN, SEMVER_PATTERN } from "./manifest.ts";

const closed = { additionalProperties: false } as const;

/** Files of a package, `manifest.json` and `manifest.json.sig` counted. */
export const MAX_PACKAGE_FILES = 500;
/** Length of a file's name with its folders. */
export const MAX_PACKAGE_PATH = 200;
/** Octets of the package as it is handed on, and of the archive in it. */
export const MAX_PACKED_BYTES = 8 * 1024 * 1024;
export const MAX_UNPACKED_BYTES = 32 * 1024 * 1024;
/** Signatures of one package. */
export const MAX_SIGNATURES = 8;

/** SHA-256 in hexadecimal: of a file, of a package, of a key (then over its SubjectPublicKeyInfo in DER, RFC 5280 §4.1). */
export const SHA256_PATTERN = "^[0-9a-f]{64}$";
const sha256 = Type.String({ pattern: SHA256_PATTERN, maxLength: 64, allowed: "64 hexadecimal digits" });
const base64 = (maxLength: number) =>
  Type.String({
    pattern: "^[A-Za-z0-9+/]+={0,2}$",
    maxLength,
    allowed: `base64, at most ${maxLength} characters`,
  });

export const packageContentsSchema = Type.Object(
  {
    id: Type.String({ pattern: PLUGIN_ID_PATTERN, maxLength: MAX_PLUGIN_ID, allowed: "a plugin id" }),
    version: Type.String({ pattern: SEMVER_PATTERN, maxLength: 64, allowed: 'a version such as "1.0.0"' }),
    /** `compat.api`. */
    api: Type.String({ pattern: "^[0-9]{1,4}$", allowed: '"1"' }),
    /** Every file but these two, by path. */
    files: Type.Array(
      Type.Object(
        {
          path: Type.String({ minLength: 1, maxLength: MAX_PACKAGE_PATH }),
          size: Type.Integer({ minimum: 0, maximum: MAX_UNPACKED_BYTES }),
          sha256,
        },
        closed,
      ),
      { minItems: 1, maxItems: MAX_PACKAGE_FILES },
    ),
  },
  { ...closed, title: "manifest.json" },
);
export type PackageContents = Static<typeof packageContentsSchema>;

export const SIGNATURE_ROLES = ["marketplace", "developer"] as const;
export type SignatureRole = (typeof SIGNATURE_ROLES)[number];
/** `rsa-sha256`: PKCS#1 v1.5, RFC 8017 §8.2. */
export const KEY_ALGORITHMS = ["ed25519", "rsa-sha256"] as const;
export type KeyAlgorithm = (typeof KEY_ALGORITHMS)[number];

const signatureSchema = Type.Object(
  {
    role: Type.Enum([...SIGNATURE_ROLES]),
    key_id: sha256,
    /** For people and other tools: what counts is the key itself. */
    algorithm: Type.Enum([...KEY_ALGORITHMS]),
    signature: base64(2048),
    /** Of a developer: the key, so that it can be pinned on first use. `key_id` is its digest. */
    public_key: Type.Optional(base64(4096)),
  },
  closed,
);
export type PackageSignature = Static<typeof signatureSchema>;

export const packageSignaturesSchema = Type.Array(signatureSchema, { minItems: 1, maxItems: MAX_SIGNATURES });
