/** The messages of the demonstration, as bytes, and what must become of each. Pure. */

/** What one message shows. */
export interface DemoMessage {
  readonly title: string;
  readonly from: string;
  /** Envelope recipients, as given to Postfix. */
  readonly to: readonly string[];
  /** Accounts that must have exactly one copy each. */
  readonly accounts: readonly string[];
  readonly messageId: string;
  /** With CRLF line ends: what a client must get back, byte for byte, behind the fields that the servers put in front. */
  readonly content: Buffer;
  /** Where the sample plugin must have filed it. */
  readonly mailbox: "INBOX" | "Invoices";
  readonly tags: readonly string[];
}

export const DOMAIN = "example.test";
export const TARO = `taro@${DOMAIN}`;
export const HANAKO = `hanako@${DOMAIN}`;
/** Aliases of {@link TARO} in Postfix. */
export const ALIASES: Readonly<Record<string, readonly string[]>> = {
  [`sales@${DOMAIN}`]: [TARO],
  [`support@${DOMAIN}`]: [TARO],
};
export const TEAM: readonly string[] = Array.from({ length: 10 }, (_, i) => `member${i + 1}@${DOMAIN}`);

const SENDER = "alice@sender.test";
const HELLO = ["hello"];
const INVOICE = ["hello", "invoice"];

interface Parts {
  readonly id: string;
  readonly headers: readonly string[];
  readonly body: readonly (string | Buffer)[];
}

const CRLF = Buffer.from("\r\n");

function build(run: string, { id, headers, body }: Parts): { messageId: string; content: Buffer } {
  const messageId = `<${id}.${run}@sender.test>`;
  const fields = [`Message-ID: ${messageId}`, "Date: Sat, 21 Nov 2026 09:00:00 +0900", ...headers, ""];
  const lines = [...fields, ...body].flatMap(line => [
    typeof line === "string" ? Buffer.from(line) : line,
    CRLF,
  ]);
  return { messageId, content: Buffer.concat(lines) };
}

/** `請求書を送ります` in ISO-2022-JP (RFC 1468): escapes to JIS X 0208 and back to ASCII. */
const JAPANESE_SUBJECT = Buffer.from("1b2442404135613d7124724177246a245e24391b2842", "hex");
/** `毎度ありがとうございます。` */
const JAPANESE_LINE = Buffer.from("1b24424b6845592422246a242c24482426243424362424245e243921231b2842", "hex");

function plain(run: string): DemoMessage {
  const built = build(run, {
    id: "plain",
    headers: [`From: Alice <${SENDER}>`, `To: ${TARO}`, "Subject: Lunch on Friday?"],
    body: [
      "Hello Taro,",
      "",
      "how about noon?",
      ".",
      "..a line with dots",
      "From here on nothing is escaped.",
      "",
      "Alice",
    ],
  });
  return {
    ...built,
    title: "a plain message",
    from: SENDER,
    to: [TARO],
    accounts: [TARO],
    mailbox: "INBOX",
    tags: HELLO,
  };
}

function japanese(run: string): DemoMessage {
  const built = build(run, {
    id: "japanese",
    headers: [
      `From: Alice <${SENDER}>`,
      `To: ${TARO}`,
      `Subject: =?ISO-2022-JP?B?${JAPANESE_SUBJECT.toString("base64")}?=`,
      "MIME-Version: 1.0",
      "Content-Type: text/plain; charset=ISO-2022-JP",
      "Content-Transfer-Encoding: 7bit",
    ],
    body: [JAPANESE_LINE, ""],
  });
  return {
    ...built,
    title: "a Japanese invoice in ISO-2022-JP",
    from: SENDER,
    to: [TARO],
    accounts: [TARO],
    mailbox: "Invoices",
    tags: INVOICE,
  };
}

