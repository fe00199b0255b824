import assert from "node:assert/strict";
import { test } from "node:test";
import { MairustError } from "../../../src/core/errors.ts";
import { messageId } from "../../../src/core/ids.ts";
import type { ComposedMail } from "../../../src/core/ports/sending.ts";
import { distinct, parseMailbox } from "../../../src/delivery/send-addresses.ts";
import { composeMail } from "../../../src/delivery/send-compose.ts";
import { readRaw } from "../../../src/delivery/send-raw.ts";

const ID = messageId("019abcde-0000-7000-8000-000000000001");
const NOW = new Date("2026-11-21T01:02:03Z");
const MAIL: ComposedMail = {
  kind: "composed",
  from: "Taro Yamada <taro@example.test>",
  to: ["hanako@example.org"],
  cc: [],
  bcc: ["secret@example.org"],
  replyTo: [],
  subject: "Hello",
  text: "one\ntwo",
  html: undefined,
  attachments: [],
  inReplyTo: undefined,
  references: [],
};

const codeOf = (code: string) => (error: unknown) => error instanceof MairustError && error.code === code;

async function* chunks(text: string, size = 7): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text, "latin1");
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function read(text: string, from?: string, to: readonly string[] = []) {
  const mail = { kind: "raw", content: chunks(text), from, to } as const;
  const { header, body, recipients, ...rest } = await readRaw(mail, ID, NOW);
  const all: Uint8Array[] = [header];
  for await (const chunk of body) all.push(chunk);
  return {
    ...rest,
    text: Buffer.concat(all).toString("latin1"),
    to: recipients.map(one => one.address.raw),
  };
}

test("an address is one address: nothing in it ends a line, a command or a field", () => {
  assert.deepEqual(parseMailbox("Taro <taro@example.test>", "from"), {
    name: "Taro",
    address: { raw: "taro@example.test", local: "taro", domain: "example.test" },
  });
  const quoted = parseMailbox('"Yamada, Taro" <taro@example.test> (home)', "from");
  assert.deepEqual([quoted.name, quoted.address.raw], ["Yamada, Taro", "taro@example.test"]);
  for (const text of [
    "",
    "taro",
    "a@b.test, c@d.test",
    "a@b.test\r\nBcc: c@d.test",
    "a@b.test>\nRCPT TO:<c@d.test",
    "Taro\r\nX: y <a@b.test>",
    "a b@c.test",
    "a@b@c.test",
    "<a@b.test> NOTIFY=NEVER",
    `${"x".repeat(250)}@b.test`,
    "a\u2028@b.test",
  ])
    assert.throws(() => parseMailbox(text, "to"), codeOf("address_syntax"), JSON.stringify(text));
});

test("who is named twice gets one copy", () => {
  const all = ["A@b.test", "c@d.test", "a@B.test"].map(one => parseMailbox(one, "to").address);
  assert.deepEqual(
    distinct(all).map(one => one.raw),
    ["A@b.test", "c@d.test"],
  );
});

test("a composed mail has its fields and no Bcc; Date and Message-ID are there", async () => {
  const { bytes, recipients } = await composeMail({ ...MAIL, references: ["<a@b>"] }, ID, NOW);
  const text = bytes.toString("latin1");
  assert.match(text, /^From: Taro Yamada <taro@example\.test>\r$/mu);
  assert.match(text, /^Date: Sat, 21 Nov 2026 01:02:03 \+0000\r$/mu);
  assert.match(text, new RegExp(`^Message-ID: <${ID}@example\\.test>\\r$`, "mu"));
  assert.match(text, /^References: <a@b>\r$/mu);
  assert.doesNotMatch(text, /bcc|secret/iu);
  assert.deepEqual(
    recipients.map(one => one.address.raw),
    ["hanako@example.org", "secret@example.org"],
  );
});

test("no value of a composed mail starts a field of its own", async () => {
  const file = { filename: "a.txt", contentType: undefined, content: Buffer.from("x") };
  const changes: readonly Partial<ComposedMail>[] = [
    { subject: "x\r\nBcc: a@b.test" },
    { subject: "x\u2028y" },
    { inReplyTo: "<a@b>\r\nX: y" },
    { references: ["a@b\nX: y"] },
    { attachments: [{ ...file, filename: 'a"\r\nX: y' }] },
    { attachments: [{ ...file, contentType: "text/plain\r\nX: y" }] },
    { text: undefined },
    { text: "nul \0" },
    { attachments: Array.from({ length: 101 }, () => file) },
  ];
  for (const change of changes)
    await assert.rejects(composeMail({ ...MAIL, ...change }, ID, NOW), codeOf("invalid_argument"));
  // Whoever writes a path gets a text, not the file.
  const { bytes } = await composeMail({ ...MAIL, text: "/etc/passwd", html: "http://127.0.0.1/" }, ID, NOW);
  assert.match(bytes.toString(), /\/etc\/passwd/u);
});

test("of a whole message Bcc and our own fields go, and what is missing comes", async () => {
  const raw =
    "From a@b Sat Nov 21\nFrom: taro@example.test\nTo: A <a@x.test>, g: b@x.test;\nBcc: c@x.test\nX-MaiRust-Submit: token\nSubject: x\n folded\n\nbody\n";
  const { text, to, from } = await read(raw);
  assert.equal(from.address.raw, "taro@example.test");
  assert.deepEqual(to, ["a@x.test", "b@x.test", "c@x.test"]);
  const date = `Date: Sat, 21 Nov 2026 01:02:03 +0000\r\nMessage-ID: <${ID}@example.test>\r\n`;
  const rest =
    "From: taro@example.test\r\nTo: A <a@x.test>, g: b@x.test;\r\nSubject: x\r\n folded\r\n\r\nbody\n";
  assert.equal(text, date + rest);
  const given = await read(raw, undefined, ["d@x.test"]);
  assert.deepEqual(given.to, ["d@x.test"], "what is asked for goes before the header");
  assert.match((await read("Subject: x\n\nbody", "taro@example.test", ["a@x.test"])).text, /^From: taro@/u);
});

test("a whole message that could be read in two ways is refused", async () => {
  const own = "From: taro@example.test\n";
  for (const [raw, code] of [
    ["", "data_invalid"],
    ["Subject: x\n\nbody", "data_invalid"],
    [`${own}From: boss@elsewhere.test\n\nx`, "data_invalid"],
    ["From: taro@example.test, boss@elsewhere.test\n\nx", "address_syntax"],
    ["From: boss@elsewhere.test <taro@example.test>\n\nx", "address_syntax"],
    ["From: boss@elsewhere.test taro@example.test\n\nx", "address_syntax"],
    ["From: g: taro@example.test;\n\nx", "address_syntax"],
    [`${own}Sender: taro@example.test\nSender: boss@elsewhere.test\n\nx`, "data_invalid"],
    [`Subject: x\nno field\n${own}\nx`, "data_invalid"],
    [`${own}no field\nSubject: x\n\nx`, "data_invalid"],
    [` folded first\n${own}\nx`, "data_invalid"],
    [`Subject: x\rFrom: boss@elsewhere.test\n${own}\nx`, "data_invalid"],
    [`Subject: \0\n${own}\nx`, "data_invalid"],
    ["From: nobody\n\nx", "address_syntax"],
  ] as const)
    await assert.rejects(read(raw), codeOf(code), JSON.stringify(raw));
  await assert.rejects(read(`${own}\nx`, "boss@elsewhere.test"), codeOf("not_permitted"));
  await assert.rejects(read(`X: ${"y".repeat(2_000_000)}`), codeOf("message_too_large"));
});
