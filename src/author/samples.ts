/** Messages to try a plugin with, written for this: addresses of RFC 2606, nobody's mail. Lines end in CRLF. */
import type { SampleInfo } from "../wire/author-calls.ts";

export interface Sample extends SampleInfo {
  readonly mailFrom: string;
  readonly recipients: readonly string[];
  readonly bytes: Buffer;
}

const base64 = (text: string | Uint8Array) =>
  Buffer.from(text).toString("base64").replace(/.{76}/gu, "$&\r\n");
const word = (text: string) => `=?UTF-8?B?${Buffer.from(text).toString("base64")}?=`;

/** ISO-2022-JP (RFC 1468), as a Japanese mailer would write it. */
const JIS = {
  /** 打ち合わせの件 */
  subject: "=?ISO-2022-JP?B?GyRCQkckQTlnJG8kOyRON28bKEI=?=",
  /** 佐藤 */
  name: "=?ISO-2022-JP?B?GyRCOjRGIxsoQg==?=",
  /** 明日の打ち合わせは十時からです。 / よろしくお願いします。 */
  text: ["\u001b$BL@F|$NBG$A9g$o$;$O==;~$+$i$G$9!#\u001b(B", "\u001b$B$h$m$7$/$*4j$$$7$^$9!#\u001b(B"],
} as const;

function sample(
  name: string,
  description: string,
  subject: string,
  lines: readonly string[],
  more: { readonly from?: string; readonly to?: string; readonly fields?: readonly string[] } = {},
): Sample {
  const { from = "Hanako <hanako@example.org>", to = "taro@example.com", fields = [] } = more;
  const header = [
    "Received: from mail.example.org (mail.example.org [192.0.2.25]) by mx.example.com with ESMTPS id SAMPLE0001;",
    " Sat, 21 Nov 2026 09:00:00 +0900",
    `From: ${from}`,
    `To: ${to}`,
    `Subject: ${subject}`,
    "Date: Sat, 21 Nov 2026 09:00:00 +0900",
    `Message-ID: <sample-${name}@example.org>`,
    ...fields,
    "MIME-Version: 1.0",
  ];
  const [mailFrom = ""] = /[^<\s]+@[^>\s]+/u.exec(from) ?? [];
  const bytes = Buffer.from(`${[...header, ...lines].join("\r\n")}\r\n`, "latin1");
  return { name, description, mailFrom, recipients: [to], bytes };
}

/** A PDF in name and first bytes alone. */
const PDF = `%PDF-1.4\n${"% no content\n".repeat(20)}`;
const text = (charset: string, encoding = "7bit") => [
  `Content-Type: text/plain; charset=${charset}`,
  `Content-Transfer-Encoding: ${encoding}`,
  "",
];
const NEWSLETTER = [
  "List-Unsubscribe: <https://news.example.org/leave>, <mailto:leave@news.example.org>",
  "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
  "List-Id: <weekly.news.example.org>",
  "Precedence: bulk",
];
const file = (name: string, type: string, content: string) => [
  `Content-Type: ${type}; name="${name}"`,
  `Content-Disposition: attachment; filename="${name}"`,
  "Content-Transfer-Encoding: base64",
  "",
  base64(content),
];

export const SAMPLES: readonly Sample[] = [
  sample("plain", "a few lines of plain text", "Lunch on Friday?", [
    ...text("us-ascii"),
    "Hi Taro,",
    "",
    "shall we have lunch on Friday, at noon?",
    "",
    "Hanako",
  ]),
  sample("html", "HTML alone, without a plain text", "Your order has been shipped", [
    "Content-Type: text/html; charset=UTF-8",
    "Content-Transfer-Encoding: 7bit",
    "",
    "<!DOCTYPE html><html><head><title>Order</title></head><body>",
    "<h1>Thank you!</h1><p>Your order <b>4711</b> has been shipped.</p>",
    '<p><a href="https://shop.example.org/track/4711">Where is it?</a></p>',
    "</body></html>",
  ]),
  sample(
    "japanese",
    "Japanese in ISO-2022-JP, as many mailers there still send it",
    JIS.subject,
    [...text("ISO-2022-JP"), ...JIS.text],
    { from: `${JIS.name} <sato@example.org>` },
  ),
  sample("attachment", "text with a PDF attached", "The report", [
    'Content-Type: multipart/mixed; boundary="outer"',
    "",
    "--outer",
    ...text("us-ascii"),
    "Please find the report attached.",
    "--outer",
    ...file("report.pdf", "application/pdf", PDF),
    "--outer--",
  ]),
  sample(
    "invoice",
    "an invoice, Japanese and English, with a table attached",
    `${word("請求書")} invoice 2026-11`,
    [
      'Content-Type: multipart/mixed; boundary="outer"',
      "",
      "--outer",
      ...text("UTF-8", "base64"),
      base64(
        "請求書をお送りします。\r\nPlease find the invoice attached.\r\nTotal: 12,000 JPY, due 2026-12-31\r\n",
      ),
      "--outer",
      ...file("invoice.csv", "text/csv", "item,amount\r\nmail,12000\r\n"),
      "--outer--",
    ],
  ),
  sample(
    "newsletter",
    "a newsletter with plain text and HTML, and a way to unsubscribe",
    "This week: ten things about mail",
    [
      'Content-Type: multipart/alternative; boundary="both"',
      "",
      "--both",
      ...text("us-ascii"),
      "Ten things about mail. Read on: https://news.example.org/10",
      "",
      "Unsubscribe: https://news.example.org/leave",
      "--both",
      "Content-Type: text/html; charset=us-ascii",
      "",
      '<p>Ten things about mail. <a href="https://news.example.org/10">Read on</a></p>',
      '<p><a href="https://news.example.org/leave">Unsubscribe</a></p>',
      "--both--",
    ],
    { from: "Weekly News <weekly@news.example.org>", fields: NEWSLETTER },
  ),
  sample(
    "phishing",
    "a letter that wants a password, with a link that is not what it says",
    "Urgent: your mailbox will be closed",
    [
      "Content-Type: text/html; charset=us-ascii",
      "",
      "<p>Dear user, your mailbox is full and will be closed today.</p>",
      '<p>Confirm your password: <a href="http://mail-login.invalid/">https://mail.example.com</a></p>',
    ],
    { from: "IT Support <support@mail-login.invalid>" },
  ),
  sample("secrets", "what should not leave: a card number of the test range, a key", "The access data", [
    ...text("us-ascii"),
    "Card: 4111 1111 1111 1111, 12/29",
    "Key: AKIAIOSFODNN7EXAMPLE",
  ]),
  sample("empty", "no subject, no text", "", [...text("us-ascii")]),
];

export function findSample(name: string): Sample | undefined {
  return SAMPLES.find(one => one.name === name);
}
