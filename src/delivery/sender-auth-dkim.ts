/**
 * What RFC 6376 and RFC 8301 ask of a DKIM signature beyond what the library looks at, and the words for what it found (message path,
 * step 2). Pure but for `node:crypto`.
 *
 * The library checks the hash of the body, finds the key, and checks the hash of the header; it does not ask whether From is signed,
 * whose the identity is, or what the key's record allows. It also takes octets 0xA0 of a raw header for blanks, and wants `b=` without a
 * blank before its equals sign: a signature that it calls bad for the header's sake is therefore looked at once more here.
 *
 * Sources: RFC 6376 §3.2, §3.4, §3.5, §3.6.1, §3.7, §6.1; RFC 8301 §3; RFC 8463 §3; RFC 8601 §2.7.1
 */
import { createHash, verify } from "node:crypto";
import type { Signature } from "mailauth/lib/dkim/verify.js";
import { tagList } from "../core/dkim-tags.ts";
import { type HeaderField, unfold } from "../core/mime/header.ts";
import type { AuthResult } from "../core/ports/sender-auth.ts";
import { fieldText, signedHeader } from "./sender-auth-canonical.ts";
import type { SignatureFinding } from "./sender-auth-findings.ts";

/** Of the sender's clock. */
const CLOCK_SKEW_S = 300;
const REQUIRED = ["v", "a", "b", "bh", "d", "h", "s"] as const;
const B_CHARS = 8;

interface Verdict {
  readonly result: AuthResult;
  readonly why?: string;
}

/**
 * @param header  the root header block, CRLF
 * @param found   what the library says; signatures that it skipped are missing
 */
export function signatureFindings(
  header: Uint8Array,
  fields: readonly HeaderField[],
  found: readonly Signature[],
  nowS: number,
): readonly SignatureFinding[] {
  const left = [...found];
  return fields
    .filter(({ name }) => name === "dkim-signature")
    .map(field => {
      const { tags, hasDouble } = tagList(unfold(field.value));
      const tag = (name: string) => tags.get(name) ?? "";
      const at = left.findIndex(
        one =>
          one.signature === tag("b") && one.signingDomain === tag("d") && (one.selector ?? "") === tag("s"),
      );
      const [library] = at < 0 ? [] : left.splice(at, 1);
      const verdict = hasDouble
        ? bad("a tag stands there twice")
        : (malformed(tags, nowS) ?? judged(header, fields, field, tags, library));
      return {
        ...verdict,
        domain: tag("d").toLowerCase(),
        selector: tag("s"),
        algorithm: tag("a").toLowerCase(),
        b: tag("b").slice(0, B_CHARS),
      };
    });
}

const bad = (why: string): Verdict => ({ result: "permerror", why });

type Tags = ReadonlyMap<string, string>;

/** What can be told without a key. */
function malformed(tags: Tags, nowS: number): Verdict | undefined {
  const missing = REQUIRED.find(name => (tags.get(name) ?? "") === "");
  if (missing !== undefined) return bad(`no ${missing}=`);
  if (tags.get("v") !== "1") return bad("unknown version");
  const algorithm = tags.get("a")?.toLowerCase();
  if (algorithm === "rsa-sha1") return { result: "policy", why: "rsa-sha1 is not accepted" };
  if (algorithm !== "rsa-sha256" && algorithm !== "ed25519-sha256") return bad("unknown algorithm");
  if (!namesOf(tags).includes("from")) return bad("From is not signed");
  if (!isWithin(identityDomain(tags), tags.get("d") ?? "")) return bad("i= is not of the domain");
  const methods = tags.get("q")?.toLowerCase().split(":");
  if (methods !== undefined && !methods.includes("dns/txt")) return bad("unknown query method");
  return times(tags, nowS);
}

function times(tags: Tags, nowS: number): Verdict | undefined {
  const [t, x] = [tags.get("t"), tags.get("x")];
  for (const value of [t, x, tags.get("l")])
    if (value !== undefined && !/^\d{1,76}$/u.test(value)) return bad("a number is malformed");
  if (t !== undefined && Number(t) > nowS + CLOCK_SKEW_S) return bad("signed in the future");
  if (x === undefined) return undefined;
  if (t !== undefined && Number(x) < Number(t)) return bad("expires before it was made");
  return Number(x) < nowS - CLOCK_SKEW_S ? { result: "fail", why: "expired" } : undefined;
}

const namesOf = (tags: Tags): readonly string[] => (tags.get("h") ?? "").toLowerCase().split(":");

function identityDomain(tags: Tags): string {
  const identity = tags.get("i");
  return identity === undefined ? (tags.get("d") ?? "") : identity.slice(identity.lastIndexOf("@") + 1);
}

function isWithin(domain: string, parent: string): boolean {
  const [below, above] = [domain.toLowerCase(), parent.toLowerCase()];
  return below === above || below.endsWith(`.${above}`);
}

function judged(
  header: Uint8Array,
  fields: readonly HeaderField[],
  field: HeaderField,
  tags: Tags,
  library: Signature | undefined,
): Verdict {
  if (library === undefined) return bad("not understood");
  const { result, comment } = library.status;
  const why = comment === undefined || comment === false ? undefined : comment;
  if (result === "temperror") return { result, ...(why === undefined ? {} : { why }) };
  if (result === "policy") return { result, why: "the key is too short" };
  if (why === "body hash did not verify") return { result: "fail", why };
  if (why === "expired") return allowed(tags, library) ?? { result: "pass" };
  const isPass = result === "pass" || (result === "fail" && holds(header, fields, field, tags, library));
  if (isPass) return allowed(tags, library) ?? { result: "pass" };
  return result === "fail" ? { result, why: why ?? "bad signature" } : bad(why ?? result);
}

/** What the key's record does not allow. */
function allowed(tags: Tags, library: Signature): Verdict | undefined {
  const { canonBodyLength: body = 0, canonBodyLengthLimit: limit } = library;
  if (limit !== undefined && limit > body) return bad("l= is more than there is");
  const key = tagList(library.rr ?? "").tags;
  const list = (name: string) => key.get(name)?.toLowerCase().split(":");
  if (list("h")?.includes("sha256") === false) return bad("the key is not for this hash");
  const services = list("s");
  if (services !== undefined && !services.includes("*") && !services.includes("email"))
    return bad("the key is not for mail");
  const type = key.get("k")?.toLowerCase() ?? "rsa";
  if (!tags.get("a")?.toLowerCase().startsWith(`${type}-`)) return bad("the key is of another type");
  const isStrict = list("t")?.includes("s") === true;
  if (isStrict && identityDomain(tags).toLowerCase() !== tags.get("d")?.toLowerCase())
    return bad("the key is not for subdomains");
  return undefined;
}

/** The header's hash, by the letter. */
function holds(
  header: Uint8Array,
  fields: readonly HeaderField[],
  field: HeaderField,
  tags: Tags,
  { publicKey }: Signature,
): boolean {
  if (publicKey === undefined) return false;
  const isRelaxed = (tags.get("c") ?? "").toLowerCase().split("/")[0] === "relaxed";
  const data = signedHeader(header, fields, namesOf(tags), fieldText(header, field), isRelaxed);
  const signature = Buffer.from(tags.get("b") ?? "", "base64");
  try {
    return tags.get("a")?.toLowerCase() === "ed25519-sha256"
      ? verify(null, createHash("sha256").update(data).digest(), publicKey, signature)
      : verify("sha256", data, publicKey, signature);
  } catch {
    return false;
  }
}
