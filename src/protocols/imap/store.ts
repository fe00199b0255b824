/**
 * STORE and UID STORE. Messages are changed in pages, each in one commit, so that mail comes in between and a client that leaves ends
 * it; after each page the session takes over the new flags and answers. Without a writer flags are read-only.
 *
 * What fails on the way is a NO that says how far it came. What is committed is never a NO: where the session cannot take it over, the
 * client is told that it was done, and begins anew with the mailbox as it is.
 * Source: RFC 3501 §6.4.6, §7.4.1; RFC 7162 §3.1.3; RFC 5530 (EXPUNGEISSUED).
 */
import { MairustError, toMairustError } from "../../core/errors.ts";
import { changeFlags } from "../../core/flag-change.ts";
import { KeywordRoom } from "../../core/keyword-room.ts";
import { SnapshotCursor } from "../../core/mailbox-snapshot.ts";
import { type FlagWriter, STORE_PAGE } from "../../core/ports/flag-writer.ts";
import type { FlagSet } from "../../core/ports/store.ts";
import { sleep } from "../../platform/deadline.ts";
import { inSlices } from "../../platform/slices.ts";
import { enableCondstore } from "./condstore.ts";
import type { InMailbox } from "./context.ts";
import { indexesInSteps } from "./number-set.ts";
import { ConnectionGone } from "./output.ts";
import type { StoreCommand } from "./parse-store.ts";
import { refuseWrite } from "./read-only.ts";
import { bad, type Completion, completionOf, no, ok } from "./reply.ts";
import { countIndexes } from "./sequence-set.ts";
import { ConflictSet } from "./store-conflicts.ts";
import { storedFlags } from "./store-flags.ts";
import { type StorePage, tellPage } from "./store-news.ts";
import { ImapSyntaxError } from "./syntax-error.ts";

export async function store(context: InMailbox, command: StoreCommand): Promise<Completion> {
  const { writer, selected } = context;
  if (writer === undefined) return refuseWrite(context, "STORE");
  if (!selected.writable) return no("The mailbox is open for reading only: SELECT it", "NOPERM");
  const flags = storedFlags(command.flags, selected.view.flags.keywords, context.limits.storeKeywords);
  if ("status" in flags) return flags;
  if (command.unchangedSince !== undefined) enableCondstore(context);
  try {
    const indexes = await inSlices(indexesInSteps(command.set, command.uid, selected));
    return await new Store(context, command, flags, writer).run(indexes);
  } catch (error) {
    if (error instanceof ImapSyntaxError) return bad(error.publicText);
    throw error;
  }
}

/** Longest time that a mailbox is left to others between two pages; else as long as a page took. */
const MAX_REST_MS = 200;

/** What the view says of flags is older than what the client was told: it may not be asked any more. */
const UNTOLD = "[UNAVAILABLE] Flags were changed, but the mailbox cannot be read again: open it anew";

/** The database was lost while it committed: the command may have been carried out, and NO would say that it was not. */
export class OutcomeUnknown extends MairustError {
  constructor(cause: MairustError) {
    super(cause.code, "Cannot tell whether flags were changed", { retry: cause.retry, cause });
  }
}

class Store {
  readonly #context: InMailbox;
  readonly #command: StoreCommand;
  readonly #flags: FlagSet;
  readonly #writer: FlagWriter;
  readonly #conflicts: ConflictSet;
  #missing = 0;
  /** Made for the first page whose keywords change. */
  #room: KeywordRoom | undefined;

  constructor(context: InMailbox, command: StoreCommand, flags: FlagSet, writer: FlagWriter) {
    this.#context = context;
    this.#command = command;
    this.#flags = flags;
    this.#writer = writer;
    this.#conflicts = new ConflictSet(command.uid);
  }

