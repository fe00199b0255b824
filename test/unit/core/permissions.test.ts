import assert from "node:assert/strict";
import { test } from "node:test";
import Schema from "typebox/schema";
import { callId } from "../../../src/core/ids.ts";
import { type CallFacts, type MessageState, project, sentFields } from "../../../src/core/permissions.ts";
import { beyondRequest, grantsOf, missingPrerequisites } from "../../../src/core/permissions-grants.ts";
import { HeaderView } from "../../../src/core/permissions-headers.ts";
import { cutJson, jsonBytes, jsonLine } from "../../../src/core/permissions-json.ts";
import { MessageViews } from "../../../src/hooks/message-views.ts";
import { attachmentSchema, hookPayloadSchema } from "../../../src/wire/hook-payload.ts";
import type { PermissionsInput } from "../../../src/wire/permissions.ts";
import { factsOf } from "../hooks/message.ts";

const CALL: CallFacts = {
  callId: callId("0190a000-0000-7000-8000-000000000001"),
  point: "pre_delivery",
  mode: "enforce",
  attempt: 1,
  deadlineMs: 1999.7,
  pluginId: "com.example.p",
  pluginVersion: "1.0.0",
  settings: { threshold: 0.8 },
};
const STATE: MessageState = {
  recipients: ["cnr-rcpt@example.com"],
  account: "cnr-account@example.com",
  tags: ["cnr-tag"],
  provenance: [{ plugin_id: "com.example.cnr-other", hook: "cnr-hook", changes: ["tags"] }],
};

/** Each piece of the message holds a canary: `cnr-` and where it stands. */
const MESSAGE = `Received: from cnr-received (cnr-helo [192.0.2.99])
From: "cnr-from" <cnr-from@example.org>
To: cnr-to@example.com
Bcc: cnr-bcc@example.com
Resent-Bcc: cnr-resent-bcc@example.com
X-MaiRust-Trace: v1; id=cnr-trace
x-mairust-skipped: cnr-skipped
Subject: =?utf-8?q?cnr-subject_=E8=AB=8B=E6=B1=82=E6=9B=B8?=
Message-ID: <cnr-id@example.org>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain; charset=utf-8

cnr-body
--b
Content-Type: application/pdf; name=cnr-file.pdf
Content-Disposition: attachment; filename=cnr-file.pdf

cnr-attachment
--b--
`;

const FACTS = factsOf(MESSAGE, {
  mailFrom: "cnr-mailfrom@example.org",
  queueId: "cnr-queue",
  threadKey: "cnr-thread",
  account: "cnr-account@example.com",
  authUser: "cnr-authuser",
  client: {
    address: "cnr-ip",
    name: "cnr-clientname",
    helo: "cnr-ehlo",
    port: 25,
    source: "cnr-source",
    ident: "cnr-ident",
  },
});

async function payloadFor(grants: PermissionsInput, change: Partial<CallFacts> = {}) {
  const view = await new MessageViews().view(FACTS, grantsOf(grants));
  return project(view, STATE, grantsOf(grants), { ...CALL, ...change });
}

async function canaries(grants: PermissionsInput): Promise<readonly string[]> {
  const text = JSON.stringify(await payloadFor(grants));
  return [...new Set([...text.matchAll(/cnr-[a-z-]+/g)].map(([canary]) => canary))].sort();
}

const ENVELOPE_KEYS = [
  "api",
  "call_id",
  "hook",
  "mode",
  "attempt",
  "deadline_ms",
  "plugin",
  "received_at",
  "size_bytes",
  "settings",
];

test("without grants nothing of the message is in the payload, not even its envelope", async () => {
  assert.deepEqual(await canaries({}), []);
  assert.deepEqual(Object.keys(await payloadFor({})), ENVELOPE_KEYS);
});

test("rights to write and to decide show nothing of the message", async () => {
  const grants: PermissionsInput = {
    write_tags: true,
    move_message: true,
    write_metadata: true,
    write_flags: true,
    decide: ["reject"],
  };
  assert.deepEqual(await canaries(grants), []);
});

