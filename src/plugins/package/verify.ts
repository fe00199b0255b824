/**
 * What a package's signatures are worth to this service, and what follows for an update. Pure: the same package, keys and revocations
 * give the same answer. Nothing here says that a plugin is harmless, only who vouches for it.
 */
import { MairustError } from "../../core/errors.ts";
import type { PluginTrust, Revocation } from "../../core/ports/plugin-keys.ts";
import type { PluginPackage, SignatureState, Verification } from "../../core/ports/plugin-packages.ts";
import type { PackageSignature } from "../../wire/plugin-package.ts";
import { compareVersions } from "../semver.ts";
import { CONTENTS_FILE, SIGNATURES_FILE } from "./contents.ts";
import { type PublicKey, publicKeyFromDer } from "./keys.ts";
import { Problems } from "./problems.ts";
import { parseSignatures, verifySignature } from "./signatures.ts";

/** What is verified: a package, or an installed one's files. */
export interface Signed {
  readonly id: string;
  readonly version: string;
  /** SHA-256 of the package, hex. */
  readonly digest: string;
  /** Exact bytes of `manifest.json`, and of `manifest.json.sig` where there is one. */
  readonly contents: Uint8Array;
  readonly signatures: Uint8Array | undefined;
}

export interface Judged {
  readonly signature: PackageSignature;
  /** `unknown`: the key is not at hand. */
  readonly verdict: "valid" | "bad" | "unknown";
  /** Of the trusted key that made it; "": no trusted key did. */
  readonly label: string;
}

/**
 * @param pinned  the developer's key of this plugin's first package, if there is one
 * @returns       revoked as malicious before modified before revoked as vulnerable before signed before private before unsigned
 */
export function verifyPackage(plugin: PluginPackage, trust: PluginTrust, pinned?: string): Verification {
  return verifySigned(signedOf(plugin), trust, pinned);
}

export function signedOf({ manifest, files, digest }: PluginPackage): Signed {
  const contents = files.get(CONTENTS_FILE);
  if (contents === undefined)
    throw new MairustError("internal", `Cannot verify package of "${manifest.id}": it was not read`);
  return {
    id: manifest.id,
    version: manifest.version,
    digest,
    contents,
    signatures: files.get(SIGNATURES_FILE),
  };
}

/** As {@link verifyPackage}, for files that were compared with `contents` already. */
export function verifySigned(signed: Signed, trust: PluginTrust, pinned?: string): Verification {
  const problems = new Problems("Cannot verify");
  const judged = judgeSignatures(signed, trust, problems);
  const valid = judged.filter(({ verdict }) => verdict === "valid");
  const developers = valid
    .filter(({ signature }) => signature.role === "developer")
    .map(one => one.signature.key_id);
  const developerKey = developers.find(id => id === pinned) ?? developers[0];
  const base = { developerKey, signers: valid.map(({ signature }) => signature.key_id) };
  const about = trust.revocations.filter(one => isAbout(one, signed, judged));
  // The worst counts, whichever was said last.
  const revocation = about.find(({ severity }) => severity === "malicious") ?? about[0];
  if (revocation?.severity === "malicious")
    return { ...base, state: "revoked", detail: revokedText(revocation), revocation };
  const bad = judged.find(({ verdict }) => verdict === "bad");
  if (problems.list.length > 0 || bad !== undefined) {
    const detail =
      bad === undefined ? problems.list.join("; ") : `the signature of ${nameOf(bad)} does not fit its files`;
    return { ...base, state: "modified", detail, revocation: undefined };
  }
  const signature = stateOf(valid, judged, trust, pinned);
  if (revocation === undefined) return { ...base, ...signature, revocation };
  const isVouchedFor = signature.state !== "unsigned";
  return { ...base, state: "revoked", detail: revokedText(revocation), revocation, isVouchedFor };
}

/** Each signature by itself. @param problems  get what is wrong with their form, and then there are none */
export function judgeSignatures(signed: Signed, trust: PluginTrust, problems: Problems): readonly Judged[] {
  const list = signed.signatures === undefined ? [] : parseSignatures(signed.signatures, problems);
  return (list ?? []).map(signature => judge(signature, signed.contents, trust));
}

