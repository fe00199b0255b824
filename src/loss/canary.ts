/**
 * Numbered messages of one run, told from all other mail by its unguessable id, and recognised byte for byte although servers on the
 * way put fields of their own around ours. Pure but for the random bytes in them.
 */
import { createHash, randomBytes } from "node:crypto";

/** What is known of a canary after it was sent. */
export interface CanaryName {
  readonly recipient: string;
  readonly messageId: string;
  readonly digest: string;
}

export interface Canary extends CanaryName {
  readonly content: Buffer;
}

/** Fields of ours; what else stands in the header came from servers and hooks. */
const OWN_FIELDS = [
  "from",
  "to",
  "subject",
  "date",
  "message-id",
  "auto-submitted",
  "mime-version",
  "content-type",
];
/** Random lines of a body: 0.5 to 8 KB. */
const MIN_LINES = 8;
const MAX_LINES = 120;
const LINE_BYTES = 48;
const HEADER_END = "\r\n\r\n";

export interface CanaryParts {
  readonly run: string;
  readonly number: number;
  readonly hostname: string;
  readonly from: string;
  readonly recipient: string;
  readonly now: Date;
}

/** What the Message-IDs of a run begin with, without the bracket. */
export function canaryMark(run: string): string {
  return `canary.${run}.`;
}

export function makeCanary({ run, number, hostname, from, recipient, now }: CanaryParts): Canary {
  const messageId = `<${canaryMark(run)}${number}@${hostname}>`;
  const lines = MIN_LINES + ((number * 37) % (MAX_LINES - MIN_LINES));
  const random = randomBytes(lines * LINE_BYTES);
  const body = Array.from({ length: lines }, (_, i) =>
    random.subarray(i * LINE_BYTES, (i + 1) * LINE_BYTES).toString("base64"),
  );
  const text = [
    `From: mairust verify-no-loss <${from === "" ? `postmaster@${hostname}` : from}>`,
    `To: <${recipient}>`,
    `Subject: mairust verify-no-loss ${run} ${number}`,
    `Date: ${now.toUTCString().replace("GMT", "+0000")}`,
    `Message-ID: ${messageId}`,
    "Auto-Submitted: auto-generated",
    "MIME-Version: 1.0",
    "Content-Type: text/plain; charset=us-ascii",
    "",
    "This message was sent by mairust verify-no-loss. It may be deleted.",
    // Dots at the start of a line are doubled and taken off on the way (RFC 5321 §4.5.2).
    ".",
    "..",
    ...body,
    "",
  ];
  const content = Buffer.from(text.join("\r\n"), "latin1");
  return { recipient, messageId, content, digest: canaryDigest(content) };
}

/** SHA-256 of our own fields, in order, and of the body. */
export function canaryDigest(bytes: Uint8Array): string {
  const text = Buffer.from(bytes).toString("latin1");
  const end = text.indexOf(HEADER_END);
  const header = end < 0 ? text : text.slice(0, end);
  const fields = header.split(/\r\n(?![ \t])/u);
  const own = OWN_FIELDS.map(
    name => fields.find(field => field.slice(0, field.indexOf(":")).toLowerCase() === name) ?? "",
  );
  const body = end < 0 ? "" : text.slice(end + HEADER_END.length);
  return createHash("sha256").update(own.join("\r\n")).update("\0").update(body, "latin1").digest("hex");
}
