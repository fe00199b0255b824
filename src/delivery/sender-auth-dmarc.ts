/**
 * DMARC of one message (message path, step 2). The library finds the policy; who is aligned is decided here, because the library takes
 * `adkim=s` and `aspf=s` for relaxed, and knows no `temperror` of what it stands on.
 *
 * Sources: RFC 7489 §3.1, §6.6.1, §6.6.3, §11.2
 */
import { domainToASCII } from "node:url";
import type { DmarcFinding, Resolve, SignatureFinding, SpfFinding } from "./sender-auth-findings.ts";

/** Of the library's policy what is used. */
interface LibraryPolicy {
  readonly status: { readonly result: string };
  readonly policy?: string | false;
  readonly p?: string | false;
  readonly sp?: string | false;
  readonly rr?: string;
  /** `result`: who is of the same organization. */
  readonly alignment?: Readonly<
    Record<"spf" | "dkim", { readonly strict: boolean; readonly result?: string | undefined }>
  >;
}

export type DmarcLibrary = (options: {
  readonly headerFrom: readonly string[];
  readonly spfDomains: readonly string[];
  readonly dkimDomains: readonly string[];
  readonly resolver: Resolve;
}) => Promise<LibraryPolicy | false>;

const POLICIES: ReadonlySet<string> = new Set(["none", "quarantine", "reject"]);

/** @param headerFrom  all addresses of all From fields */
export async function dmarcFinding(
  headerFrom: readonly string[],
  spf: (SpfFinding & { readonly domain: string }) | undefined,
  dkim: readonly SignatureFinding[] | undefined,
  library: DmarcLibrary,
  resolver: Resolve,
): Promise<DmarcFinding> {
  const domains = new Set(
    headerFrom.map(address => asciiDomain(address.slice(address.lastIndexOf("@") + 1))),
  );
  const [from = ""] = domains;
  if (domains.size !== 1) return { result: "permerror", from: "", why: "not exactly one domain in From" };
  if (!/^[a-z0-9_-]+(?:\.[a-z0-9_-]+)+$/u.test(from)) return { result: "none", from };
  const spfDomains = spf?.result === "pass" ? [asciiDomain(spf.domain)] : [];
  const dkimDomains = (dkim ?? []).flatMap(one => (one.result === "pass" ? [asciiDomain(one.domain)] : []));
  const policy = await library({ headerFrom: [`x@${from}`], spfDomains, dkimDomains, resolver });
  if (policy === false) return { result: "none", from };
  if (policy.status.result === "temperror") return { result: "temperror", from, why: "DNS failed" };
  if (policy.rr === undefined || !isPolicy(policy)) return { result: "none", from };
  const said = String(policy.policy || "none").toLowerCase();
  const isAligned = (method: "spf" | "dkim", passed: readonly string[]) => {
    const { strict = true, result } = policy.alignment?.[method] ?? {};
    return strict ? passed.includes(from) : result !== undefined;
  };
  const passes = isAligned("spf", spfDomains) || isAligned("dkim", dkimDomains);
  if (passes) return { result: "pass", from, policy: said };
  const unknown = spf?.result === "temperror" || dkim?.some(one => one.result === "temperror");
  if (unknown) return { result: "temperror", from, policy: said, why: "SPF or DKIM could not be checked" };
  return { result: "fail", from, policy: said };
}

/** RFC 7489 §6.6.3: without a valid policy the record counts only when it asks for reports, and then as `none`. */
function isPolicy({ p, sp, rr = "" }: LibraryPolicy): boolean {
  const isKnown = (value: string | false | undefined) =>
    POLICIES.has(
      String(value ?? "")
        .trim()
        .toLowerCase(),
    );
  const hasReports = /(?:^|;)\s*rua\s*=\s*\S/iu.test(rr);
  return (isKnown(p) && (sp === undefined || sp === false || isKnown(sp))) || hasReports;
}

function asciiDomain(domain: string): string {
  const plain = domain.trim().toLowerCase().replace(/\.$/u, "");
  return domainToASCII(plain) || plain;
}
