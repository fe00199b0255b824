/**
 * One pass over one folder of an IMAP server: which messages there are, which are new, flags that changed, then the new messages, then
 * a second look. A server that counts its changes (CONDSTORE) is asked only for the flags that changed since the last whole pass.
 */
import type { OpenedMailboxBody } from "../wire/api/transfer.ts";
import { MAX_KNOWN_ITEMS } from "../wire/transfer.ts";
import type { ImapImportOptions, RateLimit } from "../wire/transfer-calls.ts";
import type { PlannedFolder } from "./folder-names.ts";
import { type ReadFlags, readFlags, unusableKeywords } from "./imap-flags.ts";
import type { ImapMailbox } from "./imap-login.ts";
import { type FolderMessage, ImapPages } from "./imap-pages.ts";
import type { ImapSession, OpenedFolder } from "./imap-session.ts";
import type { BatchEntry } from "./import-batches.ts";
import { type CopyRun, copyMessages } from "./import-copy.ts";
import type { MailboxTally } from "./import-tally.ts";

/** UIDs that one FETCH names. */
const SET_UIDS = 500;

export interface ImapImportRun extends CopyRun {
  readonly options: ImapImportOptions;
  readonly session: ImapSession;
  readonly rate: RateLimit;
}

export interface ImapFolderPlan {
  readonly box: ImapMailbox;
  readonly plan: PlannedFolder;
  /** Stands for server, user and folder. */
  readonly where: string;
}

type Message = FolderMessage & BatchEntry;

export async function importImapFolder(run: ImapImportRun, folder: ImapFolderPlan): Promise<void> {
  const { options, account, session } = run;
  const { box, plan, where } = folder;
  const tally = run.tally.mailbox(box.name, plan.target);
  const there = await session.open(box.path, true);
  const keepable = options.uids === "keep" && !plan.shared;
  const source = keepable ? { uid_validity: there.uidValidity, uid_next: there.uidNext } : null;
  const seen =
    there.modseq === undefined ? {} : { folder: { source: where, uid_validity: there.uidValidity } };
  const opened = await options.calls.open(
    run.id,
    {
      account,
      name: plan.target,
      subscribe: box.subscribed || box.name === "INBOX",
      source_uids: source,
      ...seen,
    },
    options.dryRun,
  );
  tally.counts.uids = opened.uids;
  tally.counts.uids_reason = opened.uids_reason || whyOwn(options, plan, opened);
  const pass = new FolderPass(run, there, `imap:${where}:${there.uidValidity}`, tally);
  const fresh = await pass.compare(opened);
  if (options.dryRun) {
    for (const { sizeBytes } of fresh) tally.copied(sizeBytes);
    return;
  }
  const keeps = opened.uids === "kept" && source !== null;
  const pages = new ImapPages(session, fresh, run.rate);
  const isWhole = await copyMessages(
    run,
    fresh.map(entry => ({ entry, uid: entry.uid })),
    tally,
    {
      mailbox: opened.name,
      uidValidity: keeps ? there.uidValidity : undefined,
      load: entry => pages.load(entry),
      nameOf: entry => `UID ${entry.uid}`,
    },
  );
  const closed = await options.calls.close(run.id, {
    ...{ account, name: opened.name, source_uids: keeps && isWhole ? source : null },
    ...(there.modseq === undefined || there.modseq === 0n
      ? {}
      : { seen: { source: where, uid_validity: there.uidValidity, modseq: String(there.modseq) } }),
  });
  tally.counts.gone_at_source = closed.gone_at_source;
  tally.counts.uids = closed.uids;
  if (await pass.isChanged(box.path)) run.tally.changed = true;
}

function whyOwn(options: ImapImportOptions, plan: PlannedFolder, opened: OpenedMailboxBody): string {
  if (options.uids === "own") return "as asked for";
  return opened.uids === "own" && plan.shared ? "several folders of the source go into it" : "";
}

class FolderPass {
  readonly #run: ImapImportRun;
  readonly #there: OpenedFolder;
  readonly #prefix: string;
  readonly #tally: MailboxTally;
  #uids: readonly number[] = [];
  /** As they were listed; undefined: the server counts changes, and tells only those. */
  #flags: ReadonlyMap<number, ReadFlags> = new Map();
  #unusable = new Set<string>();

  constructor(run: ImapImportRun, there: OpenedFolder, prefix: string, tally: MailboxTally) {
    this.#run = run;
    this.#there = there;
    this.#prefix = prefix;
    this.#tally = tally;
  }