function stateOf(
  valid: readonly Judged[],
  judged: readonly Judged[],
  trust: PluginTrust,
  pinned: string | undefined,
): { readonly state: SignatureState; readonly detail: string } {
  const marketplace = valid.find(({ signature }) => signature.role === "marketplace");
  if (marketplace !== undefined)
    return { state: "signed", detail: `signed by marketplace ${nameOf(marketplace)}` };
  const own = valid.find(({ signature }) =>
    trust.keys.some(key => key.role === "private" && key.id === signature.key_id),
  );
  if (own !== undefined)
    return { state: "private", detail: `signed by ${nameOf(own)}, which this service trusts` };
  const developer = valid.find(({ signature }) => signature.key_id === pinned) ?? valid[0];
  if (developer !== undefined) {
    const known = developer.signature.key_id === pinned ? ", as its first package was" : "";
    return {
      state: "unsigned",
      detail: `signed by developer ${nameOf(developer)}${known}, and by nobody whom this service trusts`,
    };
  }
  const unknown = judged[0];
  if (unknown !== undefined)
    return { state: "unsigned", detail: `signed by ${nameOf(unknown)}, whom this service does not know` };
  return { state: "unsigned", detail: "nobody signed it" };
}

function judge(signature: PackageSignature, contents: Uint8Array, trust: PluginTrust): Judged {
  const role = signature.role === "marketplace" ? "marketplace" : "private";
  const stored = trust.keys.find(key => key.id === signature.key_id && key.role === role);
  const label = stored?.label ?? "";
  try {
    const key = stored === undefined ? ownKey(signature) : publicKeyFromDer(stored.spki);
    if (key === undefined) return { signature, verdict: "unknown", label };
    // The stored key alone says how it is checked; a file that says otherwise is not what its signer made.
    const fits =
      key.id === signature.key_id &&
      key.algorithm === signature.algorithm &&
      verifySignature(key, contents, Buffer.from(signature.signature, "base64"));
    return { signature, verdict: fits ? "valid" : "bad", label };
  } catch {
    return { signature, verdict: "bad", label };
  }
}

/** A developer nobody told us of brings the key along: it proves nothing but that the next package is from the same one. */
function ownKey({ role, public_key: der }: PackageSignature): PublicKey | undefined {
  return role === "developer" && der !== undefined ? publicKeyFromDer(Buffer.from(der, "base64")) : undefined;
}

function isAbout({ kind, value }: Revocation, signed: Signed, judged: readonly Judged[]): boolean {
  switch (kind) {
    case "key":
      return judged.some(({ signature }) => signature.key_id === value);
    case "plugin":
      return value === signed.id;
    case "version":
      return value === `${signed.id}@${signed.version}`;
    case "package":
      return value === signed.digest;
  }
}

const WHAT: Readonly<Record<Revocation["kind"], string>> = {
  key: "the key that signed it",
  plugin: "the plugin",
  version: "this version",
  package: "this package",
};

function revokedText({ kind, severity, reason }: Revocation): string {
  return `${WHAT[kind]} was revoked as ${severity}${reason === "" ? "" : `: ${reason}`}`;
}

function nameOf({ signature, label }: Judged): string {
  return `key ${shortKey(signature.key_id)}${label === "" ? "" : ` (${label})`}`;
}

/** As people compare it; commands take and print the whole id. */
function shortKey(id: string): string {
  return id.slice(0, 16);
}

/**
 * Pinning: an update comes from the developer of the first package, unless somebody whom we trust says otherwise.
 * @returns why it needs an explicit approval; undefined: it does not
 */
export function signerProblem(verification: Verification, pinned: string | undefined): string | undefined {
  const { state, developerKey } = verification;
  if (pinned === undefined || developerKey === pinned || state === "signed" || state === "private")
    return undefined;
  const now =
    developerKey === undefined
      ? "nobody signed this one"
      : `this one is signed by key ${shortKey(developerKey)}`;
  return `the developer of its first package signed with key ${shortKey(pinned)}, ${now}`;
}

/** @returns why it needs `--downgrade`; undefined: it does not */
export function downgradeProblem(version: string, highest: string | undefined): string | undefined {
  if (highest === undefined || compareVersions(version, highest) >= 0) return undefined;
  return `version ${version} is older than ${highest}, which was installed before`;
}
