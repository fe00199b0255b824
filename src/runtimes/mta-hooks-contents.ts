/**
 * The text and the attachments of a payload as a body of RFC 5322, for services that read MIME: the payload has parts, decoded, and
 * not the message's own bytes. Pure.
 *
 * One text alone is the body, in UTF-8; more are a multipart/mixed, attachments in base64 behind the texts. The fields that say so
 * stand in for the message's own, which describe other bytes.
 * Sources: RFC 2045 §5 and §6.8, RFC 2046 §5.1.3, RFC 2183 §2, RFC 2231 §4.
 */
import type { BodyPart, SentAttachment } from "../wire/hook-payload.ts";

export interface Contents {
  readonly fields: ReadonlyArray<readonly [name: string, value: string]>;
  /** Lines end in CRLF. */
  readonly text: string;
}

const BASE64_LINE = /.{1,76}/gu;
const MEDIA_TYPE = /^[!#$%&'*+.^_`{|}~0-9a-z-]{1,127}\/[!#$%&'*+.^_`{|}~0-9a-z-]{1,127}$/u;
const CONTENT_ID = /^[!-;=?-~]{1,255}$/u;

/** Fields of a message that the ones here stand in for. */
export const REPLACED_FIELDS: ReadonlySet<string> = new Set([
  "mime-version",
  "content-type",
  "content-transfer-encoding",
]);

/** @param unique  a text that no message holds: of the call */
export function contentsOf(
  texts: readonly BodyPart[],
  attachments: readonly SentAttachment[],
  unique: string,
): Contents {
  const parts = [...texts.map(textPart), ...attachments.flatMap(attachmentPart)];
  const [first] = parts;
  const version = ["MIME-Version", "1.0"] as const;
  if (first === undefined) return { fields: [version, ...TEXT_FIELDS("text/plain")], text: "" };
  if (parts.length === 1) return { fields: [version, ...first.fields], text: first.text };
  const boundary = `mairust-${unique}`;
  const written = parts.map(
    ({ fields, text }) =>
      `--${boundary}\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n${text}\r\n`,
  );
  return {
    fields: [version, ["Content-Type", `multipart/mixed; boundary="${boundary}"`]],
    text: `${written.join("")}--${boundary}--\r\n`,
  };
}

const TEXT_FIELDS = (type: string): Contents["fields"] => [
  ["Content-Type", `${type}; charset=utf-8`],
  ["Content-Transfer-Encoding", "8bit"],
];

function textPart({ type, text }: BodyPart): Contents {
  return { fields: TEXT_FIELDS(type), text: text.replaceAll("\n", "\r\n") };
}

/** Only one that was sent whole. */
function attachmentPart(attachment: SentAttachment): readonly Contents[] {
  const { content_base64: content, content_type: type, content_id: id, filename } = attachment;
  if (typeof content !== "string") return [];
  const name = filename === null ? "" : `; filename*=UTF-8''${encodeURIComponent(filename.toWellFormed())}`;
  const fields: Array<readonly [string, string]> = [
    ["Content-Type", MEDIA_TYPE.test(type) ? type : "application/octet-stream"],
    ["Content-Transfer-Encoding", "base64"],
    ["Content-Disposition", `attachment${name}`],
  ];
  if (id !== null && CONTENT_ID.test(id)) fields.push(["Content-ID", `<${id}>`]);
  return [{ fields, text: (content.match(BASE64_LINE) ?? []).join("\r\n") }];
}
