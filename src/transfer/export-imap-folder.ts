/**
 * One mailbox of ours into one folder of another server: what is written down or recognised there is left, the rest is sent, flags that
 * changed here are carried over, and, when asked for, what is gone here is removed there.
 */
import { messageOf } from "../core/errors.ts";
import type { MailboxBody } from "../wire/api/accounts.ts";
import type { MailboxMessageBody } from "../wire/api/transfer.ts";
import type { ImapExportMailboxReport, ImapExportOptions, RateLimit } from "../wire/transfer-calls.ts";
import { FlagCarrier } from "./export-imap-flags.ts";
import { type FolderState, KnownThere, type Recognized } from "./export-imap-known.ts";
import { type Loaded, loadMessages } from "./export-imap-load.ts";
import type { ExportTally } from "./export-tally.ts";
import { AppendConnection, type Appended } from "./imap-append.ts";
import { allFlags, keptFlags } from "./imap-flags.ts";
import { ConnectionLost, type ImapSession, type OpenedFolder } from "./imap-session.ts";
import type { ImapTarget } from "./imap-target.ts";

/** Connections that one message may cost. */
const MAX_LOST = 3;

export interface ExportRun {
  readonly options: ImapExportOptions;
  readonly session: ImapSession;
  readonly target: ImapTarget;
  readonly tally: ExportTally;
  readonly rate: RateLimit;
  readonly mailboxes: readonly MailboxBody[];
  readonly notes: string[];
  /** 0: a dry run. */
  readonly id: number;
  /** Made with the first message that is sent. */
  sender: AppendConnection | undefined;
  closeSender(): void;
}

export async function exportImapFolder(
  run: ExportRun,
  mailbox: MailboxBody,
  path: string,
  isNew: boolean,
): Promise<ImapExportMailboxReport> {
  const folder = new FolderExport(run, mailbox, path);
  await folder.run(isNew);
  return folder.report();
}