test("read_headers shows headers, envelope, context and provenance, and never Bcc, foreign X-MaiRust fields, body or files", async () => {
  assert.deepEqual(await canaries({ read_headers: true }), [
    "cnr-account",
    "cnr-clientname",
    "cnr-ehlo",
    "cnr-from",
    "cnr-helo",
    "cnr-hook",
    "cnr-id",
    "cnr-ip",
    "cnr-mailfrom",
    "cnr-other",
    "cnr-queue",
    "cnr-rcpt",
    "cnr-received",
    "cnr-subject",
    "cnr-tag",
    "cnr-thread",
    "cnr-to",
  ]);
});

test("a list of names shows these fields alone", async () => {
  const seen = await canaries({ read_headers: ["Subject", "bcc", "X-MaiRust-Trace"] });
  assert.ok(seen.includes("cnr-subject"));
  for (const other of ["cnr-from", "cnr-to", "cnr-received", "cnr-id", "cnr-bcc", "cnr-trace"])
    assert.ok(!seen.includes(other), other);
});

test("read_body = preview shows the text and nothing else", async () => {
  assert.deepEqual(await canaries({ read_body: "preview" }), ["cnr-body"]);
  assert.equal((await payloadFor({ read_body: "preview" })).body_preview?.text.trim(), "cnr-body");
});

test("without read_body the message's bytes are not even read", async () => {
  const facts = factsOf(MESSAGE);
  await new MessageViews().view(facts, grantsOf({ read_headers: true }));
  assert.equal(facts.content.octetsRead, 0);
});

test("who submitted is shown at pre_send only", async () => {
  assert.equal((await payloadFor({ read_headers: true })).envelope?.auth_user, null);
  assert.equal(
    (await payloadFor({ read_headers: true }, { point: "pre_send" })).envelope?.auth_user,
    "cnr-authuser",
  );
});

test("the client's TLS is told where it is known", async () => {
  for (const [tls, shown] of [
    [true, true],
    [false, false],
    [undefined, null],
  ] as const) {
    const facts = factsOf(MESSAGE, { tls });
    const grants = grantsOf({ read_headers: true });
    const payload = project(await new MessageViews().view(facts, grants), STATE, grants, CALL);
    assert.equal(payload.envelope?.tls, shown);
  }
});

test("the payload has fixed keys in a fixed order and follows the published schema", async () => {
  const payload = await payloadFor({ read_headers: true, read_body: "full", read_attachments: "full" });
  assert.deepEqual(Object.keys(payload), Object.keys(hookPayloadSchema.properties));
  assert.deepEqual(Object.keys(payload.attachments?.[0] ?? {}), Object.keys(attachmentSchema.properties));
  assert.deepEqual(sentFields(payload), [
    "provenance",
    "headers",
    "headers_truncated",
    "envelope",
    "auth",
    "context",
    "body_preview",
    "body",
    "attachments",
    "mime_truncated",
  ]);
  const validator = Schema.Compile(hookPayloadSchema);
  for (const grants of [
    {},
    { read_headers: true },
    { read_body: "preview" },
    { read_headers: ["to"], read_body: "preview" },
    { read_body: "full" },
    { read_attachments: "metadata" },
    { read_attachments: "preview" },
    { read_headers: true, read_body: "full", read_attachments: "full" },
  ] as const) {
    const sent: unknown = JSON.parse(JSON.stringify(await payloadFor(grants as PermissionsInput)));
    assert.ok(validator.Check(sent), JSON.stringify(sent));
  }
  assert.equal(payload.deadline_ms, 1999);
  assert.deepEqual(payload.auth?.spf, { result: "none", detail: null });
});

test("granted but without content is null or empty, never absent", async () => {
  const facts = factsOf("\n", { queueId: "", mailFrom: "", client: {}, threadKey: undefined });
  const grants = grantsOf({ read_headers: true, read_body: "preview" });
  const state = { recipients: ["a@b.example"], account: undefined, tags: [], provenance: [] };
  const payload = project(await new MessageViews().view(facts, grants), state, grants, CALL);
  assert.deepEqual(payload.headers, []);
  assert.deepEqual(payload.provenance, []);
  assert.deepEqual(payload.envelope, {
    mail_from: "",
    rcpt_to: ["a@b.example"],
    client_ip: null,
    client_name: null,
    helo: null,
    tls: null,
    auth_user: null,
    queue_id: null,
  });
  assert.deepEqual(payload.context, {
    direction: "inbound",
    stage: "store",
    tags: [],
    thread_id: null,
    account: null,
  });
});

