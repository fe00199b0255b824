/** Tells who sent mail by the outbox that it will not reach some of its recipients. Never about a mail of our own: that is no loop. */
import { parseMailAddress } from "../core/envelope.ts";
import type { OutgoingAttempt, OutgoingMail, RefusedRecipient } from "../core/ports/outbox.ts";
import { reportMail } from "./report-mail.ts";

export interface FailureNoticeParts {
  readonly hostname: string;
  readonly now: Date;
  /** Of the message, or its beginning. */
  readonly header: Uint8Array;
}

/** @returns undefined: nobody is told (RFC 3461 §4.1: NOTIFY without FAILURE; the null sender) */
export function failureNotice(
  { id, purpose, mailFrom, messageId, dsn, createdAt }: OutgoingAttempt,
  refused: readonly RefusedRecipient[],
  { hostname, now, header }: FailureNoticeParts,
): OutgoingMail | undefined {
  const told = refused.filter(({ notify }) => notify === undefined || notify.includes("FAILURE"));
  if (purpose !== "send" || mailFrom === "" || told.length === 0) return undefined;
  const bytes = reportMail({
    ...{ hostname, now, to: mailFrom, arrivedAt: createdAt, header, envid: dsn.envid },
    subject: "Your message was not sent",
    text: [
      "Your message could not be sent to:",
      "",
      ...told.flatMap(({ address, reply }) => [`    ${address.raw}`, `        ${reply}`]),
    ],
    recipients: told.map(({ address, orcpt, reply }) => ({
      ...{ recipient: address.raw, orcpt, action: "failed" as const, diagnostic: reply },
      status: /^5\d\d[ -](5\.\d{1,3}\.\d{1,3})\b/u.exec(reply)?.[1] ?? "5.0.0",
    })),
  });
  return {
    purpose: "dsn",
    mailFrom: "",
    recipients: [{ address: parseMailAddress(mailFrom), notify: ["NEVER"] }],
    content: { kind: "bytes", bytes },
    key: `dsn:failure:${id}`,
    ...(messageId === undefined ? {} : { messageId }),
  };
}
