/**
 * Tells the sender of outbound mail that it will not be sent: a delivery status notification with the null sender (RFC 3464, RFC 6522),
 * by SMTP to the MTA. Only for mail of our own users: their sender address is known to be theirs.
 */
import { randomUUID } from "node:crypto";
import type { Deadline } from "../core/deadline.ts";
import { parseMailAddress } from "../core/envelope.ts";
import { MairustError } from "../core/errors.ts";
import type { HoldTaken } from "../core/ports/hold-admin.ts";
import { encodeHeaderValue, rfc5322Date } from "./prefix.ts";
import { type SmtpServer, submitBySmtp } from "./smtp-submission.ts";

export interface BounceParts {
  readonly taken: HoldTaken;
  /** Fields to put on top, with CRLF. */
  readonly top: string;
  readonly hostname: string;
  readonly now: Date;
}

export interface Bounced {
  /** The MTA's reply. */
  readonly text: string;
}

/** @throws {MairustError} `store_unavailable`: the MTA did not take it */
export async function submitBounce(
  server: SmtpServer,
  parts: BounceParts,
  deadline: Deadline,
): Promise<Bounced> {
  const { taken, top } = parts;
  const message = {
    mailFrom: "",
    recipients: [{ address: parseMailAddress(taken.record.mailFrom) }],
    top,
    content: oneChunk(bounceText(parts)),
  };
  const [reply] = await submitBySmtp(server, message, deadline);
  if (reply?.taken === true) return { text: reply.text };
  const text = `the bounce was refused: ${reply?.text ?? "no reply"}`;
  throw new MairustError("store_unavailable", `Cannot reject: ${text}`, { publicText: text });
}

async function* oneChunk(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}

/** The message, without its top. */
export function bounceText({ taken, hostname, now }: BounceParts): Buffer {
  const { record, message } = taken;
  const boundary = `mairust-${randomUUID()}`;
  const reason = oneLine(record.reason);
  const lines = [
    `Date: ${rfc5322Date(now)}`,
    `From: Mail Delivery System <MAILER-DAEMON@${hostname}>`,
    `To: <${oneLine(record.mailFrom)}>`,
    `Subject: ${encodeHeaderValue("Your message was not sent")}`,
    `Message-ID: <${randomUUID()}@${hostname}>`,
    "Auto-Submitted: auto-replied",
    "MIME-Version: 1.0",
    `Content-Type: multipart/report; report-type=delivery-status; boundary="${boundary}"`,
    "",
    `--${boundary}`,
    "Content-Type: text/plain; charset=utf-8",
    "Content-Transfer-Encoding: 8bit",
    "",
    "Your message was held for approval and has been rejected. It was not sent to:",
    "",
    ...record.recipients.map(({ address }) => `    ${oneLine(address.raw)}`),
    ...(reason === "" ? [] : ["", `Reason: ${reason}`]),
    "",
    `--${boundary}`,
    "Content-Type: message/delivery-status",
    "",
    ...statusLines(taken, hostname),
    "",
    `--${boundary}`,
    "Content-Type: text/rfc822-headers",
    "Content-Transfer-Encoding: 8bit",
    "",
  ];
  const end = `\r\n--${boundary}--\r\n`;
  return Buffer.concat([
    Buffer.from(`${lines.join("\r\n")}\r\n`, "utf8"),
    Buffer.from(message.header ?? new Uint8Array(0)),
    Buffer.from(end, "utf8"),
  ]);
}

/** RFC 3464 §2: fields of the message, then a group for each recipient. */
function statusLines({ record, message }: HoldTaken, hostname: string): readonly string[] {
  return [
    `Reporting-MTA: dns; ${hostname}`,
    `Arrival-Date: ${rfc5322Date(message.receivedAt)}`,
    ...record.recipients.flatMap(({ address, orcpt }) => [
      "",
      ...(orcpt === undefined ? [] : [`Original-Recipient: ${oneLine(orcpt)}`]),
      `Final-Recipient: rfc822; ${oneLine(address.raw)}`,
      "Action: failed",
      "Status: 5.7.1",
    ]),
  ];
}

function oneLine(text: string): string {
  return text.replace(/\p{Cc}/gu, " ");
}
