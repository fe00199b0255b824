/**
 * What of a mailbox is in its folder at the other server: written down by an earlier pass, or recognised by its bytes. A message there
 * stands for one of ours: equal ones are told apart by their number.
 */
import type { RecordExportBody } from "../wire/api/exports.ts";
import type { ImapExportOptions } from "../wire/transfer-calls.ts";
import type { Loaded } from "./export-imap-load.ts";
import { allFlags } from "./imap-flags.ts";
import type { ImapTarget, ThereMessage } from "./imap-target.ts";

export type FolderState = RecordExportBody["messages"][number];

export interface KnownRow {
  readonly uid: number;
  readonly thereUid: number;
  /** Ours at the last pass. */
  readonly flags: readonly string[];
}

export interface Recognized {
  readonly loaded: Loaded;
  readonly there: ThereMessage;
  /** Its flags when it was imported; undefined: it was not. */
  readonly before: readonly string[] | undefined;
}

export class KnownThere {
  /** By UID there. */
  there = new Map<number, ThereMessage>();
  readonly #run: { readonly options: ImapExportOptions; readonly id: number };
  readonly #mailbox: string;
  readonly #target: ImapTarget;
  readonly #rows = new Map<number, KnownRow>();
  readonly #imported = new Map<number, readonly string[]>();
  /** UIDs there that stand for one of ours. */
  readonly #claimed = new Set<number>();
  /** Beginning of a message → those there that nobody claims; undefined: not read yet. */
  #unclaimed: Map<string, number[]> | undefined;
  readonly #digests = new Map<number, string>();

  constructor(
    run: { readonly options: ImapExportOptions; readonly id: number },
    mailbox: string,
    target: ImapTarget,
  ) {
    this.#run = run;
    this.#mailbox = mailbox;
    this.#target = target;
  }

  /** Of the opened folder. @param dryRun  nothing is written down for this run, so nothing is known */
  async read(dryRun: boolean): Promise<void> {
    if (!dryRun) await this.#readRows();
    this.there = await this.#target.messages();
  }

  async #readRows(): Promise<void> {
    const { options, id } = this.#run;
    let after = 0;
    for (let more = true; more; ) {
      const body = { account: options.account, mailbox: this.#mailbox, after };
      const page = await options.calls.known(id, body);
      for (const item of page.items) {
        const flags = allFlags(item);
        if (item.there_uid === null) this.#imported.set(item.uid, flags);
        else {
          this.#rows.set(item.uid, { uid: item.uid, thereUid: item.there_uid, flags });
          this.#claimed.add(item.there_uid);
        }
      }
      after = page.items.at(-1)?.uid ?? after;
      more = page.more;
    }
  }

  /** What is written down of one of ours; once. */
  take(uid: number): KnownRow | undefined {
    const row = this.#rows.get(uid);
    this.#rows.delete(uid);
    return row;
  }

  /** Written down, not taken, and still there: gone here. */
  left(): readonly KnownRow[] {
    return [...this.#rows.values()].filter(row => this.there.has(row.thereUid));
  }

  claim(thereUid: number): void {
    this.#claimed.add(thereUid);
  }

  /** After a connection broke: what came since is not known. */
  async refresh(): Promise<void> {
    const now = await this.#target.messages();
    const fresh = [...now.keys()].filter(uid => !this.there.has(uid) && !this.#claimed.has(uid));
    this.there = now;
    if (this.#unclaimed !== undefined) await this.#index(this.#unclaimed, fresh);
  }

  /** Which of these are there, by all their bytes. @returns by our UID */
  async recognize(group: readonly Loaded[]): Promise<ReadonlyMap<number, Recognized>> {
    const index = this.#unclaimed ?? (await this.#firstIndex());
    this.#unclaimed = index;
    const found = new Map<number, Recognized>();
    if (index.size === 0) return found;
    const wanted = new Set<number>();
    for (const loaded of group) for (const uid of index.get(await loaded.key()) ?? []) wanted.add(uid);
    await this.#readDigests([...wanted]);
    for (const loaded of group) {
      const candidates = index.get(await loaded.key()) ?? [];
      if (candidates.length === 0) continue;
      const digest = await loaded.digest();
      const place = candidates.findIndex(uid => this.#digests.get(uid) === digest);
      const [uid] = place < 0 ? [] : candidates.splice(place, 1);
      const there = uid === undefined ? undefined : this.there.get(uid);
      if (there === undefined) continue;
      this.#claimed.add(there.uid);
      this.#digests.delete(there.uid);
      found.set(loaded.message.uid, { loaded, there, before: this.#imported.get(loaded.message.uid) });
    }
    return found;
  }

  async #firstIndex(): Promise<Map<string, number[]>> {
    const index = new Map<string, number[]>();
    await this.#index(
      index,
      [...this.there.keys()].filter(uid => !this.#claimed.has(uid)),
    );
    return index;
  }

  async #index(index: Map<string, number[]>, uids: readonly number[]): Promise<void> {
    const keys = await this.#target.heads([...uids].sort((one, other) => one - other));
    for (const [uid, key] of keys) index.set(key, [...(index.get(key) ?? []), uid]);
  }

  async #readDigests(uids: readonly number[]): Promise<void> {
    const missing = uids.filter(uid => !this.#digests.has(uid));
    for (const [uid, digest] of await this.#target.digests(missing)) this.#digests.set(uid, digest);
  }
}
