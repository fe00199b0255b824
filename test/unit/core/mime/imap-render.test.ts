import assert from "node:assert/strict";
import { test } from "node:test";
import { renderBody, renderEnvelope } from "../../../../src/core/mime/imap-render.ts";
import { imapNstring, imapString } from "../../../../src/core/mime/imap-string.ts";
import { ENVELOPE_ADDRESSES_MAX } from "../../../../src/core/mime/limits.ts";
import { message, octets, scan } from "./support.ts";

function bodyStructure(bytes: Uint8Array): string {
  return renderBody(scan(bytes).root, true);
}

function envelope(...lines: string[]): string {
  return renderEnvelope(scan(message(...lines, "")).envelope);
}

test("a simple message has the BODYSTRUCTURE worked out by hand", () => {
  const bytes = message(
    "Subject: s",
    "Content-Type: text/plain; charset=UTF-8 (a comment); format=flowed",
    "Content-Transfer-Encoding: 8bit",
    "Content-ID: <id@x>",
    "Content-Language: en, ja",
    "Content-MD5: Q2hlY2s=",
    "Content-Location: http://x/",
    "",
    "one",
    "two",
  );
  assert.equal(
    bodyStructure(bytes),
    '("text" "plain" ("charset" "UTF-8" "format" "flowed") "<id@x>" NIL "8bit" 10 2 "Q2hlY2s=" NIL ("en" "ja") "http://x/")',
  );
  assert.equal(
    renderBody(scan(bytes).root, false),
    '("text" "plain" ("charset" "UTF-8" "format" "flowed") "<id@x>" NIL "8bit" 10 2)',
  );
});

test("an alternative with an attachment has the BODYSTRUCTURE worked out by hand", () => {
  const bytes = message(
    'Content-Type: multipart/mixed; boundary="=_o"',
    "",
    "--=_o",
    "Content-Type: multipart/alternative; boundary=i",
    "",
    "--i",
    "Content-Type: text/plain",
    "",
    "a",
    "--i",
    "Content-Type: text/html; charset=us-ascii",
    "Content-Transfer-Encoding: quoted-printable",
    "",
    "<p>a",
    "</p>",
    "--i--",
    "--=_o",
    'Content-Type: application/pdf; name="a \\"b\\".pdf"',
    "Content-Transfer-Encoding: base64",
    "Content-Language: ja",
    "Content-Disposition: attachment; filename=a.pdf; size=4",
    "Content-Description: the paper",
    "",
    "JVBERg==",
    "--=_o--",
  );
  assert.equal(
    bodyStructure(bytes),
    '((("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 1 0 NIL NIL NIL NIL)' +
      '("text" "html" ("charset" "us-ascii") NIL NIL "quoted-printable" 10 1 NIL NIL NIL NIL)' +
      ' "alternative" ("boundary" "i") NIL NIL NIL)' +
      '("application" "pdf" ("name" "a \\"b\\".pdf") NIL "the paper" "base64" 8 NIL' +
      ' ("attachment" ("filename" "a.pdf" "size" "4")) ("ja") NIL)' +
      ' "mixed" ("boundary" "=_o") NIL NIL NIL)',
  );
});

test("a nested message has its own ENVELOPE, body and lines", () => {
  const bytes = message(
    "Content-Type: message/rfc822",
    "",
    "Date: Mon, 1 Jan 2024 00:00:00 +0000",
    "From: A <a@b>",
    "Message-ID: <m@x>",
    "Content-Type: image/png",
    "",
    "x",
  );
  assert.equal(
    bodyStructure(bytes),
    '("message" "rfc822" NIL NIL NIL "7bit" 102 ("Mon, 1 Jan 2024 00:00:00 +0000" NIL' +
      ' (("A" NIL "a" "b")) (("A" NIL "a" "b")) (("A" NIL "a" "b")) NIL NIL NIL NIL "<m@x>")' +
      ' ("image" "png" NIL NIL NIL "7bit" 3 NIL NIL NIL NIL) 6 NIL NIL NIL NIL)',
  );
});