  /** @param indexes  index ranges of the view; they mean the same to the end: nothing is announced but flags */
  async run(indexes: readonly number[]): Promise<Completion> {
    let left = countIndexes(indexes);
    let last: number | undefined;
    let tookMs = 0;
    for (const page of pagesOf(indexes)) {
      if (last !== undefined) await this.#rest(tookMs);
      const startedAt = performance.now();
      const change = await this.#change(page).catch(error => {
        throw this.#failure(error, last);
      });
      last = page.at(-1) ?? 0;
      left -= page.length;
      const untold = await this.#tell(change);
      if (untold !== undefined)
        return {
          ...(left === 0 ? this.#completion() : completionOf(this.#halfDone(untold, last))),
          bye: UNTOLD,
        };
      tookMs = performance.now() - startedAt;
    }
    return this.#completion();
  }

  /** Who waits for the mailbox is woken when a page is done, and would find it taken by the next one again and again. */
  async #rest(tookMs: number): Promise<void> {
    const { gone } = this.#context;
    await sleep(Math.min(tookMs, MAX_REST_MS), gone).catch(() => undefined);
    if (gone.aborted) throw new ConnectionGone();
  }

  async #change(indexes: Uint32Array): Promise<StorePage> {
    const { selected, peer, account } = this.#context;
    const { view } = selected;
    await this.#checkRoom(indexes);
    const messages = new SnapshotCursor(view);
    const uids = indexes.map(index => messages.uid(index));
    const { op, unchangedSince } = this.#command;
    const { conflicts, missing } = await this.#writer.change({
      ...{ mailbox: view.mailboxId, uidValidity: view.uidValidity, uids, op, flags: this.#flags },
      ...{ unchangedSince, by: { peer, user: account.address } },
    });
    this.#conflicts.add(view, conflicts);
    this.#missing += missing.length;
    return { indexes, op, flags: this.#flags, silent: this.#command.silent, conflicts, missing };
  }

  /** @returns why the session's view could not follow a change that was made */
  async #tell(page: StorePage): Promise<MairustError | undefined> {
    const { selected, log, peer, account } = this.#context;
    try {
      await tellPage(this.#context, page, await selected.mailbox.refresh());
      return undefined;
    } catch (thrown) {
      if (thrown instanceof ConnectionGone) throw thrown;
      const error = toMairustError(thrown, "tell what was changed");
      log.warn("imap session cannot follow its change of flags", { account: account.address, peer, error });
      return error;
    }
  }

  /** @throws {MairustError} `too_many`: the mailbox would have more keywords than its readers can be told */
  async #checkRoom(indexes: Uint32Array): Promise<void> {
    const { view } = this.#context.selected;
    const messages = new SnapshotCursor(view);
    for (const index of indexes) {
      const before = messages.flagSet(index);
      const after = changeFlags(before, this.#command.op, this.#flags);
      if (after === before || after.keywords.length === 0) continue;
      this.#room ??= await inSlices(KeywordRoom.of(this.#context.selected.mailbox.snapshot()));
      if (this.#room.takes(before, after)) continue;
      const publicText = "The mailbox has too many different keywords, take some away";
      throw new MairustError("too_many", "Cannot change flags: too many different keywords", { publicText });
    }
  }

  /** @param last  index of the last message that was changed */
  #failure(thrown: unknown, last: number | undefined): MairustError {
    const error = toMairustError(thrown, "change flags");
    if (error.context.outcome === "unknown") return new OutcomeUnknown(error);
    return last === undefined ? error : this.#halfDone(error, last);
  }

  #halfDone(error: MairustError, last: number): MairustError {
    const uid = new SnapshotCursor(this.#context.selected.view).uid(last);
    const upTo = this.#command.uid ? `UID ${uid}` : `message ${last + 1}`;
    const why = error.publicText === "" ? "an internal error" : error.publicText;
    // Those are told by FETCH alone here: there is one response code, and the rest has not been looked at.
    const but = this.#conflicts.empty ? "" : ", but for what changed meanwhile";
    const publicText = `What was named is changed up to ${upTo}${but}, the rest is not: ${why}`;
    return new MairustError(error.code, error.message, { retry: error.retry, cause: error, publicText });
  }

  #completion(): Completion {
    const isMissing = this.#missing > 0 && !this.#command.uid;
    // RFC 7162 §3.1.3: one code alone; a UID that is there no more is passed over.
    if (!this.#conflicts.empty) {
      const code = `MODIFIED ${this.#conflicts.text()}`;
      return isMissing
        ? no("Some messages were expunged", code)
        : ok("Some messages changed meanwhile", code);
    }
    return isMissing ? no("Some messages were expunged", "EXPUNGEISSUED") : ok("STORE completed");
  }
}

/** @param indexes  index ranges */
function* pagesOf(indexes: readonly number[]): Generator<Uint32Array> {
  let left = countIndexes(indexes);
  let page = new Uint32Array(Math.min(left, STORE_PAGE));
  let used = 0;
  for (let range = 0; range < indexes.length; range += 2) {
    for (let index = indexes[range] ?? 0; index < (indexes[range + 1] ?? 0); index += 1) {
      page[used] = index;
      used += 1;
      if (used < page.length) continue;
      yield page;
      left -= used;
      used = 0;
      page = new Uint32Array(Math.min(left, STORE_PAGE));
    }
  }
}
