import assert from "node:assert/strict";
import { test } from "node:test";
import { unpackStructure } from "../../../src/core/mime/packed.ts";
import { grantsOf } from "../../../src/core/permissions-grants.ts";
import { textOfHtml } from "../../../src/core/permissions-html.ts";
import { MAX_PREVIEW_READ_BYTES, planPreview } from "../../../src/core/permissions-preview.ts";
import { decodeTransfer } from "../../../src/core/permissions-transfer.ts";
import { cutUtf8, utf8Length } from "../../../src/core/utf8-cut.ts";
import { MessageViews } from "../../../src/hooks/message-views.ts";
import { factsOf } from "../hooks/message.ts";

async function preview(source: string | Uint8Array) {
  const view = await new MessageViews().view(factsOf(source), grantsOf({ read_body: "preview" }));
  return view.preview?.body;
}

const part = (type: string, body: string | Uint8Array, more = ""): Buffer =>
  Buffer.concat([Buffer.from(`Content-Type: ${type}\r\n${more}\r\n`), Buffer.from(body)]);

test("cuts on a character boundary at 4096 bytes of UTF-8, truncated iff something was dropped", async () => {
  for (const [text, bytes, truncated] of [
    ["あ".repeat(2000), 4095, true],
    [`${"a".repeat(4095)}é`, 4095, true],
    [`${"a".repeat(4094)}😀`, 4094, true],
    ["a".repeat(4096), 4096, false],
    ["a".repeat(4097), 4096, true],
    ["", 0, false],
  ] as const) {
    const got = await preview(part("text/plain; charset=utf-8", text));
    assert.deepEqual(
      [utf8Length(got?.text ?? ""), got?.truncated, got?.decode_errors],
      [bytes, truncated, 0],
    );
  }
});

test("Japanese charsets by their real and their wrong names, and none", async () => {
  const sjis = Buffer.from([0x90, 0xbf, 0x8b, 0x81, 0x8f, 0x91, 0x87, 0x40]);
  const euc = Buffer.from([0xc0, 0xc1, 0xb5, 0xe1, 0xbd, 0xf1]);
  const jis = Buffer.from("\x1b$B@A5a=q\x1b(B", "latin1");
  for (const [charset, bytes, text, used] of [
    ["cp932", sjis, "請求書①", "shift_jis"],
    ["Shift_JIS", sjis, "請求書①", "shift_jis"],
    ["eucjp-ms", euc, "請求書", "euc-jp"],
    ["iso-2022-jp", jis, "請求書", "iso-2022-jp"],
    ["cp50220", jis, "請求書", "iso-2022-jp"],
    ["us-ascii", jis, "請求書", "iso-2022-jp"],
    ["us-ascii", Buffer.from("請求書"), "請求書", "utf-8"],
    ["x-nobody", Buffer.from([0xe9]), "é", "windows-1252"],
    ["utf-7", Buffer.from("+AGE-"), "+AGE-", "us-ascii"],
  ] as const) {
    const got = await preview(part(`text/plain; charset=${charset}`, bytes));
    assert.deepEqual([got?.text, got?.charset_declared, got?.charset_used], [text, charset, used], charset);
  }
  const none = await preview(part("text/plain", Buffer.from("é", "latin1")));
  assert.deepEqual([none?.text, none?.charset_declared, none?.charset_used], ["é", null, "windows-1252"]);
});

test("line ends are LF, NUL and the byte order mark are gone, broken octets are counted", async () => {
  const got = await preview(part("text/plain; charset=utf-8", Buffer.from("\ufeffa\r\nb\rc\0d\r\n")));
  assert.equal(got?.text, "a\nb\ncd\n");
  const broken = await preview(part("text/plain; charset=utf-8", Buffer.from([0x61, 0xff, 0x62])));
  assert.deepEqual([broken?.text, broken?.decode_errors], ["a\ufffdb", 1]);
});

test("base64 and quoted-printable are undone leniently, other encodings are no text", async () => {
  const encoded = Buffer.from("請求書です").toString("base64");
  assert.equal(
    (
      await preview(
        part(
          "text/plain; charset=utf-8",
          `${encoded.slice(0, 5)}\r\n!${encoded.slice(5)}`,
          "Content-Transfer-Encoding: BASE64\r\n",
        ),
      )
    )?.text,
    "請求書です",
  );
  assert.equal(
    (
      await preview(
        part(
          "text/plain; charset=utf-8",
          "=E8=AB=8B=\r\n=E6=B1=82 =zz  \r\nx=",
          "Content-Transfer-Encoding: quoted-printable\r\n",
        ),
      )
    )?.text,
    "請求 =zz\nx",
  );
  assert.equal(
    await preview(part("text/plain", "begin 644 x", "Content-Transfer-Encoding: x-uuencode\r\n")),
    null,
  );
  assert.equal(Buffer.from(decodeTransfer(Buffer.from("YQ==\nYmM="), "base64") ?? []).toString(), "abc");
});

