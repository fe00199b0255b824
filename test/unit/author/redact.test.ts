import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { simpleParser } from "mailparser";
import { redactMessage } from "../../../src/author/redact/message.ts";
import { decodeTextNamed } from "../../../src/core/mime/charset.ts";
import { encodeText } from "../../../src/core/mime/encode-charset.ts";
import { decodeHeaderValue, headerFields } from "../../../src/core/mime/header.ts";
import { MessageScanner } from "../../../src/core/mime/scanner.ts";
import type { MimePart } from "../../../src/core/mime/structure.ts";
import { encodeBase64, encodeQuotedPrintable } from "../../../src/core/mime/transfer-encode.ts";
import { decodeTransfer } from "../../../src/core/permissions-transfer.ts";

const KEY = Buffer.alloc(32, 7);
const redacted = (source: string | Uint8Array, rule: "all" | "addresses" = "all") =>
  redactMessage(
    typeof source === "string" ? Buffer.from(source.replaceAll("\n", "\r\n")) : source,
    rule,
    KEY,
  );

function structureOf(bytes: Uint8Array): MimePart {
  const scanner = new MessageScanner();
  scanner.write(bytes);
  return scanner.end().root;
}

/** Types, charsets and encodings of all parts, as a tree. */
function shapeOf(part: MimePart): unknown {
  const { type, subtype, encoding, disposition, children, params } = part;
  const charset = params.find(({ name }) => name === "charset")?.value;
  return [type, subtype, encoding, charset, disposition?.type, children.map(shapeOf)];
}

/** All text of a message as a reader sees it: every header field and every leaf, decoded. */
function textOf(bytes: Uint8Array): string {
  const texts: string[] = [];
  const visit = (part: MimePart) => {
    for (const { value } of headerFields(bytes.subarray(part.headerStart, part.bodyStart)))
      texts.push(decodeHeaderValue(value), Buffer.from(value).toString("latin1"));
    part.children.forEach(visit);
    if (part.children.length > 0) return;
    const octets =
      decodeTransfer(bytes.subarray(part.bodyStart, part.bodyEnd), part.encoding) ?? new Uint8Array();
    const charset = part.params.find(({ name }) => name === "charset")?.value ?? "";
    texts.push(decodeTextNamed(octets, charset).text);
  };
  visit(structureOf(bytes));
  return texts.join("\n");
}

