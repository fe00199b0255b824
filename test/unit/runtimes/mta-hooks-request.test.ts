import assert from "node:assert/strict";
import { test } from "node:test";
import { mtaHooksRequest } from "../../../src/runtimes/mta-hooks-request.ts";
import type { HookPayload } from "../../../src/wire/hook-payload.ts";

const ALWAYS: HookPayload = {
  api: "mairust.hook/1",
  call_id: "0190a000-0000-7000-8000-000000000001",
  hook: "pre_receive",
  mode: "enforce",
  attempt: 1,
  deadline_ms: 2000,
  plugin: { id: "com.example.p", version: "1.0.0" },
  received_at: "2026-01-02T03:04:05.000Z",
  size_bytes: 4711,
  settings: { key: "setting" },
};
const HEADERS: Partial<HookPayload> = {
  headers: [
    { name: "Subject", value: "請求書" },
    { name: "Content-Type", value: "multipart/alternative; boundary=x" },
  ],
  envelope: {
    mail_from: "ann@example.org",
    rcpt_to: ["bob@example.com", "cem@example.com"],
    client_ip: "192.0.2.7",
    client_name: "mx.example.org",
    helo: "helo.example.org",
    tls: true,
    auth_user: "ann",
    queue_id: "4Xy",
  },
  auth: {
    spf: { result: "pass", detail: "spf-detail" },
    dkim: { result: "none", detail: null },
    dmarc: { result: "none", detail: null },
    arc: { result: "none", detail: null },
  },
};
const text = (type: "text/plain" | "text/html", value: string, truncated = false) => ({
  type,
  text: value,
  truncated,
  charset_declared: null,
  charset_used: "utf-8",
});
const attachment = (change: object) => ({
  index: 0,
  filename: "a.pdf",
  content_type: "application/pdf",
  size_bytes: 3,
  disposition: "attachment",
  content_id: null,
  ...change,
});

function requestOf(...parts: readonly Partial<HookPayload>[]) {
  const payload = Object.assign({}, ALWAYS, ...parts);
  const { payload: bytes, fields } = mtaHooksRequest(Buffer.from(JSON.stringify(payload)));
  return { request: JSON.parse(Buffer.from(bytes).toString()), fields, raw: Buffer.from(bytes).toString() };
}

test("with no grant there are constants and the size", () => {
  const { request, fields } = requestOf();
  assert.deepEqual(request, {
    context: {
      stage: "data",
      client: { ip: "0.0.0.0", port: 0, ptr: null, helo: null, activeConnections: 1 },
      server: { name: "MaiRust", port: 0, ip: null },
      protocol: { version: 1 },
    },
    message: { headers: [], contents: "", serverHeaders: [], size: 4711 },
  });
  assert.deepEqual(fields, []);
});

test("read_headers gives the envelope, the client and the fields as they are", () => {
  const { request, fields } = requestOf(HEADERS);
  assert.deepEqual(request.context.client, {
    ip: "192.0.2.7",
    port: 0,
    ptr: "mx.example.org",
    helo: "helo.example.org",
    activeConnections: 1,
  });
  assert.deepEqual(request.context.sasl, { login: "ann" });
  assert.deepEqual(request.context.tls, { version: "", cipher: "" });
  assert.deepEqual(request.context.queue, { id: "4Xy" });
  assert.deepEqual(request.envelope, {
    from: { address: "ann@example.org" },
    to: [{ address: "bob@example.com" }, { address: "cem@example.com" }],
  });
  assert.deepEqual(request.message.headers, [
    ["Subject", "請求書"],
    ["Content-Type", "multipart/alternative; boundary=x"],
  ]);
  assert.deepEqual(fields, ["headers", "envelope"]);
});

test("one text is the contents, and the fields say what it is now", () => {
  const { request } = requestOf(HEADERS, { body: [text("text/plain", "one\n\ntwo\n")] });
  assert.equal(request.message.contents, "one\r\n\r\ntwo\r\n");
  assert.deepEqual(request.message.headers, [
    ["Subject", "請求書"],
    ["MIME-Version", "1.0"],
    ["Content-Type", "text/plain; charset=utf-8"],
    ["Content-Transfer-Encoding", "8bit"],
  ]);
});

test("texts and whole attachments are a multipart of their own", () => {
  const whole = attachment({
    filename: 'a"\r\nX-Evil: é.pdf',
    content_type: "application/pdf\r\nx: y",
    content_id: "a@b",
    content_base64: "QUJD".repeat(30),
  });
  const { request, fields } = requestOf({
    body: [text("text/plain", "plain"), text("text/html", "<p>", true)],
    attachments: [whole, attachment({ content_base64: null })],
  });
  const boundary = "mairust-0190a000-0000-7000-8000-000000000001";
  assert.deepEqual(request.message.headers.at(-1), [
    "Content-Type",
    `multipart/mixed; boundary="${boundary}"`,
  ]);
  assert.equal(
    request.message.contents,
    [
      `--${boundary}`,
      "Content-Type: text/plain; charset=utf-8",
      "Content-Transfer-Encoding: 8bit",
      "",
      "plain",
      `--${boundary}`,
      "Content-Type: text/html; charset=utf-8",
      "Content-Transfer-Encoding: 8bit",
      "",
      "<p>",
      `--${boundary}`,
      "Content-Type: application/octet-stream",
      "Content-Transfer-Encoding: base64",
      "Content-Disposition: attachment; filename*=UTF-8''a%22%0D%0AX-Evil%3A%20%C3%A9.pdf",
      "Content-ID: <a@b>",
      "",
      "QUJD".repeat(19),
      "QUJD".repeat(11),
      `--${boundary}--`,
      "",
    ].join("\r\n"),
  );
  assert.deepEqual(request.message.serverHeaders, [["X-MaiRust-Truncated", "yes"]]);
  assert.deepEqual(fields, ["body", "attachments"]);
});

test("what has no place in their contract is not sent", () => {
  const { raw, fields } = requestOf(HEADERS, {
    body_preview: { ...text("text/plain", "preview-text"), source: "plain", decode_errors: 0 },
    attachments: [
      attachment({ filename: "metadata.pdf", preview_base64: "cHJldmlldw==", sha256: "0".repeat(64) }),
    ],
    context: { direction: "inbound", stage: "store", tags: ["a-tag"], thread_id: "a-thread", account: null },
    provenance: [{ plugin_id: "com.example.other", hook: "h", changes: ["tags"] }],
  });
  for (const word of ["preview", "metadata", "a-tag", "a-thread", "spf-detail", "setting", "com.example"])
    assert.ok(!raw.includes(word), word);
  assert.deepEqual(fields, ["headers", "envelope"]);
});

test("a body without text is empty", () => {
  assert.equal(requestOf({ body: [] }).request.message.contents, "");
});
