/**
 * The mailbox that shared dialogs (`test/dialogs/imap-shared`) talk about, the same at every server: a thread, a form of each kind
 * that IMAP takes apart, and Japanese. UIDs are 1 to 7; what is delivered later is {@link LATER}.
 */

export interface DialogMail {
  /** CRLF; one character per octet. */
  readonly text: string;
  readonly flags: readonly string[];
  readonly date: Date;
}

const HOUR_MS = 3_600_000;
const FIRST_MS = Date.UTC(2026, 0, 10, 8, 0, 0);

function mail(hours: number, flags: string, lines: readonly string[]): DialogMail {
  return {
    text: `${lines.join("\r\n")}\r\n`,
    flags: flags === "" ? [] : flags.split(" "),
    date: new Date(FIRST_MS + hours * HOUR_MS),
  };
}

export const DIALOG_MAIL: readonly DialogMail[] = [
  mail(0, "\\Seen", [
    "From: Ann <ann@a.test>",
    "To: bob@b.test",
    "Subject: lunch",
    "Date: Fri, 09 Jan 2026 10:00:00 +0000",
    "Message-ID: <1@a.test>",
    "",
    "Shall we eat?",
  ]),
  mail(1, "\\Answered \\Seen", [
    "From: Bob <bob@b.test>",
    "To: ann@a.test",
    "Cc: carol@c.test",
    "Subject: Re: lunch",
    "Date: Fri, 09 Jan 2026 11:00:00 +0000",
    "Message-ID: <2@b.test>",
    "In-Reply-To: <1@a.test>",
    "References: <1@a.test>",
    "",
    "Yes, apples.",
  ]),
  mail(2, "\\Flagged", [
    "From: Carol <carol@c.test>",
    "To: ann@a.test",
    "Subject: report",
    "Date: Thu, 08 Jan 2026 09:00:00 +0000",
    "Message-ID: <3@c.test>",
    "MIME-Version: 1.0",
    'Content-Type: multipart/mixed; boundary="b"',
    "",
    "preamble",
    "--b",
    "Content-Type: text/plain; charset=us-ascii",
    "",
    "see the file",
    "--b",
    "Content-Type: application/octet-stream; name=x.bin",
    "Content-Disposition: attachment; filename=x.bin",
    "Content-Transfer-Encoding: base64",
    "",
    "AAEC/w==",
    "--b--",
  ]),
  mail(3, "", [
    "From: =?UTF-8?B?5bGx55Sw?= <yamada@a.test>",
    "To: ann@a.test",
    "Subject: =?ISO-2022-JP?B?GyRCMnE1RBsoQg==?=",
    "Date: Sat, 10 Jan 2026 09:00:00 +0900",
    "Message-ID: <4@a.test>",
    "MIME-Version: 1.0",
    "Content-Type: text/plain; charset=utf-8",
    "Content-Transfer-Encoding: quoted-printable",
    "",
    "=E4=BC=9A=E8=AD=B0 at ten",
  ]),
  mail(4, "work", [
    "From: Dora <dora@d.test>",
    "To: ann@a.test",
    "Subject: Fwd: lunch",
    "Date: Sat, 10 Jan 2026 12:00:00 +0000",
    "Message-ID: <5@d.test>",
    "MIME-Version: 1.0",
    "Content-Type: message/rfc822",
    "",
    "From: Ann <ann@a.test>",
    "Subject: inner",
    "",
    "inner text",
  ]),
  mail(5, "\\Draft", ["Subject: no date", "Message-ID: <6@a.test>", "", "draft"]),
  mail(6, "\\Seen work", [
    "From: Ann <ann@a.test>",
    "To: bob@b.test",
    "Subject: apples",
    "Date: Sun, 11 Jan 2026 10:00:00 +0000",
    "Message-ID: <7@a.test>",
    "In-Reply-To: <2@b.test>",
    "References: <1@a.test> <2@b.test>",
    "",
    "a".repeat(300),
  ]),
];

/** What `other: deliver` brings; it gets the next UID. */
export const LATER: DialogMail = mail(24, "", ["From: Eve <eve@e.test>", "Subject: later", "", "later"]);
