/** What `plugins/contract/samples/` shows: payloads of each point with several grants, and answers that are good, go too far, or are void. */
import type { HookPoint } from "../../src/core/ports/hooks.ts";
import type { ProvenanceEntry } from "../../src/wire/hook-payload.ts";
import type { PermissionsInput } from "../../src/wire/permissions.ts";

export interface PayloadSample {
  readonly name: string;
  readonly point: HookPoint;
  readonly grants: PermissionsInput;
  /** Octets as characters, lines ending in LF. */
  readonly source: string;
  readonly recipients: readonly string[];
  readonly tags: readonly string[];
  readonly provenance: readonly ProvenanceEntry[];
}

const HEADER = `Received: from mail.example.org (mail.example.org [192.0.2.7])
\tby mx.example.com (Postfix) with ESMTPS id 4XyZ1234; Sun, 1 Mar 2026 12:00:00 +0000
From: "Bob" <bob@example.org>
To: alice@example.com
Bcc: carol@example.com
X-MaiRust-Trace: v1; id=forged
Date: Sun, 1 Mar 2026 12:00:00 +0000
Message-ID: <first@example.org>
`;
const JAPANESE = `${HEADER}Subject: =?iso-2022-jp?B?GyRCQEE1YT1xGyhC?=
MIME-Version: 1.0
Content-Type: text/plain; charset=iso-2022-jp

\x1b$B@A5a=q\x1b(B No. 7
`;
const WITH_FILES = `${HEADER}Subject: Two files
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: multipart/alternative; boundary=c

--c
Content-Type: text/plain; charset=utf-8

The invoice is attached.
--c
Content-Type: text/html; charset=utf-8

<p>The <b>invoice</b> is attached.</p>
--c--
--b
Content-Type: application/pdf
Content-Disposition: attachment;
 filename*=utf-8''%E8%AB%8B%E6%B1%82%E6%9B%B8.pdf
Content-Transfer-Encoding: base64

JVBERi0xLjQK
--b
Content-Type: image/png; name="logo.png"
Content-Disposition: inline
Content-ID: <logo@example.org>
Content-Transfer-Encoding: base64

iVBORw0KGgo=
--b--
`;
const HTML = `${HEADER}Subject: Offer
Content-Type: text/html; charset=utf-8

<html><head><style>p {}</style></head><body><p>Hello</p><p>Buy&nbsp;now</p></body></html>
`;
const ENCRYPTED = `${HEADER}Subject: Secret
Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary=b

--b
Content-Type: application/pgp-encrypted

Version: 1
--b
Content-Type: application/octet-stream; name=encrypted.asc

-----BEGIN PGP MESSAGE-----
--b--
`;

const ALICE = ["alice@example.com"];
const BEFORE = {
  tags: ["newsletter"],
  provenance: [{ plugin_id: "com.example.first", hook: "first", changes: ["tags"] }],
};
const NOTHING_BEFORE = { tags: [], provenance: [] };

export const PAYLOAD_SAMPLES: readonly PayloadSample[] = [
  {
    name: "pre_receive-nothing",
    point: "pre_receive",
    grants: {},
    source: JAPANESE,
    recipients: ALICE,
    ...BEFORE,
  },
  {
    name: "pre_receive-headers",
    point: "pre_receive",
    grants: { read_headers: true },
    source: JAPANESE,
    recipients: ["alice@example.com", "dave@example.com"],
    ...NOTHING_BEFORE,
  },
  {
    name: "pre_receive-some-headers",
    point: "pre_receive",
    grants: { read_headers: ["From", "Subject"] },
    source: JAPANESE,
    recipients: ALICE,
    ...NOTHING_BEFORE,
  },
  {
    name: "pre_delivery-preview",
    point: "pre_delivery",
    grants: { read_headers: true, read_body: "preview" },
    source: JAPANESE,
    recipients: ALICE,
    ...BEFORE,
  },
  {
    name: "pre_delivery-preview-of-html",
    point: "pre_delivery",
    grants: { read_body: "preview" },
    source: HTML,
    recipients: ALICE,
    ...NOTHING_BEFORE,
  },
  {
    name: "pre_delivery-encrypted",
    point: "pre_delivery",
    grants: { read_body: "full", read_attachments: "metadata" },
    source: ENCRYPTED,
    recipients: ALICE,
    ...NOTHING_BEFORE,
  },
  {
    name: "post_receive-attachment-names",
    point: "post_receive",
    grants: { read_attachments: "metadata" },
    source: WITH_FILES,
    recipients: ALICE,
    ...NOTHING_BEFORE,
  },
  {
    name: "post_receive-attachment-starts",
    point: "post_receive",
    grants: { read_attachments: "preview" },
    source: WITH_FILES,
    recipients: ALICE,
    ...NOTHING_BEFORE,
  },
  {
    name: "post_receive-everything",
    point: "post_receive",
    grants: { read_headers: true, read_body: "full", read_attachments: "full" },
    source: WITH_FILES,
    recipients: ALICE,
    ...BEFORE,
  },
  {
    name: "pre_send-headers-and-body",
    point: "pre_send",
    grants: { read_headers: true, read_body: "full" },
    source: JAPANESE,
    recipients: ["bob@example.org", "carol@example.org"],
    ...NOTHING_BEFORE,
  },
];