const multipart = (kind: string, ...parts: string[]) =>
  `Content-Type: multipart/${kind}; boundary=b\n\n${parts.map(body => `--b\n${body}\n`).join("")}--b--\n`;
const plain = "Content-Type: text/plain\n\nPLAIN";
const html = "Content-Type: text/html\n\n<p>HTML";
const message = "Content-Type: message/rfc822\n\nSubject: x\n\nINNER";
const file = "Content-Type: text/plain\nContent-Disposition: attachment\n\nFILE";
const named = "Content-Type: text/plain; name=a.txt\n\nNAMED";

test("the first text/plain leaf, not from a file, an attached message, or after the first part of a signed one", async () => {
  const text = async (source: string) => (await preview(source))?.text.trim();
  assert.equal(await text(multipart("alternative", html, plain)), "PLAIN");
  assert.equal(await text(multipart("mixed", file, named, message, plain)), "PLAIN");
  assert.equal(await text(multipart("signed", html, plain)), "HTML");
  assert.equal(await text(multipart("mixed", message)), undefined);
  assert.equal(await text(multipart("mixed", file)), undefined);
  assert.equal(await text(multipart("encrypted", plain)), undefined);
  assert.equal(await text(message), undefined);
});

test("with only HTML the text is derived, and says so", async () => {
  const got = await preview(
    multipart(
      "mixed",
      "Content-Type: text/html; charset=utf-8\n\n<html><head><title>t</title><style>p{}</style></head><body><p>Hello&nbsp;<b>w&ouml;rld</b> &#35531;&lt;</p><script>alert(1)</script><br>2 < 3<!-- secret --></body>",
    ),
  );
  assert.deepEqual([got?.source, got?.text], ["html", "Hello w&ouml;rld 請<\n2 < 3"]);
});

test("HTML is read in linear time, whatever it holds", () => {
  for (const unit of ["<", "<a", "<!--", "<script>", "</script", "&", "&#", "<p>", "  \n"]) {
    const began = performance.now();
    textOfHtml(`<script>${unit.repeat(260_000 / unit.length)}`);
    textOfHtml(unit.repeat(260_000 / unit.length));
    assert.ok(performance.now() - began < 10_000, unit);
  }
});

test("no more of the message is read than the preview needs", async () => {
  const facts = factsOf(part("text/plain; charset=utf-8", "é".repeat(500_000)));
  const view = await new MessageViews().view(facts, grantsOf({ read_body: "preview" }));
  assert.equal(facts.content.octetsRead, MAX_PREVIEW_READ_BYTES);
  assert.deepEqual([view.preview?.body?.charset_used, view.preview?.body?.truncated], ["utf-8", true]);
});

test("the same message is read once for all hooks", async () => {
  const facts = factsOf(plain);
  const views = new MessageViews();
  const grants = grantsOf({ read_body: "preview" });
  await Promise.all([views.view(facts, grants), views.view({ ...facts }, grants)]);
  assert.equal(facts.content.octetsRead, "PLAIN".length);
});

test("the search stops at 20 levels and 1000 parts, and says so", () => {
  const plan = (source: string) => planPreview(unpackStructure(factsOf(source).structure).parts);
  let deep = plain;
  for (let level = 0; level < 25; level++)
    deep = `Content-Type: multipart/mixed; boundary=b${level}\n\n--b${level}\n${deep}\n--b${level}--\n`;
  assert.deepEqual(plan(deep), { source: undefined, mimeTruncated: true });
  const wide = plan(
    multipart("mixed", ...Array.from({ length: 1100 }, () => "Content-Type: image/png\n\nx"), plain),
  );
  assert.deepEqual(wide, { source: undefined, mimeTruncated: true });
});

test("cutUtf8() never splits a character", () => {
  assert.equal(cutUtf8("a😀b", 4), "a");
  assert.equal(cutUtf8("a😀b", 5), "a😀");
  assert.equal(cutUtf8("abc", 0), "");
  assert.equal(utf8Length("aé請😀"), 10);
});
