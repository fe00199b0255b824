import assert from "node:assert/strict";
import { test } from "node:test";
import { simpleParser } from "mailparser";
import {
  type AppendPlan,
  changedHeader,
  MAX_EDITED_PART_BYTES,
  planAppend,
} from "../../../src/core/append-text.ts";
import { decodeText } from "../../../src/core/mime/charset.ts";
import { encodeText } from "../../../src/core/mime/encode-charset.ts";
import { packStructure, unpackStructure } from "../../../src/core/mime/packed.ts";
import { MessageScanner } from "../../../src/core/mime/scanner.ts";
import { encodeQuotedPrintable } from "../../../src/core/mime/transfer-encode.ts";
import { decodeTransfer } from "../../../src/core/permissions-transfer.ts";
import { partsOf } from "../../../src/core/permissions-walk.ts";
import { madeMail } from "../../lib/made-mail.ts";
import { TORTURE } from "../../lib/torture.ts";

const FOOTER = { plain: "FOOTER-plain", html: "<p>FOOTER-html</p>" };

const partsIn = (bytes: Uint8Array) => {
  const scanner = new MessageScanner();
  scanner.write(bytes);
  return unpackStructure(packStructure(scanner.end())).parts;
};

/** The message after the plan, as an MTA makes it. */
function edited(message: Buffer, plan: AppendPlan): Buffer {
  const end = partsIn(message)[0]?.bodyStart ?? 0;
  if (plan.body === undefined) return message;
  return Buffer.concat([changedHeader(message.subarray(0, end), plan.fields), ...plan.body]);
}

function append(text: string | Buffer, footer: Partial<typeof FOOTER> = FOOTER) {
  const message = typeof text === "string" ? Buffer.from(text, "latin1") : text;
  const plan = planAppend(message, [{ plain: "", html: "", ...footer }]);
  return { plan, after: edited(message, plan) };
}

const count = (text: string, what: string) => text.split(what).length - 1;
const plainMail = (head: string, body: string) => `From: a@b.test\r\nSubject: x\r\n${head}\r\n${body}`;
const PDF = Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 31) & 255)).toString("base64");
const pdfLines = PDF.replace(/.{76}/g, "$&\r\n");
const mixed = (text: string) =>
  plainMail(
    'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n',
    `preamble\r\n--b\r\n${text}\r\n--b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment\r\n\r\n${pdfLines}\r\n--b\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename=n.txt\r\n\r\nnotes\r\n--b--\r\nepilogue\r\n`,
  );
const alternative = (plain: string, html: string) =>
  `Content-Type: multipart/alternative; boundary=alt\r\n\r\n--alt\r\n${plain}\r\n--alt\r\n${html}\r\n--alt--`;

test("a plain mail gets the text at its end, and keeps every other octet", () => {
  const { plan, after } = append(plainMail("", "Hello.\r\n-- \r\nme\r\n"));
  assert.equal(after.toString("latin1"), plainMail("", "Hello.\r\n-- \r\nme\r\nFOOTER-plain\r\n"));
  assert.deepEqual(plan.fields, []);
  assert.deepEqual(plan.done, ["plain"]);
  assert.deepEqual(plan.skipped, [], "plain text needs no HTML");
  assert.deepEqual(append(plainMail("", "Hello."), { html: FOOTER.html }).plan.skipped, [
    { text: "html", why: "it has no text/html part" },
  ]);
  assert.equal(
    append(plainMail("", "no line end")).after.toString(),
    plainMail("", "no line end\r\nFOOTER-plain\r\n"),
  );
  assert.equal(append(plainMail("", "")).after.toString(), plainMail("", "FOOTER-plain\r\n"));
});