  /** @returns what the service does not know, in UID order. Flags that changed are changed there by the same calls. */
  async compare({ name: mailbox, source_modseq: modseq }: OpenedMailboxBody): Promise<readonly Message[]> {
    const { options, account, id } = this.#run;
    this.#uids = await this.#list();
    this.#tally.counts.found = this.#uids.length;
    const since = modseq === undefined ? undefined : BigInt(modseq);
    const isUnchanged = since !== undefined && since === this.#there.modseq;
    this.#flags = isUnchanged || this.#uids.length === 0 ? new Map() : await this.#listFlags(since);
    const fresh: number[] = [];
    for (let at = 0; at < this.#uids.length; at += MAX_KNOWN_ITEMS) {
      const page = this.#uids.slice(at, at + MAX_KNOWN_ITEMS);
      const items = page.map(uid => {
        const found = this.#flags.get(uid);
        const flags = found === undefined ? {} : { flags: [...found.flags], keywords: [...found.keywords] };
        return { key: this.#key(uid), ...flags };
      });
      const answer = await options.calls.compare(id, { account, mailbox, items }, options.dryRun);
      for (const [i, uid] of page.entries()) {
        if (answer.results[i] === "new") fresh.push(uid);
        else this.#tally.already(1);
        if (answer.results[i] === "flags_changed") this.#tally.counts.flags_updated += 1;
      }
    }
    const messages = await this.#details(fresh);
    if (this.#unusable.size > 0)
      this.#run.tally.notes.push(
        `${mailbox}: keywords that cannot be kept were left out: ${[...this.#unusable].sort().join(" ")}`,
      );
    return messages;
  }

  /** Whether there is something that this pass did not see. */
  async isChanged(path: string): Promise<boolean> {
    const now = await this.#run.session.open(path, true);
    const { uidValidity, uidNext, exists, modseq } = this.#there;
    if (now.uidValidity !== uidValidity || now.uidNext !== uidNext || now.exists !== exists) return true;
    if (modseq !== undefined) return now.modseq !== modseq;
    if (exists === 0) return false;
    const flags = await this.#listFlags(undefined);
    const text = (found: ReadFlags | undefined) => JSON.stringify([found?.flags, found?.keywords]);
    return this.#uids.some(uid => text(flags.get(uid)) !== text(this.#flags.get(uid)));
  }

  #key(uid: number): string {
    return `${this.#prefix}:${uid}`;
  }

  async #list(): Promise<readonly number[]> {
    const found = await this.#run.session.run("list messages", client =>
      client.search({ all: true }, { uid: true }),
    );
    if (!Array.isArray(found)) throw new Error("the server gave no list of messages");
    return [...found].sort((one, other) => one - other);
  }

  #listFlags(since: bigint | undefined): Promise<ReadonlyMap<number, ReadFlags>> {
    return this.#run.session.run("list flags", async client => {
      const flags = new Map<number, ReadFlags>();
      const query = { uid: true, flags: true } as const;
      const options = { uid: true, ...(since === undefined ? {} : { changedSince: since }) };
      for await (const found of client.fetch("1:*", query, options))
        flags.set(found.uid, this.#read(found.flags));
      return flags;
    });
  }

  #read(found: ReadonlySet<string> | undefined): ReadFlags {
    for (const word of unusableKeywords(found)) if (this.#unusable.size < SET_UIDS) this.#unusable.add(word);
    return readFlags(found);
  }

  /** A message that went meanwhile stays among them: it is counted when it is to be read. */
  async #details(uids: readonly number[]): Promise<readonly Message[]> {
    const messages: Message[] = [];
    for (let at = 0; at < uids.length; at += SET_UIDS) {
      const set = uids.slice(at, at + SET_UIDS);
      const found = await this.#run.session.run("list sizes", async client => {
        const page = new Map<number, FolderMessage>();
        const query = { uid: true, flags: true, size: true, internalDate: true } as const;
        for await (const one of client.fetch(set.join(","), query, { uid: true })) {
          const date = new Date(one.internalDate ?? Number.NaN);
          if (one.size === undefined) continue;
          page.set(one.uid, {
            ...{ uid: one.uid, sizeBytes: one.size, ...this.#read(one.flags) },
            date: Number.isNaN(date.getTime()) ? new Date() : date,
          });
        }
        return page;
      });
      for (const uid of set)
        messages.push({
          key: this.#key(uid),
          ...(found.get(uid) ?? { uid, sizeBytes: 0, date: new Date(), flags: [], keywords: [] }),
        });
    }
    return messages;
  }
}
