/**
 * What delivery reads from trace and identification fields: the queue id of the newest Received field, message ids, and
 * the key that puts answers beside what they answer. Tolerant, linear, fails never.
 */
import { MESSAGE_ID_CHARS_MAX } from "./limits.ts";
import type { ByteText } from "./structure.ts";

const QUEUE_ID_CHARS_MAX = 128;

/** Blank out comments and quoted strings, so that an `id` inside them is not taken for the clause. */
function withoutComments(value: ByteText): string {
  let depth = 0;
  let quoted = false;
  let out = "";
  for (let i = 0; i < value.length; i++) {
    const c = value.charAt(i);
    if (c === "\\" && (depth > 0 || quoted)) i++;
    else if (c === '"' && depth === 0) quoted = !quoted;
    else if (quoted) continue;
    else if (c === "(") depth++;
    else if (c === ")" && depth > 0) depth--;
    else if (depth === 0) out += c;
  }
  return out;
}

/**
 * The `id` clause of a Received value (RFC 5321 §4.4), e.g. `4XyZ1234`: the sending server's queue id.
 *
 * @param value  unfolded
 * @returns      undefined when there is none or it is not printable ASCII of sane length
 */
export function receivedQueueId(value: ByteText): string | undefined {
  const clauses = withoutComments(value).split(";", 1)[0] ?? "";
  const words = clauses.split(/[ \t\r\n]+/);
  const at = words.findIndex(word => word.toLowerCase() === "id");
  const id = at === -1 ? undefined : words[at + 1];
  if (id === undefined || id === "" || id.length > QUEUE_ID_CHARS_MAX || !/^[\x21-\x7e]+$/.test(id))
    return undefined;
  return id;
}

/**
 * The first message id in a value, without its brackets: `<a@b>` → `a@b`. Without brackets the first word is taken.
 *
 * @returns  text without controls and white space, at most `MESSAGE_ID_CHARS_MAX` characters; undefined when empty
 */
export function firstMessageId(value: ByteText | undefined): string | undefined {
  if (value === undefined) return undefined;
  const open = value.indexOf("<");
  const close = open === -1 ? -1 : value.indexOf(">", open);
  const inside = close === -1 ? (/[^ \t\r\n<>]+/.exec(value)?.[0] ?? "") : value.slice(open + 1, close);
  const id = inside.replace(/[\x00-\x20\x7f-\x9f]/g, "").slice(0, MESSAGE_ID_CHARS_MAX);
  return id === "" ? undefined : id;
}

/**
 * The key that all messages of a thread share: the first id of References (the thread's root), else of In-Reply-To,
 * else the message's own id.
 */
export function threadKeyOf(
  references: ByteText | undefined,
  inReplyTo: ByteText | undefined,
  messageId: ByteText | undefined,
): string | undefined {
  return firstMessageId(references) ?? firstMessageId(inReplyTo) ?? firstMessageId(messageId);
}