export interface AnswerSample {
  readonly name: string;
  readonly point: HookPoint;
  readonly grants: PermissionsInput;
  /** The exact answer, octets as characters. */
  readonly answer: string;
  readonly bccAllowed?: readonly string[];
}

const EVERYTHING: PermissionsInput = {
  read_headers: true,
  read_body: "preview",
  write_tags: true,
  write_flags: true,
  move_message: true,
  write_metadata: true,
  decide: ["reject", "tempfail", "hold"],
  write_headers: true,
  append_text: true,
  add_recipients: true,
};
const CALL = '"call_id":"0190a000-0000-7000-8000-000000000001"';

function sample(
  name: string,
  answer: string,
  point: HookPoint = "pre_delivery",
  grants: PermissionsInput = EVERYTHING,
): AnswerSample {
  return { name, point, grants, answer };
}

export const ANSWER_SAMPLES: readonly AnswerSample[] = [
  sample("good-nothing", "{}"),
  sample("good-allow", `{${CALL},"action":"allow"}`),
  sample(
    "good-many-items",
    `{${CALL},"tags":{"add":["invoice"],"remove":["newsletter"]},"flags":{"add":["\\\\Flagged","$Work"]},"folder":"Work/2026","metadata":{"score":0.97},"headers":{"add":[["X-Spam-Score","0.97"]]},"usage":{"input_tokens":812,"output_tokens":9,"cost_usd":0.0004,"model":"m"},"explanation":"because"}`,
  ),
  sample("good-reject", '{"action":"reject","code":552,"permanent":true,"reason":"Too much"}', "pre_receive"),
  sample("good-reject-for-now", '{"action":"reject","permanent":false}', "pre_receive"),
  sample("good-tempfail", '{"action":"tempfail","reason":"Later"}', "pre_receive"),
  sample("good-hold", '{"action":"hold","reason":"ask somebody"}', "pre_send"),
  sample(
    "good-append-text",
    '{"append_text":{"plain":"-- \\nExample Corp","html":"<p>Example Corp</p>"}}',
    "pre_send",
  ),
  {
    ...sample(
      "good-add-bcc",
      '{"recipients":{"add_bcc":["archive@example.com","other@example.com"]}}',
      "pre_send",
    ),
    bccAllowed: ["archive@example.com"],
  },
  sample(
    "denied-all",
    '{"action":"reject","tags":{"add":["a"]},"flags":{"add":["\\\\Seen"]},"folder":"A","metadata":{"k":1},"headers":{"add":[["X-A","b"]]}}',
    "pre_delivery",
    {},
  ),
  sample(
    "denied-at-point",
    '{"action":"reject","headers":{"add":[["X-A","b"]]},"append_text":{"plain":"a"},"tags":{"add":["ok"]}}',
    "post_receive",
  ),
  sample(
    "denied-values",
    '{"tags":{"add":["Bad Tag","mairust:unchecked","good"]},"flags":{"add":["\\\\Deleted"]},"folder":"../etc","metadata":{"a:b":1},"headers":{"add":[["X-MaiRust-Trace","1"],["Subject","x"],["X-A","b\\r\\nBcc: c@d"]]}}',
  ),
  sample("denied-bcc-not-named", '{"recipients":{"add_bcc":["a@example.com"]}}', "pre_send"),
  sample("denied-defer", '{"defer":true}', "post_receive"),
  sample("ignored-unknown-fields", '{"verdict":"spam","tags":{"add":["spam"]}}'),
  sample("malformed-no-json", "spam"),
  sample("malformed-two-documents", "{}{}"),
  sample("malformed-unknown-action", '{"action":"discard"}'),
  sample("malformed-other-call", '{"call_id":"0190a000-0000-7000-8000-000000000002"}'),
  sample("malformed-wrong-type", '{"tags":["spam"]}'),
  sample("malformed-code", '{"action":"reject","code":421}'),
  sample("malformed-contradiction", '{"action":"tempfail","code":550}'),
];
