import assert from "node:assert/strict";
import { test } from "node:test";
import { type Canary, canaryDigest, makeCanary } from "../../../src/loss/canary.ts";

const parts = { run: "0123456789ab", hostname: "mail.example.com", from: "", recipient: "taro@example.com" };
const canary = (number = 1): Canary => makeCanary({ ...parts, number, now: new Date(0) });

/** What servers on the way do to a message without changing it. */
function delivered({ content }: Canary): Buffer {
  const text = content
    .toString("latin1")
    .replace(/\r\nMIME-Version/u, "\r\nX-Spam: no\r\n\tof ours\r\nMIME-Version");
  const top =
    "Return-Path: <>\r\nDelivered-To: taro@example.com\r\nReceived: from a (b [1.2.3.4])\r\n\tby c; Thu\r\n";
  return Buffer.from(`${top}${text}`, "latin1");
}

test("a canary is recognised behind the fields that servers put around its own", () => {
  const one = canary();
  assert.equal(canaryDigest(delivered(one)), one.digest);
});

test("an octet more, less or other in its text or in its own fields is seen", () => {
  const one = canary();
  const text = delivered(one).toString("latin1");
  const changes = [
    text.replace("\r\n.\r\n", "\r\n..\r\n"),
    text.slice(0, -2),
    `${text}\r\n`,
    text.replace("Subject: mairust", "Subject: [list] mairust"),
    text.replace("\r\n\r\n", "\r\n\n"),
  ];
  for (const changed of changes) {
    assert.notEqual(changed, text);
    assert.notEqual(canaryDigest(Buffer.from(changed, "latin1")), one.digest);
  }
});

test("no two canaries have the same bytes, and each begins a line with a dot", () => {
  assert.notEqual(canary().digest, canary().digest);
  assert.notEqual(canary(1).messageId, canary(2).messageId);
  assert.match(canary().content.toString("latin1"), /\r\n\.\r\n\.\.\r\n/u);
});
