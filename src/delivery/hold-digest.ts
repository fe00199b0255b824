/**
 * The mail that tells somebody of held mail. English, and the first line in Japanese. Of another one's mail it shows who sent it, not what
 * it says: a digest goes where the held mail may not go. Pure.
 */
import { encodeBase64 } from "../core/mime/transfer-encode.ts";
import type { HoldDigest, NoticeEntry } from "../core/ports/hold-notices.ts";
import { encodeHeaderValue, rfc5322Date } from "./prefix.ts";

/** Of each text that somebody else wrote. */
const MAX_TEXT_CHARS = 120;

/** @returns the whole message, at most some 50 KiB */
export function digestMail({ id, address, entries, total }: HoldDigest, hostname: string, now: Date): Buffer {
  const lines = [
    ...section(entries, "approver", "held", TO_DECIDE),
    ...section(entries, "owner", "held", HELD),
    ...section(entries, "owner", "expired", EXPIRED),
    ...(total > entries.length ? [`… and ${total - entries.length} more.`, ""] : []),
  ];
  const header = [
    `Date: ${rfc5322Date(now)}`,
    `From: Mail Delivery System <MAILER-DAEMON@${hostname}>`,
    `To: <${oneLine(address)}>`,
    `Subject: ${encodeHeaderValue(`Held mail: ${total} ${total === 1 ? "message" : "messages"}`)}`,
    `Message-ID: <hold-digest.${id}@${hostname}>`,
    // RFC 3834 §5.
    "Auto-Submitted: auto-generated",
    "MIME-Version: 1.0",
    "Content-Type: text/plain; charset=utf-8",
    "Content-Transfer-Encoding: base64",
    "",
    "",
  ].join("\r\n");
  return Buffer.concat([Buffer.from(header), encodeBase64(Buffer.from(lines.join("\r\n"), "utf8"))]);
}

const TO_DECIDE = [
  "This mail waits for your decision. 承認待ちのメールがあります。",
  "`mairust held show ID` shows it; `held release ID` lets it go, `held reject ID` sends it back.",
];
const HELD = [
  "This mail is held until somebody lets it go. メールが保留されています。",
  "Ask your administrator if you need it.",
];
const EXPIRED = [
  "This mail was held, nobody let it go in time, and it was deleted. 保留期限を過ぎたメールは削除されました。",
];

function section(
  entries: readonly NoticeEntry[],
  role: NoticeEntry["role"],
  kind: NoticeEntry["kind"],
  title: readonly string[],
): readonly string[] {
  const some = entries.filter(entry => entry.role === role && entry.kind === kind);
  return some.length === 0 ? [] : [...title, "", ...some.flatMap(linesOf)];
}

function linesOf({ role, kind, record }: NoticeEntry): readonly string[] {
  const { id, point, from, mailFrom, recipients, subject, reason, hook, createdAt, expiresAt } = record;
  const isOut = point === "pre_send";
  const [first] = recipients;
  const others = recipients.length > 1 ? ` and ${recipients.length - 1} more` : "";
  const isOwn = role === "owner" && kind === "held";
  return [
    `* held ${day(createdAt)}, ID ${id}`,
    ...(isOut && role === "owner"
      ? []
      : [`  from ${oneLine(isOwn && from !== "" ? from : mailFrom) || "<>"}`]),
    ...(isOut || role === "approver" ? [`  to ${oneLine(first?.address.raw ?? "")}${others}`] : []),
    ...(isOwn && subject !== "" ? [`  subject: ${oneLine(subject)}`] : []),
    ...(reason === "" ? [] : [`  reason: ${oneLine(reason)}`]),
    ...(role === "approver" ? [`  held by ${oneLine(hook?.name ?? "policy")}`] : []),
    ...(kind === "held" ? [`  deleted after ${day(expiresAt)}`] : []),
    "",
  ];
}

const day = (date: Date): string => date.toISOString().slice(0, 16).replace("T", " ");

/** What others wrote: one line, nothing that turns its direction. */
function oneLine(text: string): string {
  const clean = text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " ").trim();
  const characters = Array.from(clean);
  return characters.length > MAX_TEXT_CHARS ? `${characters.slice(0, MAX_TEXT_CHARS).join("")}…` : clean;
}