test("plain and HTML get each their text; attachments, even of the same types, stay as they are", async () => {
  const before = mixed(
    alternative(
      "Content-Type: text/plain; charset=utf-8\r\n\r\nplain",
      "Content-Type: text/html; charset=utf-8\r\n\r\n<html><BODY>html<!-- </body> --></BODY\r\n></html>\r\n",
    ),
  );
  const { plan, after } = append(before);
  const text = after.toString("latin1");
  assert.deepEqual(plan.done, ["plain", "html"]);
  assert.equal(
    text.replace("\r\nFOOTER-plain\r\n", "").replace("\r\n<p>FOOTER-html</p>\r\n", ""),
    before,
    "nothing else changed",
  );
  assert.match(text, /--><?\r\n<p>FOOTER-html<\/p>\r\n<\/BODY\r\n>/);
  const parsed = await simpleParser(after);
  assert.equal(count(parsed.text ?? "", "FOOTER-plain"), 1);
  assert.equal(count(parsed.html || "", "FOOTER-html"), 1);
  assert.deepEqual(
    parsed.attachments.map(one => one.content.toString("base64")),
    [PDF, Buffer.from("notes").toString("base64")],
  );
});

test("texts of several plugins come in order", () => {
  const message = Buffer.from(plainMail("", "Hello.\r\n"));
  const plan = planAppend(message, [
    { plain: "one\n", html: "" },
    { plain: "", html: "" },
    { plain: "two", html: "" },
  ]);
  assert.match(edited(message, plan).toString(), /\r\nHello\.\r\none\r\ntwo\r\n$/);
});

test("the transfer encoding of the part stays: base64 and quoted-printable", async () => {
  const body = "Gr\u00fc\u00dfe = 1\r\n--b is no delimiter here\r\n";
  for (const [encoding, encoded] of [
    ["base64", Buffer.from(body).toString("base64")],
    ["quoted-printable", encodeQuotedPrintable(Buffer.from(body)).toString()],
    ["Quoted-Printable", "Gr=C3=BC=C3=9Fe =3D 1=0D=0A=2D-b is no deli=  \r\nmiter here\r\n="],
    ["8bit", Buffer.from(body).toString("latin1")],
  ] as const) {
    const head = `Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: ${encoding}\r\n`;
    const { plan, after } = append(plainMail(head, encoded), { plain: "F\u00f6\u00f6ter" });
    assert.deepEqual([plan.done, plan.fields], [["plain"], []], encoding);
    assert.equal(
      (await simpleParser(after)).text,
      `${body.replaceAll("\r\n", "\n")}F\u00f6\u00f6ter\n`,
      encoding,
    );
  }
});

test("7bit becomes quoted-printable when the text is none; the root's header says so by an edit, a part's own in the body", async () => {
  const footer = { plain: "\u8ffd\u8a18" };
  const head =
    "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=UTF-8; format=flowed\r\nContent-Transfer-Encoding: 7bit\r\n";
  const root = append(plainMail(head, "Hello.\r\n"), footer);
  assert.deepEqual(root.plan.fields, [
    { name: "Content-Transfer-Encoding", index: 1, value: "quoted-printable" },
  ]);
  assert.equal((await simpleParser(root.after)).text?.trimEnd(), "Hello.\n\u8ffd\u8a18");
  const bare = append(plainMail("", "Hello.\r\n"), footer);
  assert.deepEqual(bare.plan.fields, [
    { name: "Content-Type", index: undefined, value: "text/plain; charset=utf-8" },
    { name: "Content-Transfer-Encoding", index: undefined, value: "quoted-printable" },
    { name: "MIME-Version", index: undefined, value: "1.0" },
  ]);
  assert.equal((await simpleParser(bare.after)).text, "Hello.\n\u8ffd\u8a18\n");
  const part = append(
    mixed('X-Odd: 1\r\nContent-Type: text/plain;\r\n\tcharset="us-ascii"; x=y\r\n\r\nHello.'),
    footer,
  );
  assert.deepEqual(part.plan.fields, []);
  const parsed = await simpleParser(part.after);
  assert.equal(parsed.text, "Hello.\n\u8ffd\u8a18\n");
  assert.match(
    part.after.toString("latin1"),
    /--b\r\nX-Odd: 1\r\nContent-Type: text\/plain;\r\n\tcharset=utf-8; x=y\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n/,
  );
  assert.equal(parsed.attachments[0]?.content.toString("base64"), PDF);
});

