/**
 * The form in which domains and addresses are looked up: domain as lower-case A-label, local part in NFC and lower case.
 * Below the directory and the administration of accounts; both must agree, or mail goes to nobody. Pure.
 * Sources: RFC 5890 §2.3.2.1 (A-label), RFC 6532 §3.1 (NFC), RFC 5321 §2.4 (case of local parts is ours to ignore).
 */
import { domainToASCII } from "node:url";
import { type MailAddress, parseMailAddress } from "../core/envelope.ts";
import { MairustError } from "../core/errors.ts";

/** Octets of UTF-8 in a local part: far above RFC 5321's 64, because Postfix takes more. */
const MAX_LOCAL_BYTES = 512;
/** RFC 1035 §3.1. */
const MAX_DOMAIN_BYTES = 253;

export interface CanonicalAddress {
  readonly local: string;
  readonly domain: string;
}

/** The canonical form, or undefined for what cannot be a domain name. A trailing dot is dropped. */
export function canonicalDomain(name: string): string | undefined {
  const bare = name.endsWith(".") ? name.slice(0, -1) : name;
  // domainToASCII() reads a URL's host: it would cut at / ? #, decode %41 and turn numbers into IPv4 addresses.
  if (bare === "" || /[\s/\\?#@:%[\]<>"'(),;]|\p{Cc}/u.test(bare)) return undefined;
  const ascii = domainToASCII(bare.normalize("NFC")).toLowerCase();
  if (ascii === "" || ascii.length > MAX_DOMAIN_BYTES || /^\.|\.\.|\.$/u.test(ascii)) return undefined;
  if (/^[\d.]+$/u.test(ascii)) return undefined;
  return ascii;
}

/** The canonical form, or undefined for what can be no local part. */
export function canonicalLocal(local: string): string | undefined {
  const canonical = local.normalize("NFC").toLowerCase().normalize("NFC");
  if (canonical === "" || /[\p{Cc}\p{Cs}]/u.test(canonical)) return undefined;
  return Buffer.byteLength(canonical) > MAX_LOCAL_BYTES ? undefined : canonical;
}

/** Both halves, or undefined when one of them is none. */
export function canonicalAddress(address: MailAddress): CanonicalAddress | undefined {
  const local = canonicalLocal(address.local);
  const domain = canonicalDomain(address.domain);
  return local === undefined || domain === undefined ? undefined : { local, domain };
}

export function addressText(address: CanonicalAddress): string {
  return `${address.local}@${address.domain}`;
}

/** @throws {MairustError} `address_syntax` */
export function readAddress(text: string): CanonicalAddress {
  const canonical = canonicalAddress(parseMailAddress(text.trim()));
  if (canonical !== undefined) return canonical;
  const reason = `"${text}" is no address of the form local@domain`;
  throw new MairustError("address_syntax", `Cannot read an address: ${reason}`, { publicText: reason });
}

/** @throws {MairustError} `invalid_argument` */
export function readDomain(text: string): string {
  const canonical = canonicalDomain(text.trim());
  if (canonical !== undefined) return canonical;
  const reason = `"${text}" is no domain name`;
  throw new MairustError("invalid_argument", `Cannot read a domain: ${reason}`, { publicText: reason });
}
