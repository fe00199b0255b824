/**
 * S1: does a plugin, a log or a ledger hold more of a message than was granted? Every field of the messages in `canary-mail.ts` holds
 * a token of its own, with the grant that lets it out; here they are looked for in any bytes, in every encoding that something could
 * have put them into: as they are, base64 (each alignment, both alphabets), hex, quoted-printable, URL and JSON escapes, inside
 * anything that decodes as base64, and as SHA-256.
 */
import { createHash } from "node:crypto";
import type { HookPoint } from "../../src/core/ports/hooks.ts";
import type { PermissionsInput } from "../../src/wire/permissions.ts";

/** Which grant lets a secret out. */
export type Need =
  /** The header field of this lower-case name. */
  | { readonly kind: "header"; readonly field: string }
  /** Any of `read_headers`: envelope, context, provenance. */
  | { readonly kind: "envelope" }
  /** The same, at `pre_send` alone. */
  | { readonly kind: "submitter" }
  | { readonly kind: "body"; readonly from: "preview" | "full" }
  | { readonly kind: "attachment"; readonly from: "metadata" | "preview" | "full" }
  /** It stands at two places. */
  | { readonly kind: "either"; readonly of: readonly Need[] }
  /** No grant does. */
  | { readonly kind: "never" };

export interface Secret {
  /** Where in the message it stands, for reports. */
  readonly where: string;
  readonly need: Need;
  /** ASCII, of `token`. Undefined: `digest` alone. */
  readonly token?: string;
  /** How it reads when it was decoded right: looked for in UTF-8 when it is granted. */
  readonly shown?: string;
  /** Lower-case hex SHA-256 of something that is secret itself. */
  readonly digest?: string;
}

/** Common start of all tokens: what does not hold it in some form holds no token in that form. */
const MARK = "Qx7Zk9VtJ";

export function tokenOf(number: number): string {
  return `${MARK}${String(number).padStart(3, "0")}z`;
}

/** Found where any token is. */
export const ANY_TOKEN: Secret = { where: "some token", need: { kind: "never" }, token: MARK };

export function sha256(bytes: Uint8Array | string): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Rank of what is granted against what is needed. */
const BODY = ["none", "preview", "full"];
const ATTACHMENTS = ["none", "metadata", "preview", "full"];

/** May a secret be in what a plugin with these grants is sent at this point? */
export function isGranted(need: Need, grants: PermissionsInput, point: HookPoint): boolean {
  const headers = grants.read_headers ?? false;
  switch (need.kind) {
    case "header":
      return Array.isArray(headers)
        ? headers.some(name => name.toLowerCase() === need.field)
        : headers === true;
    case "envelope":
      return headers !== false;
    case "submitter":
      return headers !== false && point === "pre_send";
    case "body":
      return BODY.indexOf(grants.read_body ?? "none") >= BODY.indexOf(need.from);
    case "attachment":
      return ATTACHMENTS.indexOf(grants.read_attachments ?? "none") >= ATTACHMENTS.indexOf(need.from);
    case "either":
      return need.of.some(one => isGranted(one, grants, point));
    case "never":
      return false;
  }
}

/** The ways to write a token down. All but `plain` and base64 are compared in lower case. */
type Writer = (token: string) => string;
const escaped = (prefix: string) => (token: string) =>
  [...Buffer.from(token)].map(octet => prefix + octet.toString(16).padStart(2, "0")).join("");
const EXACT: ReadonlyMap<string, Writer> = new Map([
  ["plain", (token: string) => token],
  ...[0, 1, 2].flatMap(shift => [
    [`base64+${shift}`, (token: string) => base64At(token, shift)] as const,
    [
      `base64url+${shift}`,
      (token: string) => base64At(token, shift).replaceAll("+", "-").replaceAll("/", "_"),
    ] as const,
  ]),
]);
const ANY_CASE: ReadonlyMap<string, Writer> = new Map([
  ["hex", escaped("")],
  ["quoted-printable", escaped("=")],
  ["url", escaped("%")],
  ["json escapes", escaped("\\u00")],
]);

