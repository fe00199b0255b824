import assert from "node:assert/strict";
import { test } from "node:test";
import { packStructure } from "../../../../src/core/mime/packed.ts";
import { extractSearchText } from "../../../../src/core/search-text/extract.ts";
import {
  GRAMS_MAX,
  INPUT_BYTES_MAX,
  TEXT_BYTES_MAX,
  TEXT_PARTS_MAX,
} from "../../../../src/core/search-text/limits.ts";
import { planSearchText } from "../../../../src/core/search-text/plan.ts";
import { message, octets, scan } from "../mime/support.ts";
import { CHARSET_SAMPLES } from "./samples.ts";

function textOf(bytes: Buffer) {
  const { pieces, cut } = planSearchText(packStructure(scan(bytes)));
  const read = pieces.map(piece => ({ ...piece, bytes: bytes.subarray(piece.start, piece.end) }));
  const text = extractSearchText(read);
  return { ...text, cut: cut || text.cut, lines: text.folded.split("\n") };
}

test("extractSearchText() takes subject, addresses and body of a plain message, and no other field", () => {
  const { lines } = textOf(
    message(
      "Received: from hidden.example by us",
      "To: =?utf-8?B?6Iqx5a2Q?= <hanako@example.test>",
      'From: "Taro, Yamada" <taro@example.test>',
      "Subject: =?iso-2022-jp?B?GyRCMnE1RBsoQg==?= monthly",
      "X-Secret: hidden",
      "",
      "Body text",
      "over two lines",
    ),
  );
  assert.deepEqual(lines, [
    "会議 monthly",
    "花子 <hanako@example.test>",
    '"taro, yamada" <taro@example.test>',
    "body text over two lines",
  ]);
});

test("extractSearchText() reads every charset in every transfer encoding", () => {
  for (const [charset, text, hex] of CHARSET_SAMPLES) {
    const bytes = Buffer.from(hex, "hex");
    const qp = [...bytes].map(octet => `=${octet.toString(16).toUpperCase().padStart(2, "0")}`).join("");
    for (const [encoding, body] of [
      ["base64", bytes.toString("base64")],
      ["quoted-printable", qp],
      ["8bit", bytes.toString("latin1")],
    ] as const) {
      // UTF-16 has no lines as octets.
      if (charset === "utf-16le" && encoding === "8bit") continue;
      const mail = message(
        `Content-Type: text/plain; charset="${charset}"`,
        `Content-Transfer-Encoding: ${encoding}`,
        "",
        body,
      );
      const wanted = text.normalize("NFKC").toLowerCase();
      assert.ok(textOf(mail).folded.includes(wanted), `${charset} ${encoding}: ${textOf(mail).folded}`);
    }
  }
});

test("extractSearchText() takes attachment names in all their encodings, and text of attachments and of messages inside", () => {
  const { lines } = textOf(
    message(
      "Content-Type: multipart/mixed; boundary=b",
      "",
      "--b",
      "Content-Type: text/plain; name*=iso-2022-jp''%1B%24B2q5D%1B%28B.txt",
      "Content-Disposition: attachment",
      "",
      "inside the attachment",
      "--b",
      "Content-Type: application/pdf",
      "Content-Disposition: attachment; filename*0*=utf-8''%E8%AB%8B; filename*1*=%E6%B1%82.pdf",
      "",
      "%PDF not text",
      "--b",
      'Content-Type: image/png; name="=?utf-8?B?55S75YOP?=.png"',
      "",
      "",
      "--b",
      "Content-Type: message/rfc822",
      "",
      "Subject: the forwarded one",
      "From: inner@example.test",
      "",
      "inner body",
      "--b",
      "Content-Type: text/css",
      "",
      "body { color: red }",
      "--b--",
    ),
  );
  assert.deepEqual(lines, [
    "the forwarded one",
    "inner@example.test",
    "会議.txt",
    "請求.pdf",
    "画像.png",
    "inner body",
    "inside the attachment",
  ]);
});

test("extractSearchText() takes the text of HTML, without tags, scripts and styles", () => {
  const { folded } = textOf(
    message(
      "Content-Type: text/html; charset=utf-8",
      "",
      "<html><head><title>t</title><style>x{}</style></head><body><p>Caf&#233; <b>in</b>voice</p><script>evil()</script><p>&amp; more</p>",
    ),
  );
  assert.equal(folded, "café invoice & more");
});

test("extractSearchText() reads broken headers: raw octets, words cut in two, unknown charsets and encodings", () => {
  const raw = Buffer.concat([
    octets("Subject: "),
    Buffer.from("89ef8b6382cc8e9197bf82f0919782e882dc82b7", "hex"),
    octets(
      "\r\nFrom: =?utf-8?B?5Lya?= =?utf-8?B?6K2w?= =?x?Q?a?= =?utf-8?Z?b?= =?broken\r\nTo: =?no-such?Q?=E9t=E9?=\r\n\r\nbody\r\n",
    ),
  ]);
  const { lines } = textOf(raw);
  assert.deepEqual(lines, ["会議の資料を送ります", "会議a =?utf-8?z?b?= =?broken", "été", "body"]);
  const odd = textOf(message("Content-Transfer-Encoding: x-made-up", "Subject: odd", "", "cannot be read"));
  assert.deepEqual(odd.lines, ["odd"]);
});

test("the text holds no NUL and no lone surrogate, whatever the message holds", () => {
  const { folded } = textOf(octets("Subject: a\0b\r\n\r\nx\0\0y \xed\xa0\x80 z\r\n"));
  assert.ok(!folded.includes("\0") && folded.isWellFormed());
});

test("limits cut the text and say so: length, octets read, parts, grams", () => {
  const long = textOf(message("Subject: s", "", "word ".repeat(TEXT_BYTES_MAX / 4)));
  assert.ok(long.cut && Buffer.byteLength(long.folded) <= TEXT_BYTES_MAX);
  const many = textOf(
    octets(
      `Content-Type: multipart/mixed; boundary=b\r\n\r\n${"--b\r\n\r\nx\r\n".repeat(TEXT_PARTS_MAX + 1)}--b--\r\n`,
    ),
  );
  assert.ok(many.cut);
  assert.equal(many.lines.length, TEXT_PARTS_MAX);
  const big = octets(
    `Subject: s\r\nContent-Type: text/html\r\n\r\n${"<p>".repeat(INPUT_BYTES_MAX / 3 + 100)}tail`,
  );
  assert.equal(textOf(big).cut, true);
  assert.equal(textOf(message("Subject: s", "", "short")).cut, false);
  // Every pair of these is a different one.
  const kanji = Array.from({ length: 100_000 }, (_, i) =>
    String.fromCharCode(0x4e00 + ((i * 7919 + ((i * i) >> 7)) % 20_000)),
  ).join("");
  const varied = textOf(Buffer.from(`Subject: s\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n${kanji}`));
  assert.equal(varied.grams.length, GRAMS_MAX);
  assert.ok(varied.cut && varied.folded.length < 100_000);
});