test("the part's charset is kept where it can hold the text, else the part is left alone", () => {
  const japanese = "\u672c\u30e1\u30fc\u30eb\u306f\u6a5f\u5bc6";
  const german = "Gr\u00fc\u00dfe";
  const cases: readonly [string, string, string, boolean][] = [
    ["iso-2022-jp", "\x1b$B$3\x1b(B\r\n", japanese, true],
    ["iso-2022-jp", "\x1b$B$3\r\n", japanese, false],
    ["Shift_JIS", "\x82\xb1\r\n", japanese, true],
    ["cp932", "\x82\xb1\r\n", japanese, true],
    ["euc-jp", "\xa4\xb3\r\n", japanese, true],
    ["iso-8859-1", "\xfc\r\n", german, true],
    ["iso-8859-15", "\xfc\r\n", `${german} 5 \u20ac`, true],
    ["windows-1252", "\xfc\r\n", `${german} 5 \u20ac`, true],
    ["iso-8859-1", "\xfc\r\n", japanese, false],
    ["koi8-r", "x\r\n", german, false],
    ["gb18030", "x\r\n", "\u4f60\u597d", true],
    ["utf-16", "x\r\n", "plain", false],
    ["utf-7", "x\r\n", "a+b", false],
    ["x-nobody-knows", "x\r\n", "plain", false],
    ["us-ascii", "\xfc mislabelled\r\n", german, false],
    ["us-ascii", "\xfc mislabelled\r\n", "plain", true],
  ];
  for (const [charset, body, text, isDone] of cases) {
    const eight = /[\x80-\xff]/.test(body) ? "8bit" : "7bit";
    const head = `Content-Type: text/plain; charset=${charset}\r\nContent-Transfer-Encoding: ${eight}\r\n`;
    const { plan, after } = append(plainMail(head, body), { plain: text });
    assert.equal(plan.done.length, isDone ? 1 : 0, `${charset} ${text} ${JSON.stringify(plan.skipped)}`);
    if (!isDone) {
      assert.equal(plan.body, undefined);
      continue;
    }
    const [root] = partsIn(after);
    assert.ok(root);
    const octets = decodeTransfer(after.subarray(root.bodyStart), root.encoding) ?? Buffer.alloc(0);
    assert.ok(decodeText(octets, root.charset).endsWith(`${text}\r\n`), charset);
  }
});

test("HTML names the characters that its charset has not", async () => {
  const html = "<p>\u672c \ud83d\ude00</p>";
  for (const charset of ["", "; charset=iso-8859-1", "; charset=utf-8"]) {
    const head = `Content-Type: text/html${charset}\r\nContent-Transfer-Encoding: 7bit\r\n`;
    const { plan, after } = append(plainMail(head, "<body>hi</body>"), { html });
    assert.deepEqual(plan.done, ["html"], charset);
    const shown = (await simpleParser(after)).html || "";
    assert.ok(shown.includes(html) || shown.includes("<p>&#26412; &#128512;</p>"), `${charset} ${shown}`);
    assert.ok(shown.trimEnd().endsWith("</body>"));
  }
});

test("a text that looks like a delimiter makes no part", () => {
  for (const plain of ["--b\nContent-Type: text/html\n\n<script>", "--b--", "x\n--b", "-- \nme"]) {
    const { plan, after } = append(mixed("Content-Type: text/plain\r\n\r\nHello."), { plain });
    assert.deepEqual(plan.done, ["plain"], plain);
    assert.equal(partsIn(after).length, 4);
    const [leaf] = partsOf("text", partsIn(after)).parts;
    assert.ok(leaf);
    const octets = decodeTransfer(after.subarray(leaf.bodyStart, leaf.bodyEnd), leaf.encoding);
    assert.ok(
      Buffer.from(octets ?? [])
        .toString()
        .endsWith(`${plain.replaceAll("\n", "\r\n")}\r\n`),
    );
  }
});

