/**
 * Signs mail that we send (the step before it is handed to Postfix): one DKIM-Signature for each key of the sender's domain, relaxed in
 * header and body. The header is made and hashed here, by the letter: the library takes octets 0xA0 of a raw header for blanks. The
 * body's hash is the library's.
 *
 * From is signed once more than it is there, so that nobody can add another.
 *
 * What fails how: a key that cannot be read is an error, and the message waits; a domain without a key sends without a signature.
 *
 * Sources: RFC 6376 §3.5, §3.7, §5, §8.15; RFC 8463 §3
 */
import { createHash, createPrivateKey, sign } from "node:crypto";
import { MairustError } from "../core/errors.ts";
import type { HeaderField } from "../core/mime/header.ts";
import type { DkimKeys, DkimPrivateKey } from "../core/ports/dkim.ts";
import type { AuthContent, DkimSigner } from "../core/ports/sender-auth.ts";
import { openMessage, Uncheckable } from "./sender-auth-body.ts";
import { signedHeader } from "./sender-auth-canonical.ts";

/** RFC 6376 §5.4.1, RFC 8058 §4. */
const SIGNED: ReadonlySet<string> = new Set([
  ...["from", "sender", "reply-to", "subject", "date", "message-id", "to", "cc"],
  ...["mime-version", "content-type", "content-transfer-encoding", "content-disposition"],
  ...[
    "in-reply-to",
    "references",
    "resent-date",
    "resent-from",
    "resent-to",
    "resent-cc",
    "resent-message-id",
  ],
  ...["list-id", "list-help", "list-unsubscribe", "list-unsubscribe-post", "list-post", "list-archive"],
]);
const LINE_CHARS = 72;

export class KeySigner implements DkimSigner {
  readonly #keys: Pick<DkimKeys, "privateKeys">;
  readonly #now: () => Date;

  constructor(keys: Pick<DkimKeys, "privateKeys">, now: () => Date) {
    this.#keys = keys;
    this.#now = now;
  }

  async sign(domain: string, content: AuthContent): Promise<string> {
    const keys = await this.#keys.privateKeys(domain);
    if (keys.length === 0) return "";
    const { header, fields, bodyHash } = await hashed(content);
    const nowS = Math.floor(this.#now().getTime() / 1000);
    return keys.map(key => `${signature(key, { domain, nowS, header, fields, bodyHash })}\r\n`).join("");
  }
}

interface Hashed {
  readonly header: Uint8Array;
  readonly fields: readonly HeaderField[];
  readonly bodyHash: string;
}

async function hashed(content: AuthContent): Promise<Hashed> {
  const { RelaxedHash } = await import("mailauth/lib/dkim/body/relaxed.js");
  const body = new RelaxedHash("sha256", false);
  try {
    const { header, fields, bytes } = await openMessage(content.read());
    let before = header.length;
    for await (const chunk of bytes) {
      const skipped = Math.min(before, chunk.length);
      before -= skipped;
      if (skipped < chunk.length) body.update(chunk.subarray(skipped));
    }
    return { header, fields, bodyHash: body.digest("base64") };
  } catch (error) {
    if (!(error instanceof Uncheckable)) throw error;
    throw new MairustError("data_invalid", `Cannot sign message: ${error.message}`, { cause: error });
  }
}

function signature(
  { selector, algorithm, privateKey }: DkimPrivateKey,
  { domain, nowS, header, fields, bodyHash }: Hashed & { readonly domain: string; readonly nowS: number },
): string {
  const names = fields.filter(({ name }) => SIGNED.has(name)).map(({ name }) => name);
  const list = [...names, "from"];
  const tags = [
    ...["v=1", `a=${algorithm}`, "c=relaxed/relaxed", `d=${domain}`, `s=${selector}`, `t=${nowS}`],
    ...[`h=${list.join(":")}`, `bh=${bodyHash}`],
  ];
  const field = `DKIM-Signature: ${folded([...tags, "b="])}`;
  const data = signedHeader(header, fields, list, field, true);
  const key = createPrivateKey({ key: Buffer.from(privateKey), format: "der", type: "pkcs8" });
  const value =
    algorithm === "rsa-sha256"
      ? sign("sha256", data, key)
      : sign(null, createHash("sha256").update(data).digest(), key);
  return `${field}${value.toString("base64").replace(/.{70}(?=.)/gu, "$&\r\n\t")}`;
}

/** A line for each tag, and more for the names: white space within `h=` is allowed around its colons. */
function folded(tags: readonly string[]): string {
  return tags.map(tag => (tag.startsWith("h=") ? foldedNames(tag) : tag)).join(";\r\n\t");
}

function foldedNames(tag: string): string {
  const lines: string[] = [];
  let line = "";
  for (const name of tag.split(":")) {
    if (line !== "" && line.length + name.length > LINE_CHARS) {
      lines.push(line);
      line = "";
    }
    line += line === "" && lines.length === 0 ? name : `:${name}`;
  }
  return [...lines, line].join("\r\n\t");
}
