/**
 * Fuzz target: payloads of random mail for random grants: the first octet is the grants, the rest is the message. A payload follows
 * its schema, holds no section beyond the grants, is never larger than its limit or than what it was said to cost, and is the same
 * for a second hook.
 */
import Schema from "typebox/schema";
import { callId } from "../../src/core/ids.ts";
import { project } from "../../src/core/permissions.ts";
import { payloadCost } from "../../src/core/permissions-cost.ts";
import { grantsOf } from "../../src/core/permissions-grants.ts";
import { MessageViews } from "../../src/hooks/message-views.ts";
import { HOOK_POINTS } from "../../src/wire/config/hooks.ts";
import {
  hookPayloadSchema,
  MAX_HEADER_FIELDS,
  MAX_PAYLOAD_BYTES,
  MAX_PREVIEW_BYTES,
} from "../../src/wire/hook-payload.ts";
import { READ_ATTACHMENTS, READ_BODY } from "../../src/wire/permissions.ts";
import { factsOf } from "../unit/hooks/message.ts";
import { mimeMessage } from "./lib/mime-grammar.ts";
import type { Random } from "./lib/random.ts";
import { check, octets } from "./lib/target.ts";

export const name = "plugin-payload";
export const maxBytes = 8192;
export const words = [
  "Content-Type: text/plain; charset=iso-2022-jp\r\n",
  "Content-Type: text/html; charset=utf-16\r\n",
  "Content-Type: multipart/signed; boundary=b\r\n",
  "Content-Type: multipart/encrypted; boundary=b\r\n",
  "Content-Type: message/rfc822\r\n",
  "Content-Transfer-Encoding: base64\r\n",
  "Content-Transfer-Encoding: quoted-printable\r\n",
  "Content-Disposition: attachment; filename*=utf-8''%e3%81\r\n",
  "Content-ID: <a>\r\n",
  "Bcc: x@y\r\n",
  "X-MaiRust-Trace: v1\r\n",
  "\r\n\r\n",
  "--b\r\n",
  "--b--\r\n",
  "=\r\n",
  "=41",
  "\x1b$B",
  "\x1b(B",
  "\xff\xfe",
  "\xef\xbb\xbf",
  "<script>",
  "&#0;",
  "\0",
];
const ALL = "\x17";
export const seeds = [
  `${ALL}Subject: a\r\n\r\nbody`,
  `${ALL}Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\nContent-Type: a/b; name=x\r\nContent-Transfer-Encoding: base64\r\n\r\nYWJj\r\n--b--\r\n`,
  `${ALL}Content-Type: text/html; charset=shift_jis\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<p>=90=BF=\r\n</p>`,
  `${ALL}Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\ny`,
  `${ALL}\r\n\x01\x02\x03"\\`,
  "\x00Bcc: a\r\n\r\nb",
].map(octets);

export function generate(random: Random): Uint8Array {
  return octets(String.fromCharCode(random.int(24)) + mimeMessage(random));
}

const validator = Schema.Compile(hookPayloadSchema);
const ID = callId("0190a000-0000-7000-8000-000000000001");
const SECRET = new Set(["bcc", "resent-bcc"]);

/** Of what the cost allows for the call's own fields these calls need little: it must not hide what the message costs. */
const SPARE_BYTES = 14 * 1024;

/** @throws {Error} an invariant does not hold */
export async function run(input: Uint8Array): Promise<void> {
  const choice = (input[0] ?? 0) % 24;
  const read_headers = choice % 2 === 1;
  const read_body = READ_BODY[Math.floor(choice / 2) % 3] ?? "none";
  const read_attachments = READ_ATTACHMENTS[Math.floor(choice / 6)] ?? "none";
  const grants = grantsOf({ read_headers, read_body, read_attachments });
  const facts = factsOf(Buffer.from(input.subarray(1)));
  const cost = payloadCost(facts, grants);
  check(facts.content.octetsRead === 0, "the cost is known before anything is read");
  const views = new MessageViews();
  const write = async () => {
    const state = { recipients: facts.recipients, account: undefined, tags: [], provenance: [] };
    const payload = project(await views.view(facts, grants), state, grants, {
      callId: ID,
      point: HOOK_POINTS[choice % HOOK_POINTS.length] ?? "pre_delivery",
      mode: "enforce",
      attempt: 1,
      deadlineMs: 1000,
      pluginId: "com.example.p",
      pluginVersion: "1.0.0",
      settings: {},
    });
    return { payload, text: JSON.stringify(payload) };
  };
  const { payload, text } = await write();
  check(Buffer.byteLength(text) <= MAX_PAYLOAD_BYTES, "no larger than a payload may be");
  check(Buffer.byteLength(text) <= cost - SPARE_BYTES, "no larger than it was said to be");
  check(validator.Check(JSON.parse(text)), "of the schema");
  check((payload.headers !== undefined) === read_headers, "headers with the grant alone");
  check((payload.body_preview !== undefined) === (read_body !== "none"), "a preview with the grant alone");
  check((payload.body !== undefined) === (read_body === "full"), "a body with the grant alone");
  check((payload.attachments !== undefined) === (read_attachments !== "none"), "files with the grant alone");
  const needed = read_body !== "none" || read_attachments !== "none";
  check(needed || facts.content.octetsRead === 0, "nothing is read that nobody may see");
  check(Buffer.byteLength(payload.body_preview?.text ?? "") <= MAX_PREVIEW_BYTES, "a short preview");
  check((payload.headers?.length ?? 0) <= MAX_HEADER_FIELDS, "not too many headers");
  for (const { name: field, value } of payload.headers ?? []) {
    const lower = field.toLowerCase();
    check(!SECRET.has(lower) && !lower.startsWith("x-mairust-"), "no secret header");
    check(!/\p{Cc}/u.test(value), "no controls in a header");
  }
  for (const { filename } of payload.attachments ?? [])
    check(filename === null || !/[\p{Cc}/\\]/u.test(filename), "a harmless file name");
  check((await write()).text === text, "the same for the next hook");
}