test("headers are in order with doubles, unfolded, decoded, without controls", () => {
  const raw =
    "Subject: =?iso-2022-jp?B?GyRCQEE1YRsoQg==?=\r\n =?utf-8?q?_b?=\r\nX-A: 1\r\nx-a:\t2\r\n\tfolded\r\nX-C: a\0b\x1b[31m\r\n\r\n";
  const { fields, truncated } = new HeaderView(Buffer.from(raw, "latin1")).select(true);
  assert.equal(truncated, false);
  assert.deepEqual(fields, [
    { name: "Subject", value: "請求 b" },
    { name: "X-A", value: "1" },
    { name: "x-a", value: "2 folded" },
    { name: "X-C", value: "a b [31m" },
  ]);
});

test("headers are cut at 500 fields, 8 KiB a field, 128 KiB in all", () => {
  const select = (raw: string) => new HeaderView(Buffer.from(`${raw}\r\n`)).select(true);
  const many = select("X-A: 1\r\n".repeat(501));
  assert.deepEqual([many.fields.length, many.truncated], [500, true]);
  assert.equal(select("X-A: 1\r\n".repeat(500)).truncated, false);
  const long = select(`X-A: ${"é".repeat(5000)}\r\n`);
  assert.deepEqual([Buffer.byteLength(long.fields[0]?.value ?? ""), long.truncated], [8192, true]);
  const heavy = select(`X-A: ${"a".repeat(8000)}\r\n`.repeat(20));
  assert.ok(heavy.fields.length === 16 && heavy.truncated, String(heavy.fields.length));
  const huge = select(`X-A: ${"=?utf-8?q?=41?= ".repeat(20_000)}\r\n`);
  assert.ok(huge.truncated);
});

test("prerequisites: each write right names its code, and all at once", () => {
  const codes = (input: PermissionsInput) => missingPrerequisites(grantsOf(input)).map(({ code }) => code);
  const writes: PermissionsInput = {
    write_tags: true,
    write_flags: true,
    write_metadata: true,
    move_message: true,
  };
  assert.deepEqual(codes(writes), ["PERM_DEP_TAGS", "PERM_DEP_FLAGS", "PERM_DEP_META", "PERM_DEP_MOVE"]);
  assert.deepEqual(codes({ ...writes, read_headers: ["Subject"] }), ["PERM_DEP_MOVE"]);
  assert.deepEqual(codes({ ...writes, read_headers: true, read_body: "preview" }), []);
  assert.deepEqual(codes({ move_message: true, read_body: "full" }), ["PERM_DEP_MOVE"]);
});

test("a grant never goes beyond what was asked for", () => {
  const requested = grantsOf({
    read_headers: ["subject", "from"],
    read_body: "preview",
    decide: ["tempfail"],
    write_tags: true,
  });
  const beyond = (input: PermissionsInput) => beyondRequest(grantsOf(input), requested);
  assert.deepEqual(beyond({}), []);
  assert.deepEqual(
    beyond({ read_headers: ["From"], read_body: "preview", decide: ["tempfail"], write_tags: true }),
    [],
  );
  assert.deepEqual(
    beyond({
      read_headers: true,
      read_body: "full",
      read_attachments: "metadata",
      decide: ["reject"],
      send_mail: true,
    }),
    ["read_headers", "read_body", "read_attachments", "decide", "send_mail"],
  );
  assert.deepEqual(beyond({ read_headers: ["to"] }), ["read_headers"]);
});

test("a payload is one line for every reader: what some take for a line break is escaped, and counted so", () => {
  const text = "a\u2028b\u2029c";
  const line = jsonLine({ text });
  assert.equal(line, '{"text":"a\\u2028b\\u2029c"}');
  assert.deepEqual(JSON.parse(line), { text });
  assert.equal(jsonBytes(text), 17);
  assert.equal(cutJson("\u2028".repeat(10), 13), "\u2028\u2028");
});
