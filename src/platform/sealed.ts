/**
 * Small secrets at rest: AES-256-GCM under a key that is derived from the master key file, with what the secret belongs to
 * authenticated beside it, so that a sealed secret cannot be moved to another owner. The key's id is kept with each, so that a
 * changed key file is told apart from a damaged row.
 * Sources: NIST SP 800-38D (random 96-bit nonces, far below 2^32 uses), RFC 5869 (HKDF).
 */
import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from "node:crypto";

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_BYTES = 32;
const KEY_ID_CHARACTERS = 16;

export interface SealingKey {
  readonly key: Uint8Array;
  /** Says nothing about the key itself. */
  readonly id: string;
}

/** The keys of one purpose while a master key is replaced: what is written takes the current one, what is read says which it needs. */
export interface KeyRing {
  current(): SealingKey;
  find(id: string): SealingKey | undefined;
}

/** @param purpose  one key for each: `plugin secrets` */
export function sealingKey(masterKey: string, purpose: string): SealingKey {
  const derive = (what: string) =>
    new Uint8Array(hkdfSync("sha256", masterKey, "", `mairust ${purpose} ${what}`, KEY_BYTES));
  const id = createHash("sha256").update(derive("key id")).digest("hex").slice(0, KEY_ID_CHARACTERS);
  return { key: derive("key"), id };
}

/** @returns nonce, ciphertext, tag. @param owner  what must be the same when it is opened */
export function seal({ key }: SealingKey, plain: Uint8Array, owner: string): Uint8Array {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(Buffer.from(owner));
  return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

/** @throws {Error} another key, another owner, or changed bytes: which of them cannot be told */
export function open({ key }: SealingKey, sealed: Uint8Array, owner: string): Uint8Array {
  const nonce = sealed.subarray(0, NONCE_BYTES);
  const tag = sealed.subarray(sealed.length - TAG_BYTES);
  const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.from(owner));
  decipher.setAuthTag(tag);
  return Buffer.concat([
    decipher.update(sealed.subarray(NONCE_BYTES, sealed.length - TAG_BYTES)),
    decipher.final(),
  ]);
}

/** A ring of one key that stays. */
export function ringOf(key: SealingKey): KeyRing {
  return { current: () => key, find: id => (id === key.id ? key : undefined) };
}

/**
 * @param keyId  that was kept with it
 * @returns      the secret, or why it cannot be read, for people
 */
export function openWith(
  ring: KeyRing,
  keyId: string,
  sealed: Uint8Array,
  owner: string,
): { readonly plain: Uint8Array } | { readonly why: string; readonly cause?: unknown } {
  const key = ring.find(keyId);
  if (key === undefined)
    return { why: `another key file encrypted it (key ${keyId}, not ${ring.current().id})` };
  try {
    return { plain: open(key, sealed, owner) };
  } catch (cause) {
    return { why: "it was changed", cause };
  }
}
