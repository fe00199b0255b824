import assert from "node:assert/strict";
import { test } from "node:test";
import { parseMailAddress } from "../../../src/core/envelope.ts";
import { blobDigest, messageId } from "../../../src/core/ids.ts";
import { DELIVER } from "../../../src/core/merge.ts";
import { MessageScanner } from "../../../src/core/mime/scanner.ts";
import type { HoldTaken } from "../../../src/core/ports/hold-admin.ts";
import { bounceText } from "../../../src/delivery/bounce.ts";

const now = new Date("2026-01-02T03:04:05Z");
const TAKEN: HoldTaken = {
  record: {
    id: "1",
    messageId: messageId("1"),
    state: "releasing",
    point: "pre_send",
    hook: { priority: 1, name: "dlp" },
    pluginId: "p",
    reason: "card number\r\nX-Injected: 1",
    queueId: "4Q",
    mailFrom: "taro@example.test",
    recipients: [{ address: parseMailAddress("b@example.org") }],
    account: undefined,
    authUser: "taro@example.test",
    problem: undefined,
    subject: "",
    from: "",
    sizeBytes: 3,
    attachments: 0,
    createdAt: now,
    expiresAt: now,
    endedAt: undefined,
    endedBy: undefined,
  },
  lease: "1",
  accountId: undefined,
  decision: { ...DELIVER, action: "hold" },
  by: undefined,
  prefix: new Uint8Array(),
  session: {},
  message: {
    messageId: messageId("1"),
    receivedAt: now,
    blob: { digest: blobDigest("0"), sizeBytes: 3, storedBytes: 3, codec: "none" },
    structure: new Uint8Array(),
    header: Buffer.from("Subject: mine\r\n\r\n"),
    headerBytes: 17,
    messageIdHeader: undefined,
    subject: "",
    from: "",
    threadKey: undefined,
    attachments: 0,
    queueId: "4Q",
    mailFrom: "taro@example.test",
  },
};

test("a bounce is a delivery report in three parts; a reason cannot add a field", () => {
  const text = bounceText({ taken: TAKEN, top: "", hostname: "mail.example.test", now });
  const scanner = new MessageScanner();
  scanner.write(text);
  const { root } = scanner.end();
  assert.equal(`${root.type}/${root.subtype}`, "multipart/report");
  assert.deepEqual(
    root.children.map(part => `${part.type}/${part.subtype}`),
    ["text/plain", "message/delivery-status", "text/rfc822-headers"],
  );
  assert.doesNotMatch(text.toString(), /^X-Injected/mu);
  assert.match(text.toString(), /^Final-Recipient: rfc822; b@example\.org\r$/mu);
});
