/**
 * What the configuration knows and this version cannot do yet. Somebody who sets such a key gets an error with its name,
 * never a service that ignores it; defaults are not touched by this. Who builds a thing deletes its line.
 */
import type { PermissionName } from "../permissions.ts";

/** Which values of a key are refused. */
export type Refusal =
  /** Whatever is set. */
  | { readonly kind: "any" }
  /** Anything but `""` and `[]`. */
  | { readonly kind: "non_empty" }
  /** These words; in a list, any element. */
  | { readonly kind: "words"; readonly words: readonly unknown[] }
  /** Texts that begin so; in a list, any element. */
  | { readonly kind: "prefix"; readonly prefix: string };

export interface NotBuilt {
  /** Path of the key; `*` stands for one segment, at the end for all that follow. Indexes of lists are segments too. */
  readonly key: readonly string[];
  readonly refused: Refusal;
  /** What is missing, as the subject of "… is not built in this version". */
  readonly missing: string;
}

const any: Refusal = { kind: "any" };
const nonEmpty: Refusal = { kind: "non_empty" };
const tls: Refusal = { kind: "prefix", prefix: "tls:" };
const words = (...list: readonly unknown[]): Refusal => ({ kind: "words", words: list });

/** Of `[plugin."…".grants]`: also asked when a plugin is enabled. */
function grants(refused: Readonly<Partial<Record<PermissionName, Refusal>>>): readonly NotBuilt[] {
  return Object.entries(refused).map(([name, refusal]) => ({
    key: ["plugin", "*", "grants", name],
    refused: refusal,
    missing: `the grant ${name}`,
  }));
}

export const NOT_BUILT: readonly NotBuilt[] = [
  { key: ["blobs", "driver"], refused: words("s3"), missing: "the S3 blob driver" },
  { key: ["blobs", "s3", "*"], refused: any, missing: "the S3 blob driver" },
  { key: ["blobs", "client_side_key_file"], refused: nonEmpty, missing: "encryption of blobs" },
  { key: ["lmtp", "listen"], refused: tls, missing: "TLS on this listener" },
  { key: ["milter", "listen"], refused: tls, missing: "TLS on this listener" },
  { key: ["imap", "listen"], refused: tls, missing: "TLS on this listener" },
  { key: ["api", "listen"], refused: tls, missing: "TLS on this listener" },
  { key: ["api", "public_url"], refused: any, missing: "the web interface" },
  { key: ["api", "trust_proxy"], refused: words(true), missing: "trust in a proxy in front" },
  { key: ["metrics", "listen"], refused: tls, missing: "TLS on this listener" },
  { key: ["queue", "driver"], refused: words("nats"), missing: "the NATS job queue" },
  { key: ["queue", "nats_url"], refused: nonEmpty, missing: "the NATS job queue" },
  ...grants({
    send_mail: words(true),
  }),
  { key: ["otel", "enabled"], refused: words(true), missing: "the export of traces" },
];

function isEmpty(value: unknown): boolean {
  return value === "" || (Array.isArray(value) && value.length === 0);
}

function isRefused(refusal: Refusal, value: unknown): boolean {
  const elements: readonly unknown[] = Array.isArray(value) ? value : [value];
  switch (refusal.kind) {
    case "any":
      return true;
    case "non_empty":
      return !isEmpty(value);
    case "words":
      return elements.some(element => refusal.words.includes(element));
    case "prefix":
      return elements.some(element => typeof element === "string" && element.startsWith(refusal.prefix));
  }
}

function matches(pattern: readonly string[], path: readonly (string | number)[]): boolean {
  if (pattern.at(-1) === "*" ? path.length < pattern.length : path.length !== pattern.length) return false;
  return pattern.every((segment, i) => segment === "*" || segment === path[i]);
}

/** True when the key itself is refused, whatever its value is: then nothing else about the value matters. */
export function isKeyRefused({ refused }: NotBuilt): boolean {
  return refused.kind === "any" || refused.kind === "non_empty";
}

/**
 * @param path   of a key that somebody set, e.g. `["hooks", 0, "mode"]`
 * @param value  what it was set to; of a list, all elements or a list with the one in question
 * @returns      the entry that refuses it, or undefined
 */
export function findNotBuilt(path: readonly (string | number)[], value: unknown): NotBuilt | undefined {
  return NOT_BUILT.find(entry => matches(entry.key, path) && isRefused(entry.refused, value));
}