test("addresses, names, words, numbers and ids are replaced, the same by the same, and the shape stays", () => {
  const { bytes, addresses } = redacted(`From: Jane Doe <jane.doe@corp.example>
To: "Smith, Bob" <bob@corp.example>, jane.doe@corp.example
Subject: Contract 4711 for Jane
Message-ID: <secret-token-123@host.corp.example>
References: <secret-token-122@host.corp.example> <secret-token-123@host.corp.example>
Date: Fri, 20 Nov 2026 17:23:45 +0900
Received: from laptop.corp.example (laptop.corp.example [10.1.2.3])
 by mail.corp.example with ESMTPSA id ABCDEF; Fri, 20 Nov 2026 17:23:44 +0900
DKIM-Signature: v=1; a=rsa-sha256; d=corp.example; s=2026; h=from:to; bh=abc=; b=def=
Authentication-Results: mx.corp.example; spf=pass smtp.mailfrom=jane@corp.example; dkim=fail
X-Customer: Miller 99

Dear Bob, contract 4711 is signed. Contract!
See https://user:pass@intra.corp.example/contracts/4711?token=abcdef or mail jane.doe@corp.example.
-- Jane, +81 3-1234-5678, 10.1.2.3
`);
  const text = bytes.toString();
  for (const gone of [
    "jane",
    "doe",
    "corp",
    "Smith",
    "4711",
    "secret",
    "laptop",
    "10.1.2.3",
    "Miller",
    "Contract",
    "token",
    "pass@",
    "5678",
    "17:23",
  ])
    assert.ok(!text.toLowerCase().includes(gone.toLowerCase()), `${gone} is still there:\n${text}`);
  assert.match(text, /^From: \w{4} \w{3} <a1@d1\.example>\r$/mu);
  assert.match(text, /^To: "\w{5}, \w{3}" <a2@d1\.example>, a1@d1\.example\r$/mu);
  assert.match(text, /^Message-ID: <m1@d\.example>\r\nReferences: <m2@d\.example>\r\n <m1@d\.example>\r$/mu);
  assert.match(text, /^Date: Mon, 05 Jan 2026 12:00:00 \+0900\r$/mu);
  assert.match(text, /with ESMTPSA id R1; Mon, 05 Jan/u);
  assert.match(text, /^Authentication-Results: h\.example; spf=pass; dkim=fail\r$/mu);
  assert.match(text, /https:\/\/d\d+\.example\//u);
  // The same word in another case is the same word: "Contract", "contract", "Contract!".
  const subject = /^Subject: (\w+) (\d+) for|^Subject: (\w+) (\d+)/mu.exec(text);
  const [word = "", number = ""] = (subject ?? []).slice(1).filter(Boolean);
  assert.equal(word.length, "Contract".length);
  assert.ok(text.includes(`${word.toLowerCase()} ${number}`), `${word} ${number}:\n${text}`);
  assert.ok(text.includes(`${word}!`));
  assert.equal(addresses, 2);
});

test("Japanese stays Japanese in its charset: kana for kana, kanji for kanji", async () => {
  const lines = (charset: string, text: string) =>
    Buffer.concat([
      Buffer.from(
        `Subject: =?${charset}?B?${Buffer.from(encodeText("請求書の件", charset) ?? "").toString("base64")}?=\r\n` +
          `MIME-Version: 1.0\r\nContent-Type: text/plain; charset=${charset}\r\n\r\n`,
      ),
      encodeText(text, charset) ?? Buffer.from("?"),
    ]);
  for (const charset of ["ISO-2022-JP", "Shift_JIS", "EUC-JP", "UTF-8"]) {
    const { bytes } = redacted(lines(charset, "請求書をお送りします。カタカナ。\r\n"));
    const mail = await simpleParser(bytes);
    assert.match(mail.subject ?? "", /^\p{Script=Han}{3}\p{Script=Hiragana}\p{Script=Han}$/u, charset);
    assert.match(
      mail.text ?? "",
      /^\p{Script=Han}{3}\p{Script=Hiragana}{2}\p{Script=Han}\p{Script=Hiragana}{4}。\p{Script=Katakana}{4}。/u,
      charset,
    );
    assert.ok(!(mail.text ?? "").includes("請求書") && !(mail.subject ?? "").includes("請求書"), charset);
    assert.equal(mail.subject?.slice(0, 3), mail.text?.slice(0, 3), charset);
    assert.ok(bytes.includes(`charset=${charset}`));
  }
});

test("HTML keeps its tags; what they hold goes, in attributes, comments, entities and false tags too", () => {
  const { bytes } = redacted(`MIME-Version: 1.0
Content-Type: text/html; charset=utf-8

<!DOCTYPE html><body bgcolor="white"><!-- secretcomment --><p class="secretclass" data-mail="jane@corp.example">Secretword &#83;&#x65;cret caf&eacute; &nbsp;</p>
<a href="https://corp.example/secretpath" title='secrettitle'>secretlink</a> <jane@corp.example> <secrettag foo> <b secretattribute>x</b>
<img src="cid:part1@corp.example"><script>var secretscript = 1</script>
`);
  const text = bytes.toString();
  assert.doesNotMatch(text, /secret|jane|corp|&#83;|&eacute;/iu);
  assert.match(text, /<!DOCTYPE html><body bgcolor="white"><!-- \w+ --><p class="\w+"/u);
  assert.match(text, /<a href="https:\/\/d\d+\.example\/\w+" title='\w+'>\w+<\/a>/u);
  assert.match(text, /<img src="cid:m\d@d\.example">/u);
});

test("attachments become filler of the same size, file names keep their ending, attached mail is redacted too", async () => {
  const content = Buffer.from("secret content ".repeat(100));
  const { bytes, attachments } = redacted(
    Buffer.from(
      [
        "MIME-Version: 1.0",
        'Content-Type: multipart/mixed; boundary="secret-boundary.corp.example"',
        "",
        "secret preamble",
        "--secret-boundary.corp.example",
        'Content-Type: application/pdf; name="=?utf-8?B?' +
          Buffer.from("秘密.pdf").toString("base64") +
          '?="',
        "Content-Disposition: attachment; filename*=utf-8''%E7%A7%98%E5%AF%86.pdf",
        "Content-Transfer-Encoding: base64",
        "",
        content.toString("base64"),
        "--secret-boundary.corp.example",
        "Content-Type: message/rfc822",
        "",
        "From: secret@corp.example",
        "Subject: secret inside",
        "",
        "secret text",
        "--secret-boundary.corp.example--",
        "secret epilogue",
        "",
      ].join("\r\n"),
    ),
  );
  assert.doesNotMatch(textOf(bytes), /secret|corp|秘密/iu);
  const mail = await simpleParser(bytes);
  assert.equal(mail.attachments[0]?.size, content.length);
  assert.match(mail.attachments[0]?.filename ?? "", /^\p{Script=Han}{2}\.pdf$/u);
  assert.equal(attachments, 1);
  assert.deepEqual(shapeOf(structureOf(bytes)), [
    "multipart",
    "mixed",
    undefined,
    undefined,
    undefined,
    [
      ["application", "pdf", "base64", undefined, "attachment", []],
      [
        "message",
        "rfc822",
        undefined,
        undefined,
        undefined,
        [["text", "plain", undefined, undefined, undefined, []]],
      ],
    ],
  ]);
});

test("--keep-text keeps subject and text, and still no address", () => {
  const text = redacted(
    "From: Jane <jane@corp.example>\nSubject: Lunch\n\nAt noon? jane@corp.example\n",
    "addresses",
  ).bytes.toString();
  assert.match(text, /^Subject: Lunch\r\n\r\nAt noon\? a1@d1\.example\r$/mu);
  assert.doesNotMatch(text, /jane/iu);
});

const CHARSETS = [
  "us-ascii",
  "utf-8",
  "iso-8859-1",
  "iso-2022-jp",
  "shift_jis",
  "euc-jp",
  "koi8-r",
  "gb2312",
  "big5",
  "euc-kr",
] as const;
const SCRIPTS: Readonly<Record<(typeof CHARSETS)[number], string>> = {
  "us-ascii": "abcdefghijklmnopqrstuvwxyzQWERTZ",
  "utf-8": "abcdeéüйцукенสวัสดีあいうアイウ請求書가나다",
  "iso-8859-1": "abcdefghijklmnéèüößÄÖÜ",
  "iso-2022-jp": "abcあいうえおカキクケコ請求書送付明日会議",
  shift_jis: "abcあいうえおカキクケコ請求書送付明日会議",
  "euc-jp": "abcあいうえおカキクケコ請求書送付明日会議",
  "koi8-r": "abcабвгдежзиклмнопрстуфхцчшщ",
  gb2312: "abc请求书发送明天会议中国人民",
  big5: "abc請求書發送明天會議中國人民",
  "euc-kr": "abc가나다라마바사아자차카타파하청구서",
};
const LETTER_RUN =
  /[\p{Script=Latin}\p{M}]+|\p{Script=Hiragana}+|\p{Script=Katakana}+|\p{Script=Han}+|\p{Script=Hangul}+|\p{Nd}+|\p{Script=Cyrillic}+|\p{Script=Thai}+/gu;
/** What we put there ourselves. */
const OURS = /^(?:example|esmtps?a?)$/iu;

const mailOf = fc
  .record({
    charset: fc.constantFrom(...CHARSETS),
    encoding: fc.constantFrom("base64", "quoted-printable", "8bit"),
    html: fc.boolean(),
    multipart: fc.boolean(),
    picks: fc.array(fc.array(fc.nat(1000), { minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 30 }),
    numbers: fc.array(fc.nat(10 ** 9), { maxLength: 4 }),
  })
  .map(({ charset, encoding, html, multipart, picks, numbers }) => {
    const letters = [...SCRIPTS[charset]];
    const words = picks.map(pick => pick.map(n => letters[n % letters.length]).join(""));
    const addresses = words.slice(0, 2).map((_, i) => `person${i}@company${i}.example.org`);
    const plain = [...words, ...addresses, ...numbers].join(" ");
    const text = html ? `<html><body><p>${plain}</p></body></html>\r\n` : `${plain}\r\n`;
    const octets = Buffer.from(encodeText(text, charset) ?? Buffer.from(text));
    const body =
      encoding === "base64"
        ? encodeBase64(octets)
        : encoding === "quoted-printable"
          ? encodeQuotedPrintable(octets)
          : octets;
    const subject = encodeText(words.slice(0, 3).join(" "), charset) ?? Buffer.from("x");
    const part = Buffer.concat([
      Buffer.from(
        `Content-Type: text/${html ? "html" : "plain"}; charset=${charset}\r\nContent-Transfer-Encoding: ${encoding}\r\n\r\n`,
      ),
      body,
    ]);
    const head = `From: ${addresses[0] ?? "x@y.example"}\r\nSubject: =?${charset}?B?${Buffer.from(subject).toString("base64")}?=\r\nMIME-Version: 1.0\r\n`;
    const bytes = multipart
      ? Buffer.concat([
          Buffer.from(`${head}Content-Type: multipart/mixed; boundary=bound\r\n\r\n--bound\r\n`),
          part,
          Buffer.from("\r\n--bound--\r\n"),
        ])
      : Buffer.concat([Buffer.from(head), part]);
    return { bytes, plain, addresses, charset };
  });

test("no address and no word of four letters or more survives; tree, types, charsets and encodings stay", () => {
  fc.assert(
    fc.property(
      mailOf,
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      ({ bytes, plain, addresses, charset }, key) => {
        const made = redactMessage(bytes, "all", key).bytes;
        const after = textOf(made);
        for (const address of addresses) assert.ok(!after.includes(address), address);
        const originals = new Set(
          [...plain.matchAll(LETTER_RUN)]
            .map(([word]) => word.toLowerCase())
            .filter(word => [...word].length >= 4 && !OURS.test(word)),
        );
        // Words as a reader sees them; tags and header fields of the message are not among the originals.
        for (const [word] of after.matchAll(LETTER_RUN))
          assert.ok(!originals.has(word.toLowerCase()), `${word} of ${charset}: ${plain}\n${after}`);
        assert.deepEqual(shapeOf(structureOf(made)), shapeOf(structureOf(bytes)));
        assert.ok(!after.includes("\ufffd"), after);
      },
    ),
    { numRuns: 60 },
  );
});

test("what stands in for a number is none of the other numbers of the message", () => {
  const numbers = Array.from({ length: 3000 }, (_, i) => String(1000 + i));
  const text = redacted(`Subject: x\n\n${numbers.join("\n")}\n`).bytes.toString();
  const made = text.match(/\d{4}/gu) ?? [];
  assert.equal(made.length, numbers.length);
  assert.deepEqual(
    made.filter(number => numbers.includes(number)),
    [],
  );
});

test("any bytes are redacted, without an error and without growing much", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2000 }), bytes => {
      const { bytes: made } = redactMessage(bytes, "all", KEY);
      assert.ok(made.length <= bytes.length * 12 + 1000);
    }),
    { numRuns: 200 },
  );
});
