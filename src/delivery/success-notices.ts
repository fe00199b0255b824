/**
 * Tells senders who asked for it that their mail was delivered (message path, step 7): a report by the outbox, with the null sender.
 * Queued before the MTA is answered, under a key of the delivery: a delivery that comes again finds it there.
 * Source: RFC 3461 §4.1 (NOTIFY), §5.2.2 (relayed), §6.2 (never about the null sender).
 */
import { parseMailAddress } from "../core/envelope.ts";
import type { Outbox } from "../core/ports/outbox.ts";
import type { SuccessNotice, SuccessNotices } from "../core/ports/success-notices.ts";
import { reportMail } from "./report-mail.ts";

export interface SuccessNoticeOptions {
  readonly outbox: Pick<Outbox, "queue">;
  readonly hostname: string;
  readonly now: () => Date;
}

const WORDS = {
  delivered: { subject: "Your message was delivered", text: "Your message was delivered to:" },
  relayed: {
    subject: "Your message was relayed",
    text: "Your message was given to a server that may not tell you of its delivery, for:",
  },
} as const;

export function createSuccessNotices({ outbox, hostname, now }: SuccessNoticeOptions): SuccessNotices {
  return {
    async tell(notice) {
      const asked = notice.recipients.filter(({ notify }) => notify?.includes("SUCCESS") === true);
      if (asked.length === 0 || notice.mailFrom === "") return;
      await outbox.queue({
        purpose: "dsn",
        mailFrom: "",
        recipients: [{ address: parseMailAddress(notice.mailFrom), notify: ["NEVER"] }],
        content: { kind: "bytes", bytes: textOf(notice, asked, hostname, now()) },
        key: `dsn:success:${notice.messageId}:${notice.account}`,
        messageId: notice.messageId,
      });
    },
  };
}

function textOf(
  { action, mailFrom, dsn, receivedAt, header }: SuccessNotice,
  asked: SuccessNotice["recipients"],
  hostname: string,
  now: Date,
): Buffer {
  const { subject, text } = WORDS[action];
  return reportMail({
    ...{ hostname, now, to: mailFrom, subject, arrivedAt: receivedAt, header, envid: dsn.envid },
    text: [text, "", ...asked.map(({ address }) => `    ${address.raw}`)],
    recipients: asked.map(({ address, orcpt }) => ({
      ...{ recipient: address.raw, orcpt, action },
      status: action === "delivered" ? "2.1.5" : "2.0.0",
    })),
  });
}