class FolderExport {
  readonly #run: ExportRun;
  readonly #mailbox: MailboxBody;
  readonly #path: string;
  readonly #counts = {
    ...{ found: 0, copied: 0, already: 0, failed: 0, copied_bytes: 0, gone: 0 },
    ...{ recognized: 0, flags_updated: 0, expunged: 0, removed_there: 0 },
  };
  #there: OpenedFolder | undefined;
  #known: KnownThere | undefined;
  #flags: FlagCarrier | undefined;
  /** Written down with the next call. */
  #rows: FolderState[] = [];
  #copied = 0;
  #copiedBytes = 0;
  #isAnnounced = false;
  /** The server has no room: what it said. */
  #full = "";

  constructor(run: ExportRun, mailbox: MailboxBody, path: string) {
    this.#run = run;
    this.#mailbox = mailbox;
    this.#path = path;
  }

  report(): ImapExportMailboxReport {
    return { mailbox: this.#mailbox.name, folder: this.#path, ...this.#counts };
  }

  async run(isNew: boolean): Promise<void> {
    const { options, session, target } = this.#run;
    const { dryRun } = options;
    if (dryRun && isNew) return this.#planAll();
    this.#there = await session.open(this.#path, dryRun);
    const known = new KnownThere(this.#run, this.#mailbox.name, target);
    this.#known = known;
    if (!dryRun) await this.#open(this.#there.uidValidity);
    await known.read(dryRun);
    this.#flags = new FlagCarrier(target, this.#there.permanentFlags);
    for await (const page of this.#pages()) await this.#page(page, known);
    if (!dryRun) await this.#close(known);
  }

  async #planAll(): Promise<void> {
    for await (const page of this.#pages()) for (const message of page) this.#countCopied(message.size_bytes);
  }

  #open(uidValidity: number): Promise<void> {
    const { options, id } = this.#run;
    const body = { account: options.account, mailbox: this.#mailbox.name, folder: this.#path };
    return options.calls.open(id, { ...body, uid_validity: uidValidity });
  }

  async *#pages(): AsyncIterable<readonly MailboxMessageBody[]> {
    const { calls, account } = this.#run.options;
    let cursor: string | null = null;
    do {
      const page = await calls.messages(account, this.#mailbox.name, cursor);
      this.#counts.found += page.items.length;
      yield page.items;
      cursor = page.next_cursor;
    } while (cursor !== null);
  }

  async #page(page: readonly MailboxMessageBody[], known: KnownThere): Promise<void> {
    const { options, tally } = this.#run;
    const pending: MailboxMessageBody[] = [];
    for (const message of page) {
      const row = known.take(message.uid);
      if (row === undefined) {
        pending.push(message);
        continue;
      }
      const there = known.there.get(row.thereUid);
      if (there === undefined) this.#counts.removed_there += 1;
      else {
        this.#counts.already += 1;
        this.#flags?.follow(there, row.flags, message);
        if (!sameFlags(row.flags, allFlags(message))) this.#rows.push(stateOf(message, row.thereUid));
      }
      tally.step(this.#mailbox.name, 0);
    }
    for await (const group of loadMessages(options, this.#mailbox.name, pending)) {
      await this.#group(group, known);
    }
    if (options.dryRun) return;
    this.#counts.flags_updated += (await this.#flags?.flush()) ?? 0;
    await this.#record(this.#isAnnounced ? this.#path : null);
  }

  /**
   * Recognise, then send the rest; what has no answer because the connection broke is looked for again. From then on one is sent at a
   * time, so that a message over which the server closes the connection is found out.
   */
  async #group(group: readonly Loaded[], known: KnownThere): Promise<void> {
    let left: readonly Loaded[] = group.filter(one => this.#isReadable(one));
    let atOnce = left.length;
    let lost = 0;
    while (left.length > 0) {
      const found = await known.recognize(left);
      for (const match of found.values()) this.#recognized(match);
      left = left.filter(one => !found.has(one.message.uid));
      if (this.#run.options.dryRun) {
        for (const { message } of left) this.#countCopied(message.size_bytes);
        return;
      }
      if (left.length === 0) return;
      if (!this.#isAnnounced || this.#rows.length > 0) await this.#record(this.#path);
      const unknown = await this.#send(left.slice(0, atOnce));
      left = [...unknown, ...left.slice(atOnce)];
      lost = unknown.length === 0 ? 0 : lost + 1;
      const [first] = unknown;
      if (first === undefined) continue;
      if (atOnce === 1 && lost >= MAX_LOST) {
        this.#fail(first, "the server closes the connection over it");
        left = left.slice(1);
      }
      atOnce = 1;
      // The server may still be busy with them.
      await this.#run.target.settle(this.#path);
      await known.refresh();
    }
  }

  #isReadable(one: Loaded): boolean {
    if (one.failure === undefined) return true;
    const { reason, isGone } = one.failure;
    this.#counts.failed += 1;
    this.#run.tally.problem(this.#mailbox.name, one.message.uid, reason, isGone);
    return false;
  }

  #recognized({ loaded, there, before }: Recognized): void {
    const { message } = loaded;
    this.#counts.recognized += 1;
    this.#counts.already += 1;
    this.#rows.push(stateOf(message, there.uid));
    // Without knowing the flags it had when both were the same, none is taken away.
    this.#flags?.follow(there, before ?? [], message);
    this.#run.tally.step(this.#mailbox.name, 0);
  }

  /** @returns those whose fate is not known */
  async #send(group: readonly Loaded[]): Promise<readonly Loaded[]> {
    const answers: { readonly loaded: Loaded; readonly answer: Promise<Appended> }[] = [];
    const unknown: Loaded[] = [];
    for (const loaded of group) {
      if (this.#full !== "") this.#fail(loaded, this.#full);
      else if (unknown.length > 0) unknown.push(loaded);
      else {
        const sent = await this.#sendOne(loaded);
        if (sent === "unknown") unknown.push(loaded);
        else if (sent !== undefined) answers.push({ loaded, answer: sent.answer });
      }
    }
    for (const { loaded, answer } of answers) {
      try {
        this.#answered(loaded, await answer);
      } catch (error) {
        if (!(error instanceof ConnectionLost)) throw error;
        unknown.push(loaded);
      }
    }
    return unknown;
  }

  /** @returns undefined: it failed by itself, and nothing of it is there */
  async #sendOne(loaded: Loaded): Promise<{ readonly answer: Promise<Appended> } | "unknown" | undefined> {
    const { message } = loaded;
    // A server that cannot be reached at all is no matter of this message.
    const sender = await this.#sender();
    try {
      return await sender.send(this.#path, {
        flags: this.#keptFlags(message),
        date: new Date(message.internal_date),
        sizeBytes: loaded.sizeBytes,
        content: await loaded.content(),
      });
    } catch (error) {
      if (error instanceof ConnectionLost) return "unknown";
      const { calls } = this.#run.options;
      if (calls.failureOf(error) === "fatal") throw error;
      this.#fail(loaded, messageOf(error), calls.failureOf(error) === "gone");
      return undefined;
    }
  }

  async #sender(): Promise<AppendConnection> {
    const run = this.#run;
    if (run.sender?.isLost === true) run.closeSender();
    run.sender ??= await AppendConnection.connect(run.options.there, run.rate);
    return run.sender;
  }

  #keptFlags(message: MailboxMessageBody): readonly string[] {
    const all = allFlags(message);
    const kept = keptFlags(all, this.#there?.permanentFlags);
    for (const flag of all) if (!kept.includes(flag)) this.#flags?.leftOut.add(flag);
    return kept;
  }

  #answered(loaded: Loaded, answer: Appended): void {
    const { message } = loaded;
    if (answer.kind === "refused") {
      // What comes after would be refused as well, and might fit there although this did not.
      if (answer.code === "OVERQUOTA") this.#full = `the mailbox there is full: ${answer.text}`;
      this.#fail(loaded, answer.text);
      return;
    }
    this.#countCopied(message.size_bytes);
    this.#copied += 1;
    this.#copiedBytes += message.size_bytes;
    // A server that does not say the UID is asked for it by the bytes, at the next pass.
    if (answer.uid === undefined) return;
    this.#rows.push(stateOf(message, answer.uid));
    this.#known?.claim(answer.uid);
  }

  #countCopied(bytes: number): void {
    this.#counts.copied += 1;
    this.#counts.copied_bytes += bytes;
    this.#run.tally.step(this.#mailbox.name, bytes);
  }

  #fail({ message }: Loaded, reason: string, isGone = false): void {
    this.#counts.failed += 1;
    this.#run.tally.problem(this.#mailbox.name, message.uid, reason, isGone);
  }

  async #record(appendingTo: string | null, forget: readonly number[] = []): Promise<void> {
    const { options, id } = this.#run;
    const progress = { copied: this.#copied, copied_bytes: this.#copiedBytes };
    const isNothing = this.#rows.length === 0 && forget.length === 0 && this.#copied === 0;
    if (isNothing && this.#isAnnounced === (appendingTo !== null)) return;
    await options.calls.record(id, {
      ...{ account: options.account, mailbox: this.#mailbox.name, messages: this.#rows, forget: [...forget] },
      ...{ appending_to: appendingTo, ...progress },
    });
    this.#isAnnounced = appendingTo !== null;
    this.#rows = [];
    this.#copied = 0;
    this.#copiedBytes = 0;
  }

  async #close(known: KnownThere): Promise<void> {
    const { options, notes } = this.#run;
    const gone = known.left();
    this.#counts.gone = gone.length;
    let forget: readonly number[] = [];
    if (options.expunge === true && gone.length > 0) {
      const isRemoved = await this.#run.target.remove(gone.map(row => row.thereUid));
      if (isRemoved) {
        this.#counts.expunged = gone.length;
        forget = gone.map(row => row.uid);
      } else notes.push(`${this.#mailbox.name}: the server did not remove ${gone.length} messages`);
    }
    for (let at = 0; at < forget.length; at += MAX_FORGET)
      await this.#record(null, forget.slice(at, at + MAX_FORGET));
    await this.#record(null);
    const leftOut = [...(this.#flags?.leftOut ?? [])];
    if (leftOut.length > 0)
      notes.push(`${this.#mailbox.name}: the server does not keep these flags: ${leftOut.sort().join(" ")}`);
    if (this.#flags?.refused === true)
      notes.push(`${this.#mailbox.name}: the server refused changes of flags`);
  }
}

const MAX_FORGET = 1000;

const stateOf = ({ uid, flags, keywords }: MailboxMessageBody, thereUid: number): FolderState => ({
  uid,
  there_uid: thereUid,
  flags: [...flags],
  keywords: [...keywords],
});

const sameFlags = (one: readonly string[], other: readonly string[]): boolean =>
  one.length === other.length && one.every(flag => other.includes(flag));
