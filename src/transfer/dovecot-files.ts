/**
 * What Dovecot keeps beside a Maildir: `dovecot-uidlist`, `dovecot-keywords`, `subscriptions`. Pure.
 *
 * Texts are latin1 of the bytes where they name files, so that any name passes through. A broken line is left out and counted.
 * Sources: doc.dovecot.org "Maildir" (uidlist version 3, keywords), "Subscriptions" (version 2); Dovecot 2.3 maildir-uidlist.c, subscription-file.c.
 */
import { decodeModifiedUtf7 } from "../core/modified-utf7.ts";
import { readName } from "./maildir-name.ts";

const MAX_UID = 4_294_967_294;

export interface UidList {
  readonly uidValidity: number;
  /** Above every UID of the list. */
  readonly uidNext: number;
  /** Key of `readName` → UID. */
  readonly uids: ReadonlyMap<string, number>;
  readonly broken: number;
}

/** @returns undefined: no header that can be read, so the list says nothing */
export function readUidList(text: string): UidList | undefined {
  const lines = text.split("\n");
  const header = readHeader(lines[0] ?? "");
  if (header === undefined) return undefined;
  const uids = new Map<string, number>();
  const owners = new Map<number, string>();
  let broken = 0;
  let { uidNext } = header;
  for (const line of lines.slice(1)) {
    if (line === "") continue;
    const match =
      header.version === 3 ? /^(\d{1,10})(?: [^:]*)? ?:(.+)$/u.exec(line) : /^(\d{1,10}) (.+)$/u.exec(line);
    const uid = Number(match?.[1]);
    const { key } = readName(match?.[2] ?? "");
    if (match === null || key === "" || uid < 1 || uid > MAX_UID) {
      broken += 1;
      continue;
    }
    // Later lines win: Dovecot appends.
    const before = owners.get(uid);
    if (before !== undefined) uids.delete(before);
    const old = uids.get(key);
    if (old !== undefined) owners.delete(old);
    uids.set(key, uid);
    owners.set(uid, key);
    uidNext = Math.max(uidNext, uid + 1);
  }
  return { uidValidity: header.uidValidity, uidNext, uids, broken };
}

function readHeader(line: string) {
  const [version, ...fields] = line.split(" ");
  if (version === "3") {
    const field = (letter: string) => Number(fields.find(one => one.startsWith(letter))?.slice(1));
    return checkedHeader(3, field("V"), field("N"));
  }
  return version === "1" ? checkedHeader(1, Number(fields[0]), Number(fields[1])) : undefined;
}

function checkedHeader(version: 1 | 3, uidValidity: number, uidNext: number) {
  const isUid = (value: number) => Number.isInteger(value) && value >= 1 && value <= MAX_UID + 1;
  return isUid(uidValidity) && isUid(uidNext) ? { version, uidValidity, uidNext } : undefined;
}

export function writeUidList(
  list: { readonly uidValidity: number; readonly uidNext: number; readonly guid: string },
  files: readonly { readonly uid: number; readonly base: string }[],
): string {
  const lines = files.map(file => `${file.uid} :${file.base}\n`);
  return `3 V${list.uidValidity} N${list.uidNext} G${list.guid}\n${lines.join("")}`;
}

/** @returns names by letter: index 0 is a */
export function readKeywords(text: string): readonly (string | undefined)[] {
  const names: (string | undefined)[] = [];
  for (const line of text.split("\n")) {
    const match = /^(\d{1,2}) (.+)$/u.exec(line);
    if (match !== null && Number(match[1]) < 26) names[Number(match[1])] = match[2];
  }
  return names;
}

export const writeKeywords = (names: readonly string[]): string =>
  names.map((name, index) => `${index} ${name}\n`).join("");

/** @returns names with `/` between levels. @param separator  between levels in version 1 */
export function readSubscriptions(text: string, separator: string): readonly string[] {
  const lines = text.split("\n");
  const isVersion2 = lines[0] === "V\t2";
  const names = (isVersion2 ? lines.slice(1) : lines).filter(line => line !== "");
  return names.map(line => {
    const levels = isVersion2 ? line.split("\t").map(unescapeTab) : line.split(separator);
    return levels.map(level => decodeModifiedUtf7(level) ?? level).join("/");
  });
}

/** Dovecot's tab escaping: \001 and a letter. */
const unescapeTab = (text: string): string =>
  text.replace(
    /\u0001([01tnr])/gu,
    (_, code: string) => ({ 0: "\0", 1: "\u0001", t: "\t", n: "\n", r: "\r" })[code] ?? "",
  );
