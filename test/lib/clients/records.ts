/**
 * What the small programs over IMAP libraries write, one file for all mailboxes: a line with tabs (mailbox as on the wire or in UTF-8, UID, flags
 * with blanks, INTERNALDATE as on the wire or nothing, octets), the octets, a line break. UID 0 only says that the mailbox is there.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { decodeUtf7 } from "../../../src/protocols/imap/utf7.ts";
import type { Kept, KeptMessage } from "./client.ts";

const LF = 0x0a;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

export const RECORDS = "records";

export async function readRecords(dir: string): Promise<Kept> {
  const bytes = await readFile(join(dir, RECORDS));
  const kept = new Map<string, KeptMessage[]>();
  for (let at = 0; at < bytes.length; ) {
    const lf = bytes.indexOf(LF, at);
    const [name = "", uid, flags = "", date = "", size] = bytes.toString("utf8", at, lf).split("\t");
    const end = lf + 1 + Number(size);
    if (lf < 0 || !Number.isInteger(end) || bytes[end] !== LF) throw new Error(`bad record at octet ${at}`);
    const mailbox = decodeUtf7(Buffer.from(name));
    const messages = kept.get(mailbox) ?? [];
    kept.set(mailbox, messages);
    if (Number(uid) > 0) {
      const words = flags.split(" ").filter(word => word !== "");
      messages.push({
        uid: Number(uid),
        bytes: bytes.subarray(lf + 1, end),
        flags: words,
        ...(date === "" ? {} : { date: readDateTime(date) }),
      });
    }
    at = end + 1;
  }
  return kept;
}

/** RFC 3501 §9 `date-time` without its quotes. */
export function readDateTime(text: string): Date {
  const found = /^\s?(\d{1,2})-(\w{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)$/u.exec(text);
  if (found === null) throw new Error(`"${text}" is no date-time`);
  const [, day, month, year, hour, minute, second, sign, zoneHours, zoneMinutes] = found;
  const zone = (sign === "-" ? -1 : 1) * (Number(zoneHours) * 60 + Number(zoneMinutes));
  const monthIndex = MONTHS.indexOf(month ?? "");
  return new Date(
    Date.UTC(Number(year), monthIndex, Number(day), Number(hour), Number(minute) - zone, Number(second)),
  );
}
