/** One mailbox into one Maildir folder: only what is not there yet; flags of what is there are brought up to date by renaming. */
import { readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../core/errors.ts";
import type { MailboxBody } from "../wire/api/accounts.ts";
import type { MailboxMessageBody } from "../wire/api/transfer.ts";
import type { ExportMailboxReport, ExportOptions } from "../wire/transfer-calls.ts";
import { readKeywords, writeKeywords, writeUidList } from "./dovecot-files.ts";
import { type ExportedName, exportBase, mailboxGuid, readExportName } from "./export-names.ts";
import type { ExportTally } from "./export-tally.ts";
import { readSmallFile } from "./maildir-folders.ts";
import { MAX_LETTER_KEYWORDS, writeLetters } from "./maildir-name.ts";
import { cleanTmp, makeFolder, replaceFile, syncDirectory, writeMessage } from "./maildir-writer.ts";

/** Messages that are fetched and written at a time. */
const AT_ONCE = 8;

export async function exportFolder(
  options: ExportOptions,
  mailbox: MailboxBody,
  dir: string,
  tally: ExportTally,
): Promise<ExportMailboxReport> {
  const folder = new FolderExport(options, mailbox, dir, tally);
  return options.dryRun ? folder.plan() : folder.run();
}

class FolderExport {
  readonly #options: ExportOptions;
  readonly #mailbox: MailboxBody;
  readonly #dir: string;
  readonly #tally: ExportTally;
  /** Files of earlier runs by UID. */
  readonly #there = new Map<number, { readonly file: string; readonly name: ExportedName }>();
  #keywords: string[] = [];
  readonly #counts = { found: 0, copied: 0, already: 0, failed: 0, copied_bytes: 0, gone: 0 };

  constructor(options: ExportOptions, mailbox: MailboxBody, dir: string, tally: ExportTally) {
    this.#options = options;
    this.#mailbox = mailbox;
    this.#dir = dir;
    this.#tally = tally;
  }

  async plan(): Promise<ExportMailboxReport> {
    await this.#readThere();
    for await (const page of this.#pages())
      for (const message of page) {
        const there = this.#there.delete(message.uid);
        this.#counts[there ? "already" : "copied"] += 1;
        if (!there) this.#counts.copied_bytes += message.size_bytes;
        this.#tally.step(this.#mailbox.name, 0);
      }
    return this.#report();
  }

  async run(): Promise<ExportMailboxReport> {
    const { owner } = this.#options;
    await makeFolder(this.#dir, owner);
    if (this.#mailbox.name !== "INBOX")
      await replaceFile(join(this.#dir, "maildirfolder"), "", owner, "utf8");
    await cleanTmp(this.#dir, name => readExportName(name) !== undefined);
    await this.#readThere();
    for await (const page of this.#pages()) {
      await this.#nameKeywords(page);
      await inParallel(page, AT_ONCE, message => this.#one(message));
    }
    await syncDirectory(join(this.#dir, "cur"));
    await this.#writeList();
    await syncDirectory(this.#dir);
    return this.#report();
  }

  #report(): ExportMailboxReport {
    this.#counts.gone = this.#there.size;
    return { mailbox: this.#mailbox.name, folder: this.#dir, ...this.#counts };
  }

  async #readThere(): Promise<void> {
    for (const sub of ["new", "cur"]) {
      for (const file of await readdir(join(this.#dir, sub)).catch(() => [])) {
        const name = readExportName(file);
        if (name?.uidValidity === this.#mailbox.uid_validity)
          this.#there.set(name.uid, { file: join(sub, file), name });
      }
    }
    const names = readKeywords((await readSmallFile(join(this.#dir, "dovecot-keywords"), "latin1")) ?? "");
    // A gap stays one: letters keep their meaning.
    this.#keywords = Array.from(names, name => name ?? "");
  }

  async *#pages(): AsyncIterable<readonly MailboxMessageBody[]> {
    let cursor: string | null = null;
    do {
      const page = await this.#options.calls.messages(this.#options.account, this.#mailbox.name, cursor);
      this.#counts.found += page.items.length;
      yield page.items;
      cursor = page.next_cursor;
    } while (cursor !== null);
  }

  /** Letters get their names on disk before a file uses them. */
  async #nameKeywords(page: readonly MailboxMessageBody[]): Promise<void> {
    const before = this.#keywords.length;
    for (const keyword of page.flatMap(message => message.keywords)) {
      if (this.#keywords.includes(keyword)) continue;
      if (this.#keywords.length < MAX_LETTER_KEYWORDS) this.#keywords.push(keyword);
      else this.#tally.tooManyKeywords(this.#mailbox.name, keyword);
    }
    if (this.#keywords.length === before) return;
    await replaceFile(
      join(this.#dir, "dovecot-keywords"),
      writeKeywords(this.#keywords),
      this.#options.owner,
      "latin1",
    );
  }

  #letters(message: MailboxMessageBody): string {
    return writeLetters(message.flags, message.keywords, keyword => {
      const index = this.#keywords.indexOf(keyword);
      return index < 0 ? undefined : String.fromCharCode(97 + index);
    });
  }

  async #one(message: MailboxMessageBody): Promise<void> {
    const letters = this.#letters(message);
    const there = this.#there.get(message.uid);
    if (there !== undefined) {
      this.#there.delete(message.uid);
      this.#counts.already += 1;
      if (there.name.letters !== letters) {
        const to = join(this.#dir, "cur", `${there.name.base}:2,${letters}`);
        await rename(join(this.#dir, there.file), to);
      }
      this.#tally.step(this.#mailbox.name, 0);
      return;
    }
    await this.#write(message, letters);
  }

  async #write(message: MailboxMessageBody, letters: string): Promise<void> {
    const { calls, account, owner } = this.#options;
    const date = new Date(message.internal_date);
    const base = exportBase(this.#mailbox.uid_validity, message.uid, date, message.size_bytes);
    try {
      const content = await calls.raw(account, this.#mailbox.name, message.uid);
      await writeMessage(this.#dir, `${base}:2,${letters}`, content, {
        date,
        sizeBytes: message.size_bytes,
        owner,
      });
      this.#counts.copied += 1;
      this.#counts.copied_bytes += message.size_bytes;
      this.#tally.step(this.#mailbox.name, message.size_bytes);
    } catch (error) {
      if (isDisk(error) || calls.failureOf(error) === "fatal") throw error;
      this.#counts.failed += 1;
      const isGone = calls.failureOf(error) === "gone";
      this.#tally.problem(
        this.#mailbox.name,
        message.uid,
        isGone ? "expunged meanwhile" : messageOf(error),
        isGone,
      );
    }
  }

  /** From the directory itself: files that are no longer in the mailbox keep their UID. */
  async #writeList(): Promise<void> {
    const { uid_validity: uidValidity, uid_next: uidNext, name } = this.#mailbox;
    const files = [...(await readdir(join(this.#dir, "cur"))), ...(await readdir(join(this.#dir, "new")))]
      .flatMap(file => readExportName(file) ?? [])
      .filter(one => one.uidValidity === uidValidity)
      .sort((one, other) => one.uid - other.uid);
    const guid = mailboxGuid(this.#options.account, name, uidValidity);
    const next = Math.max(uidNext, (files.at(-1)?.uid ?? 0) + 1);
    const text = writeUidList({ uidValidity, uidNext: next, guid }, files);
    await replaceFile(join(this.#dir, "dovecot-uidlist"), text, this.#options.owner, "latin1");
  }
}

/** Errors of our own files: every further message would meet them. */
const isDisk = (error: unknown): boolean => error instanceof Error && "syscall" in error;

async function inParallel<T>(
  items: readonly T[],
  width: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < items.length) await work(items[next++] as T);
  };
  await Promise.all(Array.from({ length: width }, worker));
}