test("Japanese text keeps its raw octets: encoded words quoted, escapes and 8-bit as literals", () => {
  const bytes = message(
    'Content-Type: text/plain; charset=ISO-2022-JP; name="=?ISO-2022-JP?B?GyRCJCIbKEI=?="',
    'Content-Description: \x1b$B$"\x1b(B',
    'Content-Disposition: attachment; filename="\x82\xa0.txt"',
    "",
    '\x1b$B$"\x1b(B',
  );
  assert.equal(
    bodyStructure(bytes),
    '("text" "plain" ("charset" "ISO-2022-JP" "name" "=?ISO-2022-JP?B?GyRCJCIbKEI=?=") NIL' +
      ' {8}\r\n\x1b$B$"\x1b(B "7bit" 10 1 NIL ("attachment" ("filename" {6}\r\n\x82\xa0.txt)) NIL NIL)',
  );
});

test("an RFC 2231 file name in pieces is joined and keeps its charset", () => {
  const bytes = message(
    "Content-Type: application/x; name*=utf-8'ja'%E3%81%82",
    "Content-Disposition: attachment; filename*1*=%E6%9C%AC; filename*0*=utf-8''%E6%97%A5;",
    ' filename*2=" .pdf"; plain*0="a b"; plain*1=c',
    "",
  );
  assert.equal(
    bodyStructure(bytes),
    '("application" "x" ("name*" "utf-8\'ja\'%E3%81%82") NIL NIL "7bit" 0 NIL' +
      ' ("attachment" ("filename*" "utf-8\'\'%E6%97%A5%E6%9C%AC%20.pdf" "plain" "a bc")) NIL NIL)',
  );
});

test("ENVELOPE has the addresses of groups, routes, comments and broken fields", () => {
  assert.equal(
    envelope(
      "Date: d",
      "Subject: =?utf-8?Q?a?=",
      '\tb "c"',
      "From: a@b (Old Style)",
      "Sender:",
      'Reply-To: "R, r" <@x,@y:r@z>',
      'To: Team: one@x, "Two" <two@y>;, undisclosed, Lost Name',
      "Cc: Empty:;",
      "In-Reply-To:",
    ),
    '("d" "=?utf-8?Q?a?=\tb \\"c\\"" (("Old Style" NIL "a" "b")) (("Old Style" NIL "a" "b")) (("R, r" "@x,@y" "r" "z"))' +
      ' ((NIL NIL "Team" NIL)(NIL NIL "one" "x")("Two" NIL "two" "y")(NIL NIL NIL NIL)' +
      '(NIL NIL "undisclosed" "MISSING_DOMAIN")("Lost Name" NIL "MISSING_MAILBOX" "MISSING_DOMAIN"))' +
      ' ((NIL NIL "Empty" NIL)(NIL NIL NIL NIL)) NIL "" NIL)',
  );
  assert.equal(envelope("X: y"), "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)");
});

test("ENVELOPE holds no more addresses than its limit", () => {
  const many = envelope(`To: ${"a@b,".repeat(ENVELOPE_ADDRESSES_MAX + 500)}`);
  assert.equal(many.split('"a" "b"').length - 1, ENVELOPE_ADDRESSES_MAX);
});

test("message/global has the basic form that RFC 3501 clients read", () => {
  assert.equal(
    bodyStructure(octets("Content-Type: message/global\r\n\r\nSubject: x\r\n\r\ny")),
    '("message" "global" NIL NIL NIL "7bit" 15 NIL NIL NIL NIL)',
  );
});

test("imapString() quotes what may be quoted and sends the rest as a literal without NUL or line breaks", () => {
  assert.equal(imapString('a"b\\c'), '"a\\"b\\\\c"');
  assert.equal(imapString(""), '""');
  assert.equal(imapString("\xe9\0"), "{2}\r\n\xe9\x80");
  assert.equal(imapString("a\rb"), '"a b"');
  assert.equal(imapString("x".repeat(1001)), `{1001}\r\n${"x".repeat(1001)}`);
  assert.equal(imapNstring(undefined), "NIL");
});
