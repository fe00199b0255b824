import assert from "node:assert/strict";
import { test } from "node:test";
import { comparableOf, HEAD_BYTES, withoutTop } from "../../../src/transfer/comparable.ts";

const MAIL = "Received: from sender by us; 1\r\nSubject: x\r\n\r\nbody\r\n";
const ON_TOP =
  "Return-Path: <a@b.test>\r\nDelivered-To: c@d.test\r\nReceived: from us\r\n\tby dovecot; 2\r\n";

async function both(one: string, other: string, chunkBytes = 7) {
  const chunks = (text: string) => {
    const bytes = Buffer.from(text, "latin1");
    return Array.from({ length: Math.ceil(bytes.length / chunkBytes) }, (_, i) =>
      bytes.subarray(i * chunkBytes, (i + 1) * chunkBytes),
    );
  };
  return [await comparableOf(chunks(one)), await comparableOf(chunks(other))] as const;
}

test("what two servers put on top of a message does not make it another one", async () => {
  const [one, other] = await both(
    `${ON_TOP}${MAIL}`,
    `Return-Path: <>\r\nReceived: by sidecar; 3\r\n${MAIL}`,
  );
  assert.deepEqual(one, other);
});

test("mail that the sidecar handed on is known again beside its copy here: all Received in front are left out", async () => {
  const relayed = `${ON_TOP}Received: by sidecar; 1\r\nX-MaiRust-Tag: a\r\n${MAIL}`;
  const [there, here] = await both(
    relayed,
    `Return-Path: <a@b.test>\r\nDelivered-To: c@d.test\r\nReceived: by sidecar for c; 1\r\nX-MaiRust-Tag: a\r\n${MAIL}`,
  );
  assert.deepEqual(there, here);
  const [other] = await both(relayed.replace("Tag: a", "Tag: b"), "");
  assert.notEqual(other.digest, here.digest);
});

test("what the milter wrote for LMTP and LMTP for the next hop is in one of the copies alone, and counts nowhere", async () => {
  const relayed = `${ON_TOP}Received: by sidecar; 1\r\nX-MaiRust-Folder: secret\r\n Lists\r\nX-Tag: a\r\n${MAIL}`;
  const [there, here] = await both(relayed, `${ON_TOP}X-Tag: a\r\nX-MaiRust-Trace: v1;\r\n id=1\r\n${MAIL}`);
  assert.deepEqual(there, here);
  const [plain, traced] = await both(`${ON_TOP}${MAIL}`, `${ON_TOP}X-MaiRust-Trace: v1\r\n${MAIL}`);
  assert.deepEqual(plain, traced);
  const [one, other] = await both(`${MAIL}X-MaiRust-Trace: 1\r\n`, MAIL);
  assert.notEqual(one.digest, other.digest, "in the body it is text");
});

test("line ends and NUL count as an IMAP server shows them", async () => {
  const [one, other] = await both("Subject: a\n\nx\0y\n", "Subject: a\r\n\r\nx\x80y\r\n");
  assert.deepEqual(one, other);
});

test("messages that begin alike have one key and two digests", async () => {
  const begin = `Subject: x\r\n\r\n${"x".repeat(HEAD_BYTES * 2)}`;
  const [one, other] = await both(`${begin}1`, `${begin}2`, 1000);
  assert.equal(one.key, other.key);
  assert.notEqual(one.digest, other.digest);
});

test("the key of a beginning is the key of the whole message", async () => {
  const text = `${ON_TOP}${MAIL}${"line\r\n".repeat(HEAD_BYTES)}`;
  const whole = await comparableOf([Buffer.from(text)]);
  const head = await comparableOf([Buffer.from(text.slice(0, HEAD_BYTES))]);
  assert.equal(whole.key, head.key);
});

test("withoutTop() keeps a field that does not end and what is no field", () => {
  for (const text of [
    "Received: from x\r\n",
    "no field\r\nReceived: x\r\n\r\n",
    "\r\nReceived: x\r\n\r\n",
    "",
  ])
    assert.equal(withoutTop(Buffer.from(text)).toString(), text);
});
