/** DKIM keys: made here, or read from a PEM file. Sources: RFC 6376 §3.3, §3.6.1; RFC 8301 §3.2; RFC 8463 §3, §4. */
import { createPrivateKey, createPublicKey, generateKeyPair, type KeyObject } from "node:crypto";
import { promisify } from "node:util";
import { MairustError } from "../core/errors.ts";
import type { DkimAlgorithm, DkimKeyAsked, NewDkimKey } from "../core/ports/dkim.ts";

const RSA_BITS = 2048;
/** A record of a longer key does not fit what many DNS hosters take. */
const MAX_RSA_BITS = 4096;
const SELECTOR = /^(?=.{1,63}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/u;
/** The key itself stands behind them. */
const ED25519_SPKI_BYTES = 12;

/** @throws {MairustError} `invalid_argument` */
export async function makeDkimKey(asked: DkimKeyAsked, now: Date): Promise<NewDkimKey> {
  const selector = asked.selector?.toLowerCase() ?? `m${now.toISOString().slice(0, 10).replaceAll("-", "")}`;
  if (!SELECTOR.test(selector))
    throw refuse(`the selector "${selector}" is no name: letters, digits, hyphens, at most 63`);
  const key =
    asked.privateKey === undefined
      ? await generate(asked.algorithm ?? "rsa-sha256")
      : readKey(asked.privateKey, asked.algorithm);
  const algorithm = algorithmOf(key);
  const spki = createPublicKey(key).export({ type: "spki", format: "der" });
  const bare = algorithm === "ed25519-sha256" ? spki.subarray(ED25519_SPKI_BYTES) : spki;
  return {
    domain: asked.domain,
    selector,
    algorithm,
    publicKey: bare.toString("base64"),
    privateKey: key.export({ type: "pkcs8", format: "der" }),
  };
}

async function generate(algorithm: DkimAlgorithm): Promise<KeyObject> {
  const make = promisify(generateKeyPair);
  const { privateKey } =
    algorithm === "rsa-sha256" ? await make("rsa", { modulusLength: RSA_BITS }) : await make("ed25519");
  return privateKey;
}

function readKey(pem: string, wanted: DkimAlgorithm | undefined): KeyObject {
  const key = parsed(pem);
  const algorithm = algorithmOf(key);
  if (wanted !== undefined && wanted !== algorithm)
    throw refuse(`the key is for ${algorithm}, not ${wanted}`);
  const bits = key.asymmetricKeyDetails?.modulusLength;
  if (bits !== undefined && (bits < RSA_BITS || bits > MAX_RSA_BITS))
    throw refuse(`the key has ${bits} bits; allowed: ${RSA_BITS} to ${MAX_RSA_BITS}`);
  return key;
}

function parsed(pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    // The cause would quote the key.
    throw refuse("the key is no private key in PEM, or has a passphrase");
  }
}

function algorithmOf(key: KeyObject): DkimAlgorithm {
  if (key.asymmetricKeyType === "rsa") return "rsa-sha256";
  if (key.asymmetricKeyType === "ed25519") return "ed25519-sha256";
  throw refuse(`the key is ${key.asymmetricKeyType ?? "of no type"}; allowed: RSA, Ed25519`);
}

function refuse(text: string): MairustError {
  return new MairustError("invalid_argument", `Cannot use DKIM key: ${text}`, { publicText: text });
}