test("a long line does not go out as it is, and flowed text does not flow into it", () => {
  const { after } = append(plainMail("", "Hello.\r\n"), { plain: "y".repeat(4000) });
  assert.ok(
    after
      .toString()
      .split("\r\n")
      .every(line => line.length <= 998),
  );
  const flowed = "Content-Type: text/plain; format=Flowed\r\n";
  assert.match(
    append(plainMail(flowed, "Hello.\r\n"), {
      plain: "one  \n>two\n From here\nFrom there\n-- ",
    }).after.toString(),
    /\r\none\r\n >two\r\n {2}From here\r\n From there\r\n-- \r\n$/,
  );
});

test("signed and encrypted mail is left alone, whatever it is called", () => {
  const signed =
    'Content-Type: multipart/signed; boundary=s; protocol="application/pgp-signature"\r\n\r\n--s\r\nContent-Type: text/plain\r\n\r\nsigned\r\n--s\r\nContent-Type: application/pgp-signature\r\n\r\nsig\r\n--s--';
  const mails = {
    signed: plainMail(`${signed.split("\r\n\r\n")[0]}\r\n`, signed.slice(signed.indexOf("\r\n\r\n") + 4)),
    "signed within": mixed(signed),
    encrypted: plainMail(
      "Content-Type: multipart/encrypted; boundary=s\r\n",
      "--s\r\nContent-Type: text/plain\r\n\r\nx\r\n--s--\r\n",
    ),
    "broken signed": plainMail("Content-Type: multipart/signed\r\n", "text\r\n"),
    "S/MIME": plainMail("Content-Type: application/pkcs7-mime; smime-type=signed-data\r\n", "MIIB\r\n"),
    "S/MIME within": mixed("Content-Type: application/x-pkcs7-mime\r\n\r\nMIIB"),
    "inline PGP": plainMail("", "-----BEGIN PGP SIGNED MESSAGE-----\r\n\r\nHello\r\n"),
    "inline PGP, encoded": plainMail(
      "Content-Transfer-Encoding: base64\r\n",
      Buffer.from("x\r\n-----BEGIN PGP MESSAGE-----\r\n").toString("base64"),
    ),
  };
  for (const [name, mail] of Object.entries(mails)) {
    const { plan, after } = append(mail);
    assert.equal(after.toString("latin1"), mail, name);
    assert.match(JSON.stringify(plan.skipped), /signed or encrypted|inline PGP/, name);
    assert.deepEqual(plan.fields, []);
  }
});

test("an attached message is an attachment: nothing is put into it, and what signs it signs nothing else", () => {
  const inner =
    "Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\nContent-Type: text/plain\r\n\r\ninner\r\n--s--\r\n";
  const forwarded = `Content-Type: message/rfc822\r\n\r\n${inner}`;
  const { after } = append(mixed(`Content-Type: text/plain\r\n\r\nHello.\r\n--b\r\n${forwarded}`));
  assert.ok(after.includes(`\r\nHello.\r\nFOOTER-plain\r\n\r\n--b\r\n${forwarded}`), after.toString());
  const alone = plainMail(`Content-Type: message/rfc822\r\n`, "Subject: inner\r\n\r\ninner\r\n");
  assert.equal(append(alone).after.toString(), alone);
});

