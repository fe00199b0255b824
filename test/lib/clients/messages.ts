/** What the mailboxes of the client tests hold: small generated mail in any number, with flags and dates that differ. */

/** Flags and keywords by turns; `\Deleted` is left out, several clients pass over such messages. */
const FLAG_TURNS: readonly (readonly string[])[] = [
  [],
  ["\\Seen"],
  ["\\Seen", "\\Answered"],
  ["\\Flagged"],
  ["\\Draft"],
  ["\\Seen", "\\Flagged", "project-a"],
  ["$Forwarded"],
];
/** 2019-03-31T00:30:00Z: half an hour before clocks change in Europe. */
const FIRST_DATE_MS = Date.UTC(2019, 2, 31, 0, 30);
const STEP_MS = 37 * 61_000;

/** What one message in a mailbox must look like, from any client. */
export interface StoredMessage {
  readonly name: string;
  readonly bytes: Buffer;
  readonly uid: number;
  readonly flags: readonly string[];
  /** INTERNALDATE; whole seconds. Undefined: the moment of delivery. */
  readonly date: Date | undefined;
}

export function flagsOf(i: number): readonly string[] {
  return FLAG_TURNS[i % FLAG_TURNS.length] ?? [];
}

export function dateOf(i: number): Date {
  return new Date(FIRST_DATE_MS + i * STEP_MS);
}

/** The i-th generated message: plain text, 8-bit text, Japanese headers, or an attachment, 0.4 to 3 KB. */
export function generated(i: number): Buffer {
  const subject = i % 5 === 0 ? `=?ISO-2022-JP?B?GyRCJUYlOSVIGyhC?= ${i}` : `message ${i} of many`;
  const head = [
    `Return-Path: <sender${i % 97}@example.org>`,
    `From: Sender ${i % 97} <sender${i % 97}@example.org>`,
    "To: many@example.test",
    `Subject: ${subject}`,
    `Date: ${dateOf(i).toUTCString().replace("GMT", "+0000")}`,
    `Message-ID: <${i}.many@example.org>`,
    ...(i % 3 === 0 ? [`References: <${i - 3}.many@example.org>\r\n\t<${i - 1}.many@example.org>`] : []),
    "MIME-Version: 1.0",
  ].join("\r\n");
  const text = `Line one of message ${i}.\r\n.a line that begins with a dot\r\nFrom the start of a line\r\n`;
  if (i % 10 === 7) return Buffer.from(`${head}\r\n${attachment(i, text)}`);
  const body = text + `${i}: Grüße, 日本語の本文 ${"x".repeat(i % 53)}\r\n`.repeat(1 + (i % 23));
  return Buffer.from(
    `${head}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n${body}`,
  );
}

function attachment(i: number, text: string): string {
  const part = (type: string, body: string) => `--b${i}\r\nContent-Type: ${type}\r\n${body}`;
  return [
    `Content-Type: multipart/mixed; boundary="b${i}"\r\n\r\nA preamble.\r\n`,
    part("text/plain; charset=us-ascii", `\r\n${text}\r\n`),
    part(
      `application/octet-stream; name="${i}.bin"`,
      `Content-Transfer-Encoding: base64\r\n\r\n${Buffer.alloc(300, i % 256)
        .toString("base64")
        .replace(/.{76}/gu, "$&\r\n")}\r\n`,
    ),
    `--b${i}--\r\n`,
  ].join("");
}