function attachment(run: string): DemoMessage {
  const file = Buffer.from(Array.from({ length: 48_000 }, (_, i) => (i * 7 + (i >> 8)) & 0xff)).toString(
    "base64",
  );
  const built = build(run, {
    id: "attachment",
    headers: [
      `From: Alice <${SENDER}>`,
      `To: ${HANAKO}`,
      "Subject: Invoice 2026-11",
      "MIME-Version: 1.0",
      'Content-Type: multipart/mixed; boundary="=_demo"',
    ],
    body: [
      "--=_demo",
      "Content-Type: text/plain; charset=utf-8",
      "Content-Transfer-Encoding: 8bit",
      "",
      "The invoice is attached. Grüße!",
      "--=_demo",
      'Content-Type: application/pdf; name="invoice.pdf"',
      'Content-Disposition: attachment; filename="invoice.pdf"',
      "Content-Transfer-Encoding: base64",
      "",
      ...(file.match(/.{1,76}/gu) ?? []),
      "--=_demo--",
    ],
  });
  return {
    ...built,
    title: "an invoice with an attachment",
    from: SENDER,
    to: [HANAKO],
    accounts: [HANAKO],
    mailbox: "Invoices",
    tags: INVOICE,
  };
}

function twoAliases(run: string): DemoMessage {
  const to = Object.keys(ALIASES);
  const built = build(run, {
    id: "aliases",
    headers: [`From: Alice <${SENDER}>`, `To: ${to.join(", ")}`, "Subject: A question about your shop"],
    body: ["To both addresses, to be sure."],
  });
  return {
    ...built,
    title: "one message to two aliases of one mailbox",
    from: SENDER,
    to,
    accounts: [TARO],
    mailbox: "INBOX",
    tags: HELLO,
  };
}

function tenRecipients(run: string): DemoMessage {
  const built = build(run, {
    id: "team",
    headers: [`From: Alice <${SENDER}>`, "To: team:;", "Subject: News for the team"],
    body: ["One message, ten mailboxes."],
  });
  return {
    ...built,
    title: "one message to ten recipients",
    from: SENDER,
    to: TEAM,
    accounts: TEAM,
    mailbox: "INBOX",
    tags: HELLO,
  };
}

/** Refused by the sample plugin that looks for words; nobody gets it. */
export function refused(run: string): DemoMessage {
  const built = build(run, {
    id: "refused",
    headers: [`From: Alice <${SENDER}>`, `To: ${TARO}`, "Subject: Your casino bonus"],
    body: ["Take it before it is gone."],
  });
  return {
    ...built,
    title: "a message with a word that nobody wants",
    from: SENDER,
    to: [TARO],
    accounts: [],
    mailbox: "INBOX",
    tags: [],
  };
}

/** Held by the sample plugin that looks at the names of attachments, until somebody lets it go. */
export function held(run: string): DemoMessage {
  const built = build(run, {
    id: "held",
    headers: [
      `From: Alice <${SENDER}>`,
      `To: ${HANAKO}`,
      "Subject: The new version",
      "MIME-Version: 1.0",
      'Content-Type: multipart/mixed; boundary="=_demo"',
    ],
    body: [
      "--=_demo",
      "Content-Type: text/plain",
      "",
      "Start this, please.",
      "--=_demo",
      "Content-Type: application/octet-stream",
      'Content-Disposition: attachment; filename="setup.exe"',
      "Content-Transfer-Encoding: base64",
      "",
      "TVqQAAMAAAAEAAAA",
      "--=_demo--",
    ],
  });
  return {
    ...built,
    title: "a message with a program, held and released",
    from: SENDER,
    to: [HANAKO],
    accounts: [HANAKO],
    mailbox: "INBOX",
    tags: HELLO,
  };
}

/** Sent while the sidecar is down. */
export function whileDown(run: string): DemoMessage {
  const built = build(run, {
    id: "down",
    headers: [`From: Alice <${SENDER}>`, `To: ${TARO}, ${HANAKO}`, "Subject: Did the last invoice arrive?"],
    body: ["Sent while nobody listens."],
  });
  const to = [TARO, HANAKO];
  return {
    ...built,
    title: "a message that comes while the sidecar is dead",
    from: SENDER,
    to,
    accounts: to,
    mailbox: "Invoices",
    tags: INVOICE,
  };
}

/** @param run  unique per run: part of each Message-ID */
export function demoMessages(run: string): readonly DemoMessage[] {
  return [plain(run), japanese(run), attachment(run), twoAliases(run), tenRecipients(run)];
}