test("a part over the limit, with a checksum, or broken is left alone", () => {
  const large = plainMail("", "x\r\n".repeat(MAX_EDITED_PART_BYTES / 3 + 1));
  const mails: readonly [string, RegExp][] = [
    [large, /too large/],
    [plainMail("Content-MD5: AAAA\r\n", "x\r\n"), /checksum/],
    [plainMail("Content-Transfer-Encoding: base64\r\n", "QUJD!!!!\r\n"), /encoding/],
    [plainMail("Content-Transfer-Encoding: quoted-printable\r\n", "100=%\r\n"), /encoding/],
    [plainMail("Content-Transfer-Encoding: x-uuencode\r\n", "begin\r\n"), /no text\/plain/],
    ["Subject: no end of the header\r\n", /no end|no text/],
  ];
  for (const [mail, why] of mails) {
    const { plan, after } = append(mail);
    assert.equal(after.toString("latin1") === mail, true, String(why));
    assert.match(plan.skipped[0]?.why ?? "", why);
  }
  const twice =
    "Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: 7bit\r\nContent-Type: text/plain; charset=utf-8\r\n";
  assert.match(append(plainMail(twice, "x\r\n"), { plain: "\u00fc" }).plan.skipped[0]?.why ?? "", /header/);
});

test("whatever the mail is: its parts stay, those without the text octet for octet, and the text is there once", () => {
  let done = 0;
  const mails = [...madeMail(400), ...TORTURE.filter(({ bytes }) => bytes.length < 1_000_000)];
  for (const { name, bytes } of mails) {
    const message = Buffer.from(bytes);
    const before = partsIn(message);
    for (const footer of [
      FOOTER,
      { plain: "FOOTER-plain \u8ffd\u8a18", html: "<p>FOOTER-html \u8ffd</p>" },
    ]) {
      const { plan, after } = append(message, footer);
      const parts = partsIn(after);
      done += plan.done.length;
      assert.deepEqual(
        parts.map(({ path, mediaType }) => [path, mediaType]),
        before.map(({ path, mediaType }) => [path, mediaType]),
        name,
      );
      const touched = new Set<number>();
      for (const kind of plan.done) {
        const text = partsOf("text", before).parts.find(({ mediaType }) => mediaType === `text/${kind}`);
        const at = text === undefined ? 0 : before.indexOf(text);
        touched.add(at);
        const part = parts[at];
        assert.ok(part);
        const octets = decodeTransfer(after.subarray(part.bodyStart, part.bodyEnd), part.encoding);
        assert.equal(count(Buffer.from(octets ?? []).toString("latin1"), `FOOTER-${kind}`), 1, name);
      }
      for (const [i, part] of before.entries()) {
        const now = parts[i];
        if (part.kind !== "leaf" || touched.has(i) || now === undefined) continue;
        const [was, is] = [
          message.subarray(part.headerStart, part.bodyEnd),
          after.subarray(now.headerStart, now.bodyEnd),
        ];
        if (i > 0) assert.ok(was.equals(is), `${name}: part ${part.path?.join(".")}`);
      }
      assert.ok(
        message
          .subarray(before[0]?.bodyStart)
          .subarray(0, plan.keptBytes)
          .equals(after.subarray(parts[0]?.bodyStart).subarray(0, plan.keptBytes)),
        `${name}: what is said to stay`,
      );
    }
  }
  assert.ok(done > 100, `${done}`);
});

test("what encodeText gives reads the same again", () => {
  for (const charset of [
    "utf-8",
    "iso-2022-jp",
    "shift_jis",
    "euc-jp",
    "gbk",
    "big5",
    "euc-kr",
    "koi8-r",
    "latin1",
  ]) {
    for (const text of [
      "abc\r\n",
      "\u3042\u3044",
      "\uff71",
      "\ud55c\uad6d",
      "\u4e2d",
      "\u0416",
      "\u00e9",
      "\ud83d\ude00",
    ]) {
      const octets = encodeText(text, charset);
      if (octets !== undefined) assert.equal(decodeText(octets, charset), text, charset);
    }
    assert.notEqual(encodeText("abc", charset), undefined);
  }
  assert.equal(encodeText("abc", "nobody-knows"), undefined);
});
