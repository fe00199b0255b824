/**
 * Message ids as threads compare them: valid ones only, quotes and white space undone. Pure, linear.
 * Source: RFC 5256 §3 (REFERENCES: "normalized"), RFC 5322 §3.6.4.
 */
import type { ByteText } from "../mime/structure.ts";

/** Octets of one id that are read; a longer one is none. */
const ID_BYTES_MAX = 1000;

/**
 * @param value  unfolded
 * @param most   ids wanted
 * @returns the ids in the order they stand in, `local@domain`; what is no id is passed over
 */
export function messageIds(value: ByteText, most: number): readonly string[] {
  const ids: string[] = [];
  let at = value.indexOf("<");
  while (at !== -1 && ids.length < most) {
    const read = readId(value, at + 1);
    if (read.id !== undefined) ids.push(read.id);
    at = value.indexOf("<", read.next);
  }
  return ids;
}

/** @param start  behind the `<` */
function readId(value: ByteText, start: number): { readonly id: string | undefined; readonly next: number } {
  let id = "";
  let sign = -1;
  let at = start;
  const end = Math.min(value.length, start + ID_BYTES_MAX);
  for (; at < end; at += 1) {
    const character = value.charAt(at);
    if (character === "<") return { id: undefined, next: at };
    if (character === ">") return { id: sign > 0 && sign < id.length - 1 ? id : undefined, next: at + 1 };
    if (character === '"' && sign === -1) {
      const quoted = readQuoted(value, at + 1, end);
      id += quoted.text;
      at = quoted.close;
    } else if (character > " ") {
      if (character === "@") sign = id.length;
      id += character;
    }
  }
  return { id: undefined, next: at };
}

/** @returns `close`: where the closing quote stands, or the last octet when there is none */
function readQuoted(
  value: ByteText,
  start: number,
  end: number,
): { readonly text: string; readonly close: number } {
  let text = "";
  for (let at = start; at < end; at += 1) {
    const character = value.charAt(at);
    if (character === '"') return { text, close: at };
    if (character === "\\") at += 1;
    text += value.charAt(at);
  }
  return { text, close: end - 1 };
}
