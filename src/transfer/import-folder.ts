/** One pass over one folder of the source: what is there, what is new, flags that changed, then the new messages, then a second look. */
import type { OpenedMailboxBody } from "../wire/api/transfer.ts";
import { MAX_KEY_CHARS, MAX_KNOWN_ITEMS } from "../wire/transfer.ts";
import type { ImportOptions } from "../wire/transfer-calls.ts";
import type { PlannedFolder } from "./folder-names.ts";
import type { PendingMessage } from "./import-batches.ts";
import { type CopyRun, copyMessages } from "./import-copy.ts";
import type { MailboxTally } from "./import-tally.ts";
import type { SourceFolder } from "./maildir-folders.ts";
import { compareByTime } from "./maildir-name.ts";
import { entryPath, type FolderScan, type SourceEntry, scanFolder } from "./maildir-scan.ts";
import { type LoadedFile, loadFile } from "./message-file.ts";

export interface ImportRun extends CopyRun {
  readonly options: ImportOptions;
  /** Bytes as they are: an export of ours. */
  readonly exact: boolean;
}

export interface FolderPlan {
  readonly folder: SourceFolder;
  readonly plan: PlannedFolder;
  readonly subscribe: boolean;
}

export async function importFolder(run: ImportRun, { folder, plan, subscribe }: FolderPlan): Promise<void> {
  const { options, account } = run;
  const tally = run.tally.mailbox(folder.name, plan.target);
  const scan = await scanFolder(folder.dir);
  tally.counts.found = scan.entries.size + scan.hidden;
  for (let i = 0; i < scan.hidden; i += 1)
    tally.skipped("hidden", folder.name, "names that begin with a dot");
  noteOddities(run, folder, scan);
  const source = sourceUids(run, plan, scan);
  const asked = { account, name: plan.target, subscribe, source_uids: source ?? null };
  const opened = await options.calls.open(run.id, asked, options.dryRun);
  tally.counts.uids = opened.uids;
  tally.counts.uids_reason = opened.uids_reason || whyOwn(run, plan, scan, opened);
  const keeps = opened.uids === "kept" && source !== undefined;
  const fresh = await compareAll(run, opened.name, scan, tally);
  const pending = inOrder(fresh, scan, keeps, options.final, opened.uid_next);
  const ready = withoutUidless(pending, keeps, tally);
  if (ready.length < pending.length) run.tally.changed = true;
  if (options.dryRun) {
    for (const { entry: _ } of ready) tally.copied(0);
    return;
  }
  const finder = new FileFinder(folder.dir, run.exact);
  const isWhole = await copyMessages(run, ready, tally, {
    mailbox: opened.name,
    uidValidity: keeps ? source?.uid_validity : undefined,
    load: entry => finder.load(entry),
    nameOf: shownName,
  });
  const last = ready.at(-1)?.uid ?? 0;
  const closing = keeps && isWhole ? { ...source, uid_next: Math.max(source.uid_next, last + 1) } : null;
  const closed = await options.calls.close(run.id, { account, name: opened.name, source_uids: closing });
  tally.counts.gone_at_source = closed.gone_at_source;
  tally.counts.uids = closed.uids;
  if (!sameNames(scan, await scanFolder(folder.dir))) run.tally.changed = true;
}

function noteOddities(run: ImportRun, folder: SourceFolder, scan: FolderScan): void {
  const { notes } = run.tally;
  const dropped = [...scan.entries.values()].reduce((sum, entry) => sum + entry.dropped, 0);
  if (dropped > 0)
    notes.push(
      `${folder.name}: ${dropped} keyword letters have no usable name in dovecot-keywords and were left out`,
    );
  if ((scan.uidList?.broken ?? 0) > 0)
    notes.push(
      `${folder.name}: ${scan.uidList?.broken} lines of dovecot-uidlist cannot be read and were left out`,
    );
}

function sourceUids({ options }: ImportRun, plan: PlannedFolder, { uidList }: FolderScan) {
  if (options.uids === "own" || plan.shared || uidList === undefined) return undefined;
  return { uid_validity: uidList.uidValidity, uid_next: uidList.uidNext };
}

function whyOwn(run: ImportRun, plan: PlannedFolder, scan: FolderScan, opened: OpenedMailboxBody): string {
  if (opened.uids === "kept" || run.options.uids === "own")
    return run.options.uids === "own" ? "as asked for" : "";
  if (plan.shared) return "several folders of the source go into it";
  return scan.uidList === undefined ? "the source has no dovecot-uidlist" : "";
}

