// A message for rspamd, made again from what the plugin may see: decoded fields, texts, attachments. It is not the original source:
// signatures cannot be checked on it, so their fields are left out.
import { randomBytes } from "node:crypto";

const CRLF = "\r\n";
/** Said anew for the new body, or worthless without the original bytes. */
const LEFT_OUT =
  /^(?:content-.*|mime-version|dkim-signature|domainkey-signature|arc-.*|x-google-dkim-signature)$/iu;
const FIELD_NAME = /^[!-9;-~]{1,200}$/u;
/** Bytes of one encoded word before base64: with its frame it stays within 75 characters (RFC 2047 §2). */
const WORD_BYTES = 42;

/** @returns the bytes of a message with CRLF */
export function buildMessage({ headers = [], body = [], body_preview, attachments = [] }) {
  const texts = body.length > 0 || !body_preview ? body : [{ type: "text/plain", text: body_preview.text }];
  const fields = headers
    .filter(({ name }) => FIELD_NAME.test(name) && !LEFT_OUT.test(name))
    .map(({ name, value }) => `${name}: ${encodeWords(value)}${CRLF}`);
  const head = Buffer.from(`${fields.join("")}MIME-Version: 1.0${CRLF}`);
  const content = contentOf(texts, attachments);
  return Buffer.concat([head, content, Buffer.from(content.at(-1) === 0x0a ? "" : CRLF)]);
}

/** The Content fields, the empty line and the body. */
function contentOf(texts, attachments) {
  const isAlternative = texts.length === 2 && texts[0].type === "text/plain" && texts[1].type === "text/html";
  const parts = isAlternative ? [multipart("alternative", texts.map(textPart))] : texts.map(textPart);
  const all = [...parts, ...attachments.map(attachmentPart)];
  if (all.length === 0) return textPart({ type: "text/plain", text: "" });
  return all.length === 1 ? all[0] : multipart("mixed", all);
}

/** Nobody can write a boundary into a message before it is chosen. */
function multipart(kind, parts) {
  const boundary = randomBytes(18).toString("hex");
  const pieces = parts.flatMap(part => [Buffer.from(`--${boundary}${CRLF}`), part, Buffer.from(CRLF)]);
  const head = `Content-Type: multipart/${kind}; boundary="${boundary}"${CRLF}${CRLF}`;
  return Buffer.concat([Buffer.from(head), ...pieces, Buffer.from(`--${boundary}--${CRLF}`)]);
}

function textPart({ type, text }) {
  const lines = text.replace(/\r\n|\r|\n/gu, CRLF);
  const kind = type === "text/html" ? "text/html" : "text/plain";
  return Buffer.from(
    `Content-Type: ${kind}; charset=utf-8${CRLF}Content-Transfer-Encoding: 8bit${CRLF}${CRLF}${lines}`,
  );
}

/** One whose content was not sent has its name, its type and what of it came. */
function attachmentPart({ content_type, filename, disposition, content_base64, preview_base64 }) {
  const type = /^(?!multipart\/)[\w.+-]{1,100}\/[\w.+-]{1,100}$/iu.test(content_type)
    ? content_type
    : "application/octet-stream";
  const bytes = Buffer.from(content_base64 ?? preview_base64 ?? "", "base64");
  const isMessage = type.startsWith("message/");
  const content = isMessage ? bytes : Buffer.from(bytes.toString("base64").replace(/.{76}/gu, `$&${CRLF}`));
  const head = [
    `Content-Type: ${type}`,
    `Content-Disposition: ${disposition === "inline" ? "inline" : "attachment"}${fileName(filename)}`,
    `Content-Transfer-Encoding: ${isMessage ? "8bit" : "base64"}`,
  ];
  return Buffer.concat([Buffer.from(`${head.join(CRLF)}${CRLF}${CRLF}`), content]);
}

/** RFC 2231 §4. Half a surrogate pair becomes U+FFFD on its way through octets. */
function fileName(name) {
  if (!name) return "";
  const plain = [...oneLine(name)].slice(0, 255).join("");
  if (/^[ -~]+$/u.test(plain)) return `; filename="${plain.replace(/["\\]/gu, "\\$&")}"`;
  const escaped = encodeURIComponent(Buffer.from(plain).toString());
  return `; filename*=utf-8''${escaped.replace(/['()*]/gu, c => `%${c.charCodeAt(0).toString(16)}`)}`;
}

export function oneLine(text) {
  return String(text).replace(/[\u0000-\u001f\u007f]/gu, " ");
}

/** Words with other than ASCII letters become encoded words, neighbours together; addresses stay as they are. */
function encodeWords(value) {
  const out = [];
  let run = [];
  const flush = () => {
    if (run.length > 0) out.push(encodedWords(run.join(" ")));
    run = [];
  };
  for (const token of oneLine(value).split(" ")) {
    if (!/[^ -~]/u.test(token) || token.includes("@")) {
      flush();
      out.push(token);
    } else run.push(token.replaceAll('"', ""));
  }
  flush();
  return out.join(" ");
}

/** RFC 2047 §5: a character is never cut. */
function encodedWords(text) {
  const words = [];
  let word = "";
  for (const character of text) {
    if (Buffer.byteLength(word + character) > WORD_BYTES) {
      words.push(word);
      word = "";
    }
    word += character;
  }
  words.push(word);
  return words.map(one => `=?utf-8?B?${Buffer.from(one).toString("base64")}?=`).join(`${CRLF} `);
}
