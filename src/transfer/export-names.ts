/** Names in an exported Maildir: of directories and of message files. Pure but for a digest. */
import { createHash } from "node:crypto";
import { encodeModifiedUtf7 } from "../core/modified-utf7.ts";

/** Longest name of a directory entry, in octets (ext4, xfs, btrfs). */
const MAX_ENTRY_BYTES = 255;

/**
 * The directory of each mailbox: "" for INBOX, else Maildir++ (`.A.B`). A dot within a level becomes `_`, because it would be read as
 * a level; names that are too long are cut. Every directory is another one, and the marker says which mailbox it is.
 */
export function directoriesOf(mailboxes: readonly string[]): ReadonlyMap<string, string> {
  const taken = new Set<string>();
  const directories = new Map<string, string>();
  // Names that stay as they are come first: they keep them.
  const order = [...mailboxes].sort((one, other) => Number(one.includes(".")) - Number(other.includes(".")));
  for (const mailbox of order) {
    if (mailbox === "INBOX") {
      directories.set(mailbox, "");
      continue;
    }
    const levels = mailbox.split("/").map(level => encodeModifiedUtf7(level.replaceAll(".", "_")));
    const wanted = `.${levels.join(".")}`;
    const cut = `.long-${createHash("sha256").update(mailbox).digest("hex").slice(0, 16)}`;
    const base = Buffer.byteLength(wanted) <= MAX_ENTRY_BYTES - 4 ? wanted : cut;
    let name = base;
    for (let n = 2; taken.has(name); n += 1) name = `${base}-${n}`;
    taken.add(name);
    directories.set(mailbox, name);
  }
  return directories;
}

export interface ExportedName {
  readonly uid: number;
  readonly uidValidity: number;
  /** With the size, without flags: as `dovecot-uidlist` wants it. */
  readonly base: string;
  readonly letters: string;
}

/** The same message always gets the same name: that is how the next run knows it. */
export function exportBase(uidValidity: number, uid: number, date: Date, sizeBytes: number): string {
  const seconds = Math.max(0, Math.floor(date.getTime() / 1000));
  return `${seconds}.U${uid}V${uidValidity}.mairust,S=${sizeBytes}`;
}

const NAME = /^(\d+\.U(\d+)V(\d+)\.mairust(?:,S=\d+)?(?:,W=\d+)?)(?::2,([A-Za-z]*))?$/u;

/** @returns undefined: no name of ours */
export function readExportName(name: string): ExportedName | undefined {
  const match = NAME.exec(name);
  if (match === null) return undefined;
  const [, base = "", uid, uidValidity, letters = ""] = match;
  return { uid: Number(uid), uidValidity: Number(uidValidity), base, letters };
}

/** Of the mailbox, as Dovecot wants one: the same at every run. */
export function mailboxGuid(account: string, mailbox: string, uidValidity: number): string {
  return createHash("sha256").update(`${account}\0${mailbox}\0${uidValidity}`).digest("hex").slice(0, 32);
}
