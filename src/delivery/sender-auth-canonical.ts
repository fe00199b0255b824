/** What of a header a DKIM signature is made over (RFC 6376 §3.4.1, §3.4.2, §3.7, §5.4.2). Pure; octets as characters. */
import type { HeaderField } from "../core/mime/header.ts";

/**
 * @param names  of `h=`, in lower case; of fields of one name the last is taken first
 * @param own    the signature's own field without its last line break; what stands in `b=` does not count
 */
export function signedHeader(
  header: Uint8Array,
  fields: readonly HeaderField[],
  names: readonly string[],
  own: string,
  isRelaxed: boolean,
): Buffer {
  const left = [...fields];
  const parts: string[] = [];
  for (const name of names) {
    const at = left.findLastIndex(one => one.name === name);
    const [one] = at < 0 ? [] : left.splice(at, 1);
    if (one !== undefined) parts.push(`${canonical(fieldText(header, one), isRelaxed)}\r\n`);
  }
  return Buffer.from(parts.join("") + canonical(withoutSignature(own), isRelaxed), "latin1");
}

/** Without its last line break. */
export function fieldText(header: Uint8Array, { start, end }: HeaderField): string {
  const bytes = Buffer.from(header.buffer, header.byteOffset + start, end - start);
  return bytes.toString("latin1").replace(/\r\n$/u, "");
}

function withoutSignature(field: string): string {
  const colon = field.indexOf(":") + 1;
  const items = field
    .slice(colon)
    .split(";")
    .map(item => (/^\s*b\s*=/iu.test(item) ? item.slice(0, item.indexOf("=") + 1) : item));
  return field.slice(0, colon) + items.join(";");
}

function canonical(field: string, isRelaxed: boolean): string {
  if (!isRelaxed) return field;
  const colon = field.indexOf(":");
  const name = field
    .slice(0, colon)
    .toLowerCase()
    .replace(/[ \t]+$/u, "");
  const value = field
    .slice(colon + 1)
    .replaceAll("\r\n", "")
    .replace(/[ \t]+/gu, " ")
    .replace(/^ | $/gu, "");
  return `${name}:${value}`;
}
