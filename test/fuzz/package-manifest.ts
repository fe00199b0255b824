/** Fuzz target: `manifest.json` and `manifest.json.sig` of packages: what is accepted has one reading only, and no signature is believed. */
import { parseContents } from "../../src/plugins/package/contents.ts";
import { Problems } from "../../src/plugins/package/problems.ts";
import { parseSignatures } from "../../src/plugins/package/signatures.ts";
import { verifySigned } from "../../src/plugins/package/verify.ts";
import { contentsJson, FILES } from "../lib/plugin-archive.ts";
import type { Random } from "./lib/random.ts";
import { check } from "./lib/target.ts";

export const name = "package-manifest";
export const maxBytes = 8192;
export const words = [
  '"id": ',
  '"version": ',
  '"api": "1"',
  '"files": [',
  '"path": ',
  '"size": ',
  '"sha256": ',
  '"role": "developer"',
  '"role": "marketplace"',
  '"key_id": ',
  '"algorithm": "ed25519"',
  '"algorithm": "rsa-sha256"',
  '"signature": ',
  '"public_key": ',
  '"__proto__": ',
  "\\u0061",
  "\n    ",
  ",\n",
  "-0",
  "1e3",
  "\xef\xbb\xbf",
  "=",
];

const contents = Buffer.from(contentsJson());
/** Of a key that nobody has any more. RSA: checking one takes microseconds. */
const good = {
  role: "developer",
  key_id: "2fa3aa448fe96a84a9789f607dcfdc4c1cf6290e07fd0612a91642e37f5d2add",
  algorithm: "rsa-sha256",
  signature:
    "WB/PXRg0OjNZuS3KAX0R2BFsMIqAw0D4bphnZ8h9Yc/LYxDcVK9/chpui52zaU5IPVyW62/f0BYB/ILo2EfKYbktrapx4F7+" +
    "krMFdAwI7e7btlL+n3RKqiL+S6k60XQ2XeFNHUy1+FqBCYc+pVEdAoCkrxJs6OOvoDYdlRtgMldDPEBsCJUkyOXJx1EwYd3k" +
    "bJs2aHOH+IlWzA0Q+lL2rFVSXUmBsdydoZlt9Huh6OdFRuT8rB8V8kG/O071VFtB80J1rgpzck4xeqZnvvhIt3+NMcZ+6b0h" +
    "zxKpaAXObZD+snDXFyCNJXBwsPctwvTdDoizJ+6eSv+pSkla+ZxFgA==",
  public_key:
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAtA9ewRl86FGK+AYL7VLL4vPYYGI0CacKirtE9UguifSDpP1ROjdY" +
    "wNYTQcrrtXRyg/BVXLC0Lbr3kASSh9c5yTkvcqgUA4Bip5cEEHnhWf8FGZrCB3nc5irnaZ7kq3fSaD5fqUUumrUTnovGml1o" +
    "Rj8wpKQ9GAN9EQtE0llmsdXHils4PTDXgL4Ke933y146QkBwD3XUsbCioLBD9jEw00tX4ZALGeCZ1vxbi++3DhSxSHHaf9nb" +
    "ORhWehcR/stZNbmwWZN/RdnwkDjE/m55WPlrcIqXZyxXWJLhcdyUexLazOrDC1Fu3I7gcqlP9J51pTtn+q4KZIZgrkoKjJWr" +
    "FwIDAQAB",
};
const json = (value: unknown) => Buffer.from(`${JSON.stringify(value, null, 2)}\n`);

export const seeds = [
  contents,
  json([good]),
  json([{ ...good, role: "marketplace" }]),
  json([good, { ...good, key_id: "0".repeat(64) }]),
  Buffer.from(contentsJson({ "plugin.toml": "" })),
  Buffer.from("[]\n"),
];

const VALUES = [
  "",
  "a",
  "../a",
  "plugin.toml",
  "0".repeat(64),
  good.key_id,
  good.signature,
  0,
  -1,
  1.5,
  null,
  {},
  [],
  true,
];

export function generate(random: Random): Uint8Array {
  const odd = <T>(value: T): unknown => (random.oneIn(8) ? random.pick(VALUES) : value);
  if (random.oneIn(2)) {
    const signatures = Array.from({ length: random.small(4) }, () =>
      Object.fromEntries(Object.entries(good).map(([field, value]) => [field, odd(value)])),
    );
    return json(signatures);
  }
  const parsed = JSON.parse(contentsJson(FILES)) as { readonly files: readonly object[] };
  const files = parsed.files.map(file =>
    Object.fromEntries(Object.entries(file).map(([k, v]) => [k, odd(v)])),
  );
  return json({ ...parsed, files: odd(files), version: odd("1.2.3") });
}

/** @throws {Error} an invariant does not hold */
export function run(input: Uint8Array): void {
  const problems = new Problems("Cannot read");
  if (input[0] === 0x5b) {
    const list = parseSignatures(input, problems);
    check((list === undefined) === problems.list.length > 0, "signatures, or problems");
    const verified = verifySigned(
      { id: "com.example.filter", version: "1.2.3", digest: "0".repeat(64), contents, signatures: input },
      { keys: [], revocations: [] },
    );
    check(verified.state === "unsigned" || verified.state === "modified", "nobody is trusted");
    check(
      verified.signers.every(id => id === good.key_id),
      "only who signed is a signer",
    );
    return;
  }
  const read = parseContents(input, problems);
  check(read !== undefined || problems.list.length > 0, "contents, or problems");
  if (problems.list.length > 0) return;
  const text = Buffer.from(input).toString("utf8");
  check(`${JSON.stringify(read, null, 2)}\n` === text, "one form only");
  const paths = read?.files.map(({ path }) => path) ?? [];
  check(
    paths.every((path, i) => i === 0 || (paths[i - 1] ?? "") < path),
    "sorted, and each once",
  );
}
