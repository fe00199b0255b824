/** Use case: call a hook once, with a message that is given, stored, or built in, and see what it makes of it. */
import { MairustError } from "../core/errors.ts";
import type { HookTest, TestMessage } from "../core/ports/hook-admin.ts";
import { bounded } from "./messages.ts";
import type { ServicePorts } from "./ports.ts";

export type TestSource =
  | { readonly kind: "upload"; readonly content: AsyncIterable<Uint8Array> }
  /** UUID, queue id or Message-ID field. */
  | { readonly kind: "stored"; readonly id: string }
  | { readonly kind: "sample" };

export interface TestAsked {
  readonly source: TestSource;
  /** undefined: as the stored message or the sample has it. */
  readonly mailFrom: string | undefined;
  /** Empty: as the stored message or the sample has them. */
  readonly recipients: readonly string[];
  readonly direction: "inbound" | "outbound";
}

/** Most recipients of a test. */
const MAX_RECIPIENTS = 1000;
/** What mail could have come with: something on both sides of an at sign, and no controls. */
const ADDRESS = /^[^\p{Cc}]+@[^\s@\p{Cc}]+$/u;

/** Nothing of the answer is applied. @throws {MairustError} `not_found` (hook, message), `invalid_argument`, `disk_full`, `message_too_large` */
export async function testHook(ports: ServicePorts, name: string, asked: TestAsked): Promise<HookTest> {
  const message = await messageOf(ports, asked);
  if (message.recipients.length === 0) throw refused("to is missing: who is the message for?");
  if (message.recipients.length > MAX_RECIPIENTS)
    throw refused(`to names ${message.recipients.length} recipients, allowed are ${MAX_RECIPIENTS}`);
  const wrong = message.recipients.find(address => !ADDRESS.test(address));
  if (wrong !== undefined) throw refused(`to: ${JSON.stringify(wrong)} is no mail address`);
  if (message.mailFrom !== "" && !ADDRESS.test(message.mailFrom))
    throw refused(`from: ${JSON.stringify(message.mailFrom)} is no mail address`);
  return ports.hooks.test(name, message);
}

async function messageOf(ports: ServicePorts, asked: TestAsked): Promise<TestMessage> {
  const { source, mailFrom, direction } = asked;
  const or = (recipients: readonly string[]) => (asked.recipients.length > 0 ? asked.recipients : recipients);
  switch (source.kind) {
    case "upload": {
      const content = bounded(source.content, ports.maxMessageBytes(), { bytes: 0 });
      return { content, mailFrom: mailFrom ?? "", recipients: asked.recipients, direction, queueId: "" };
    }
    case "stored": {
      const stored = await ports.messages.getMessage(source.id);
      return {
        // As hooks saw it, without what was put in front of each copy.
        content: ports.blobs.get(stored.digest),
        mailFrom: mailFrom ?? stored.mailFrom,
        recipients: or([...new Set(stored.places.map(place => place.account))]),
        direction,
        queueId: stored.queueId,
      };
    }
    case "sample":
      return {
        content: sample(),
        mailFrom: mailFrom ?? "hanako@example.org",
        recipients: or(["taro@example.com"]),
        direction,
        queueId: "",
      };
  }
}

function refused(text: string): MairustError {
  return new MairustError("invalid_argument", `Cannot test a hook: ${text}`, { publicText: text });
}

/** A Japanese one, with two parts: an invoice. */
const SAMPLE_LINES = [
  "Received: from mail.example.org (mail.example.org [192.0.2.25]) by mx.example.com with ESMTP id SAMPLE0001;",
  " Sat, 21 Nov 2026 09:00:00 +0900",
  "From: =?UTF-8?B?6Yi05pyo6Iqx5a2Q?= <hanako@example.org>",
  "To: taro@example.com",
  "Subject: =?UTF-8?B?6KuL5rGC5pu4?= invoice 2026-11",
  "Date: Sat, 21 Nov 2026 09:00:00 +0900",
  "Message-ID: <sample-0001@example.org>",
  "MIME-Version: 1.0",
  'Content-Type: multipart/mixed; boundary="outer"',
  "",
  "--outer",
  "Content-Type: text/plain; charset=UTF-8",
  "Content-Transfer-Encoding: base64",
  "",
  Buffer.from("請求書をお送りします。\r\nPlease find the invoice attached.\r\n").toString("base64"),
  "--outer",
  'Content-Type: text/csv; name="invoice.csv"',
  'Content-Disposition: attachment; filename="invoice.csv"',
  "",
  "item,amount",
  "mail,100",
  "--outer--",
  "",
];

async function* sample(): AsyncIterable<Uint8Array> {
  yield Buffer.from(SAMPLE_LINES.join("\r\n"));
}
