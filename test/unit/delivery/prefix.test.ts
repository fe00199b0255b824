import assert from "node:assert/strict";
import { test } from "node:test";
import { type Envelope, parseMailAddress } from "../../../src/core/envelope.ts";
import { deliveryPrefix, encodeHeaderValue } from "../../../src/delivery/prefix.ts";

const envelope: Envelope = {
  mailFrom: parseMailAddress("sender@example.org"),
  recipients: [],
  client: {},
  peer: "unix",
  peerHelo: "mx.example.com",
  dsn: {},
  body8bit: false,
  smtpUtf8: false,
};
const facts = {
  envelope,
  recipient: "taro@example.com",
  hostname: "mail.example.com",
  messageId: "0193-id",
  receivedAt: new Date("2026-11-21T01:02:03Z"),
  headers: [["X-Spam-Score", "0.97"]] as const,
};

test("deliveryPrefix() writes Return-Path, Delivered-To, Received and hook fields with CRLF and no empty line", () => {
  assert.equal(
    Buffer.from(deliveryPrefix(facts)).toString(),
    [
      "Return-Path: <sender@example.org>",
      "Delivered-To: taro@example.com",
      "Received: from mx.example.com (unix)",
      "\tby mail.example.com with LMTP id 0193-id",
      "\tfor <taro@example.com>; Sat, 21 Nov 2026 01:02:03 +0000",
      "X-Spam-Score: 0.97",
      "",
    ].join("\r\n"),
  );
});

test("deliveryPrefix() lets no address or value start a line of its own", () => {
  const hostile = {
    ...envelope,
    mailFrom: { raw: "a\r\nX-Evil: 1", local: "", domain: "" },
    peerHelo: "x\nX-Evil: 2",
  };
  const text = Buffer.from(
    deliveryPrefix({ ...facts, envelope: hostile, headers: [["X-A", "v\r\nX-Evil: 3"]] }),
  ).toString();
  assert.doesNotMatch(text, /^X-Evil/mu);
});

test("encodeHeaderValue() keeps ASCII and encodes the rest as short encoded words", () => {
  assert.equal(encodeHeaderValue("plain text"), "plain text");
  const encoded = encodeHeaderValue("請求書".repeat(30));
  for (const line of encoded.split("\r\n "))
    assert.ok(line.length <= 75 && /^=\?UTF-8\?B\?[A-Za-z0-9+/=]+\?=$/u.test(line));
  const decoded = encoded
    .split("\r\n ")
    .map(w => Buffer.from(w.slice(10, -2), "base64").toString())
    .join("");
  assert.equal(decoded, "請求書".repeat(30));
});
