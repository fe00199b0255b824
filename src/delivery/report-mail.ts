/**
 * Mail of our own about the fate of other mail: a delivery status notification in three parts with the null sender. Pure, but for the
 * random parts of its boundary and id.
 * Sources: RFC 3464, RFC 6522, RFC 3461 §6 (what is told, to whom), RFC 3834 §3.1.7 (Auto-Submitted).
 */
import { randomUUID } from "node:crypto";
import { MAX_OWN_MAIL_BYTES } from "../core/ports/outbox.ts";
import { encodeHeaderValue, rfc5322Date } from "./prefix.ts";

/** Octets of the message's header that go with it. */
const MAX_HEADER_BYTES = MAX_OWN_MAIL_BYTES / 16;
/** Recipients of one report: as many as a mail of the outbox has, and few enough for {@link MAX_OWN_MAIL_BYTES}. */
const MAX_RECIPIENTS = 500;
/** Characters of one line of text: addresses and replies come from others. */
const MAX_LINE = 400;

export interface ReportedRecipient {
  readonly recipient: string;
  /** RFC 3461 ORCPT, decoded: `rfc822;user@host`. */
  readonly orcpt?: string | undefined;
  /** RFC 3464 §2.3.3. */
  readonly action: "delivered" | "relayed" | "failed";
  /** RFC 3463. */
  readonly status: string;
  /** What the other server said, when one did. */
  readonly diagnostic?: string | undefined;
}

export interface Report {
  readonly hostname: string;
  readonly now: Date;
  /** Whose message it was, and who gets this. */
  readonly to: string;
  readonly subject: string;
  /** Lines of text for people. */
  readonly text: readonly string[];
  /** RFC 3461 ENVID. */
  readonly envid?: string | undefined;
  readonly arrivedAt: Date;
  readonly recipients: readonly ReportedRecipient[];
  /** Root header block of the message, or its beginning. */
  readonly header: Uint8Array;
}

/** @returns at most {@link MAX_OWN_MAIL_BYTES}, lines end with CRLF */
export function reportMail(report: Report): Buffer {
  const text = report.text.map(line => oneLine(line).slice(0, MAX_LINE));
  return multipartReport(report, text, statusLines(report), wholeLines(report.header));
}

/**
 * RFC 6522: text for people, the status for programs, the header of the message.
 * @param text    lines without control characters
 * @param status  fields of RFC 3464 §2, groups with an empty line between them
 * @returns       lines end with CRLF
 */
export function multipartReport(
  { hostname, now, to, subject }: Pick<Report, "hostname" | "now" | "to" | "subject">,
  text: readonly string[],
  status: readonly string[],
  header: Uint8Array,
): Buffer {
  const boundary = `mairust-${randomUUID()}`;
  const lines = [
    `Date: ${rfc5322Date(now)}`,
    `From: Mail Delivery System <MAILER-DAEMON@${hostname}>`,
    `To: <${oneLine(to)}>`,
    `Subject: ${encodeHeaderValue(subject)}`,
    `Message-ID: <${randomUUID()}@${hostname}>`,
    "Auto-Submitted: auto-replied",
    "MIME-Version: 1.0",
    `Content-Type: multipart/report; report-type=delivery-status; boundary="${boundary}"`,
    "",
    `--${boundary}`,
    "Content-Type: text/plain; charset=utf-8",
    "Content-Transfer-Encoding: 8bit",
    "",
    ...text,
    "",
    `--${boundary}`,
    "Content-Type: message/delivery-status",
    "",
    ...status,
    "",
    `--${boundary}`,
    "Content-Type: text/rfc822-headers",
    "Content-Transfer-Encoding: 8bit",
    "",
    "",
  ];
  return Buffer.concat([
    Buffer.from(lines.join("\r\n"), "utf8"),
    header,
    Buffer.from(`\r\n--${boundary}--\r\n`, "utf8"),
  ]);
}

/** RFC 3464 §2: fields of the message, then a group for each recipient. */
function statusLines({ hostname, envid, arrivedAt, recipients }: Report): readonly string[] {
  return [
    `Reporting-MTA: dns; ${hostname}`,
    ...(envid === undefined ? [] : [`Original-Envelope-Id: ${oneLine(envid).slice(0, 200)}`]),
    `Arrival-Date: ${rfc5322Date(arrivedAt)}`,
    ...recipients
      .slice(0, MAX_RECIPIENTS)
      .flatMap(({ recipient, orcpt, action, status, diagnostic }) => [
        "",
        ...(orcpt === undefined ? [] : [`Original-Recipient: ${oneLine(orcpt).replace(";", "; ")}`]),
        `Final-Recipient: rfc822; ${oneLine(recipient)}`,
        `Action: ${action}`,
        `Status: ${status}`,
        ...(diagnostic === undefined ? [] : [`Diagnostic-Code: smtp; ${oneLine(diagnostic).slice(0, 200)}`]),
      ]),
  ];
}

function wholeLines(header: Uint8Array): Buffer {
  const bytes = Buffer.from(header);
  if (bytes.length <= MAX_HEADER_BYTES) return bytes;
  const end = bytes.lastIndexOf(0x0a, MAX_HEADER_BYTES - 1);
  return bytes.subarray(0, end + 1);
}

/** Without control characters: addresses and replies come from others. */
export function oneLine(text: string): string {
  return text.replace(/\p{Cc}/gu, " ");
}