/** The characters that a token gives whatever stands around it, when it begins `shift` octets into a group of three. */
function base64At(token: string, shift: number): string {
  const octets = Buffer.concat([Buffer.alloc(shift), Buffer.from(token)]);
  const sure = Math.floor((octets.length * 8) / 6);
  return octets.toString("base64").slice(Math.ceil((shift * 8) / 6), sure);
}

/** Bytes made ready for many searches. */
export class Haystack {
  readonly #exact: string;
  readonly #lower: string;
  /** Forms in which any token occurs at all. */
  readonly #forms: ReadonlyArray<readonly [form: string, writer: Writer, text: string]>;

  constructor(bytes: Uint8Array) {
    const text = Buffer.from(bytes).toString("latin1");
    const expanded = [text, ...decodedRuns(text, 2)].join("\n");
    // Line breaks, also written ones and soft ones, must not tear a token apart.
    this.#exact = `${expanded}\n${expanded.replace(/=?(?:\r|\n|\\r|\\n| )+/g, "")}`;
    this.#lower = this.#exact.toLowerCase();
    const all = [
      ...[...EXACT].map(([form, writer]) => [form, writer, this.#exact] as const),
      ...[...ANY_CASE].map(
        ([form, writer]) => [form, (t: string) => writer(t).toLowerCase(), this.#lower] as const,
      ),
    ];
    this.#forms = all.filter(([, writer, haystack]) => haystack.includes(writer(MARK)));
  }

  /** @returns the form in which the secret is there, or undefined */
  find({ token, digest }: Secret): string | undefined {
    const form =
      token === undefined
        ? undefined
        : this.#forms.find(([, writer, haystack]) => haystack.includes(writer(token)))?.[0];
    return form ?? (digest === undefined ? undefined : this.#findDigest(digest));
  }

  /** @param text  in UTF-8 */
  hasText(text: string): boolean {
    return this.#exact.includes(Buffer.from(text).toString("latin1"));
  }

  #findDigest(hex: string): string | undefined {
    const octets = Buffer.from(hex, "hex");
    if (this.#lower.includes(hex)) return "sha256 in hex";
    const written = [octets.toString("base64").slice(0, 42), octets.toString("base64url").slice(0, 42)];
    return written.some(text => this.#exact.includes(text)) ? "sha256 in base64" : undefined;
  }
}

/** What decodes as base64, and what of that does again. */
function decodedRuns(text: string, depth: number): readonly string[] {
  if (depth === 0) return [];
  return [...text.matchAll(/[A-Za-z0-9+/_-]{24,}={0,2}/g)].flatMap(([run]) => {
    const decoded = Buffer.from(run, "base64").toString("latin1");
    return [decoded, ...decodedRuns(decoded, depth - 1)];
  });
}

/**
 * What is in some bytes and may not be.
 * @param allowed  for payloads {@link isGranted}; for logs and ledgers what they may hold
 */
export function leaksIn(
  haystack: Haystack,
  secrets: readonly Secret[],
  allowed: (need: Need) => boolean,
): readonly string[] {
  return secrets.flatMap(secret => {
    if (allowed(secret.need)) return [];
    const form = haystack.find(secret);
    return form === undefined ? [] : [`${secret.where} (${form})`];
  });
}

/** What is granted and not in the bytes: so that the search is known to see. */
export function missingIn(
  haystack: Haystack,
  secrets: readonly Secret[],
  allowed: (need: Need) => boolean,
): readonly string[] {
  return secrets
    .filter(secret => allowed(secret.need))
    .filter(secret =>
      secret.shown === undefined ? haystack.find(secret) === undefined : !haystack.hasText(secret.shown),
    )
    .map(({ where }) => where);
}

/** Every grant that reads: 2 × 3 × 4, and the same with a list of header fields. */
export const READ_GRANTS: readonly PermissionsInput[] = [
  false,
  true,
  ["subject", "Bcc", "X-MaiRust-Trace"],
].flatMap(read_headers =>
  (["none", "preview", "full"] as const).flatMap(read_body =>
    (["none", "metadata", "preview", "full"] as const).map(read_attachments => ({
      read_headers,
      read_body,
      read_attachments,
    })),
  ),
);
