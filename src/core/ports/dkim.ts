/** DKIM keys of our domains, as they are managed; who signs with them: {@link DkimSigner} of `sender-auth.ts`. */
import type { ChangeOptions } from "../admin-ports.ts";

export const DKIM_ALGORITHMS = ["rsa-sha256", "ed25519-sha256"] as const;
export type DkimAlgorithm = (typeof DKIM_ALGORITHMS)[number];

/** Keys of one domain: mail is signed with each of them. */
export const MAX_DKIM_KEYS = 4;

export interface DkimKeyRecord {
  /** Lower-case A-label. */
  readonly domain: string;
  readonly selector: string;
  readonly algorithm: DkimAlgorithm;
  /** `p=` of the record in DNS, base64. */
  readonly publicKey: string;
  readonly createdAt: Date;
}

export interface DkimPrivateKey {
  readonly selector: string;
  readonly algorithm: DkimAlgorithm;
  /** PKCS #8, DER. */
  readonly privateKey: Uint8Array;
}

export type NewDkimKey = Omit<DkimKeyRecord, "createdAt"> & DkimPrivateKey;

/** `store/dkim-keys.ts`. */
export interface DkimKeys {
  /** By selector. @throws {MairustError} `store_unavailable` */
  list(domain: string): Promise<readonly DkimKeyRecord[]>;
  /** @throws {MairustError} `already_exists`, `too_many`, `unknown_domain`, `store_unavailable` */
  add(key: NewDkimKey, options: ChangeOptions): Promise<DkimKeyRecord>;
  /** @throws {MairustError} `not_found`, `store_unavailable` */
  remove(domain: string, selector: string, options: ChangeOptions): Promise<DkimKeyRecord>;
  /** @throws {MairustError} `invalid_state`: another master key sealed one of them; `store_unavailable` */
  privateKeys(domain: string): Promise<readonly DkimPrivateKey[]>;
}

export interface DkimKeyAsked {
  readonly domain: string;
  /** Undefined: named after the day. */
  readonly selector: string | undefined;
  /** Undefined with a key of one's own: what the key is. */
  readonly algorithm: DkimAlgorithm | undefined;
  /** PEM; undefined: a new key is made. */
  readonly privateKey: string | undefined;
}

export type DkimPublication = "published" | "absent" | "differs" | "unknown";

export interface DkimCheck {
  readonly key: DkimKeyRecord;
  readonly dns: DkimPublication;
  /** What DNS has, or why nothing is known. */
  readonly found: string | undefined;
}

/** `compose/dkim.ts`. Domains are our own, in their canonical form. */
export interface DkimAdmin extends Pick<DkimKeys, "list" | "remove"> {
  /** @throws {MairustError} as {@link DkimKeys.add}; `invalid_argument`: the selector, or the key */
  add(asked: DkimKeyAsked, options: ChangeOptions): Promise<DkimKeyRecord>;
  /** Are the keys in DNS? */
  check(domain: string): Promise<readonly DkimCheck[]>;
}

/** Where the record stands, without the last dot. */
export function dkimName({ domain, selector }: Pick<DkimKeyRecord, "domain" | "selector">): string {
  return `${selector}._domainkey.${domain}`;
}

/** The TXT record. RFC 6376 §3.6.1 */
export function dkimRecord({ algorithm, publicKey }: Pick<DkimKeyRecord, "algorithm" | "publicKey">): string {
  return `v=DKIM1; k=${algorithm === "rsa-sha256" ? "rsa" : "ed25519"}; p=${publicKey}`;
}