/** @returns what the service does not know. Flags that changed are changed there by the same calls. */
async function compareAll(
  run: ImportRun,
  mailbox: string,
  scan: FolderScan,
  tally: MailboxTally,
): Promise<readonly SourceEntry[]> {
  const { options, account } = run;
  const fresh: SourceEntry[] = [];
  const usable = [...scan.entries.values()].filter(entry => {
    if (entry.key.length <= MAX_KEY_CHARS) return true;
    tally.failed("bad_name", shownName(entry), "the file name is too long");
    return false;
  });
  for (let at = 0; at < usable.length; at += MAX_KNOWN_ITEMS) {
    const page = usable.slice(at, at + MAX_KNOWN_ITEMS);
    const items = page.map(({ key, flags, keywords }) => ({
      key,
      flags: [...flags],
      keywords: [...keywords],
    }));
    const answer = await options.calls.compare(run.id, { account, mailbox, items }, options.dryRun);
    for (const [i, entry] of page.entries()) {
      const kind = answer.results[i];
      if (kind === "new") fresh.push(entry);
      else tally.already(1);
      if (kind === "flags_changed") tally.counts.flags_updated += 1;
      const before = answer.source_uids[i] ?? undefined;
      if (
        before !== undefined &&
        entry.uid !== undefined &&
        before !== entry.uid &&
        tally.counts.uids === "kept"
      )
        tally.failed("uid_differs", shownName(entry), `UID ${before} here, ${entry.uid} at the source`);
    }
  }
  return fresh;
}

/** By UID, and those that have none behind, as Dovecot would number them. */
function inOrder(
  fresh: readonly SourceEntry[],
  { uidList }: FolderScan,
  keeps: boolean,
  final: boolean,
  uidNextHere: number,
): readonly PendingMessage<SourceEntry>[] {
  const listed = fresh.filter(entry => entry.uid !== undefined);
  const unlisted = fresh.filter(entry => entry.uid === undefined);
  listed.sort((one, other) => (one.uid ?? 0) - (other.uid ?? 0));
  unlisted.sort((one, other) => compareByTime(one.name, other.name));
  const first = Math.max(uidList?.uidNext ?? 1, uidNextHere);
  return [
    ...listed.map(entry => ({ entry, uid: entry.uid })),
    ...unlisted.map((entry, i) => ({ entry, uid: keeps && final ? first + i : undefined })),
  ];
}

/** The source's server will give them a UID; until then the whole map could not be the same. */
function withoutUidless(
  pending: readonly PendingMessage<SourceEntry>[],
  keeps: boolean,
  tally: MailboxTally,
): readonly PendingMessage<SourceEntry>[] {
  if (!keeps) return pending;
  return pending.filter(({ entry, uid }) => {
    if (uid !== undefined) return true;
    tally.skipped(
      "no_uid_yet",
      shownName(entry),
      "its server gave it no UID yet; --final when that server is stopped",
    );
    return false;
  });
}

/** The name as text: what is no UTF-8 shows as U+FFFD. */
const shownName = (entry: SourceEntry): string =>
  `${entry.sub}/${Buffer.from(entry.name, "latin1").toString("utf8")}`;

/** A file whose flags change is renamed: then the folder is looked through again, at most once per so many misses. */
const MISSES_PER_SCAN = 100;

class FileFinder {
  readonly #dir: string;
  readonly #exact: boolean;
  #scan: FolderScan | undefined;
  #misses = 0;

  constructor(dir: string, exact: boolean) {
    this.#dir = dir;
    this.#exact = exact;
  }

  async load(entry: SourceEntry): Promise<LoadedFile> {
    const loaded = await loadFile(entryPath(this.#dir, entry), this.#exact);
    if (loaded.kind !== "vanished") return loaded;
    const known = this.#scan?.entries.get(entry.key);
    if (known !== undefined) {
      const moved = await loadFile(entryPath(this.#dir, known), this.#exact);
      if (moved.kind !== "vanished") return moved;
    }
    if (this.#scan === undefined || ++this.#misses >= MISSES_PER_SCAN) {
      this.#misses = 0;
      this.#scan = await scanFolder(this.#dir);
    }
    const again = this.#scan.entries.get(entry.key);
    return again === undefined ? loaded : loadFile(entryPath(this.#dir, again), this.#exact);
  }
}

/** Same messages with the same flags and UIDs. */
function sameNames(before: FolderScan, after: FolderScan): boolean {
  if (
    before.entries.size !== after.entries.size ||
    before.uidList?.uidValidity !== after.uidList?.uidValidity
  )
    return false;
  for (const [key, entry] of after.entries) {
    const old = before.entries.get(key);
    if (old === undefined || old.uid !== entry.uid) return false;
    if (old.flags.join() !== entry.flags.join() || old.keywords.join() !== entry.keywords.join())
      return false;
  }
  return true;
}
