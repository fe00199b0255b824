/**
 * Tells the sender of outbound mail that it will not be sent: a delivery status notification with the null sender (RFC 3464, RFC 6522),
 * by SMTP to the MTA. Only for mail of our own users: their sender address is known to be theirs.
 */
import type { Deadline } from "../core/deadline.ts";
import { parseMailAddress } from "../core/envelope.ts";
import { MairustError } from "../core/errors.ts";
import type { HoldTaken } from "../core/ports/hold-admin.ts";
import { rfc5322Date } from "./prefix.ts";
import { multipartReport, oneLine } from "./report-mail.ts";
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
  const reason = oneLine(record.reason);
  const text = [
    "Your message was held for approval and has been rejected. It was not sent to:",
    "",
    ...record.recipients.map(({ address }) => `    ${oneLine(address.raw)}`),
    ...(reason === "" ? [] : ["", `Reason: ${reason}`]),
  ];
  const to = { hostname, now, to: record.mailFrom, subject: "Your message was not sent" };
  return multipartReport(to, text, statusLines(taken, hostname), message.header ?? new Uint8Array(0));
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
