/**
 * One shared, self-refreshing state per opened mailbox on this node (message path, step 9). Sessions hold references to immutable
 * snapshots; a change costs one query for the rows above the known MODSEQ, whoever and how many are watching.
 */
import { messageOf } from "../core/errors.ts";
import { FlagTable } from "../core/flag-table.ts";
import type { AccountId, MailboxId } from "../core/ids.ts";
import { applyDelta, compactFlags, emptySnapshot, type MailboxDelta } from "../core/mailbox-delta.ts";
import type { MailboxSnapshot } from "../core/mailbox-snapshot.ts";
import type { Log } from "../core/ports/log.ts";
import type { MailboxInfo, OpenMailbox } from "../core/ports/mailboxes.ts";
import type { MailboxChanges } from "./changes.ts";
import type { Db } from "./db.ts";
import { type MailboxState, readState, readVanished } from "./mailbox-rows.ts";

/** Closed mailboxes whose state is kept for the next opener: imapc opens a mailbox again and again. */
const MAX_IDLE_STATES = 200;

export class MailboxHub {
  readonly #db: Db;
  readonly #log: Log;
  readonly #open = new Map<MailboxId, SharedMailbox>();
  /** Insertion order is age: the first is dropped first. */
  readonly #idle = new Map<MailboxId, SharedMailbox>();
  /** Open and idle ones by account and name, as they were when somebody opened them: asked of the database again each time. */
  readonly #named = new Map<string, SharedMailbox>();
  /** First reads under way, by account and name. */
  readonly #reading = new Map<string, Promise<unknown>>();
  readonly #unsubscribe: () => void;

  constructor(db: Db, changes: MailboxChanges, log: Log) {
    this.#db = db;
    this.#log = log;
    this.#unsubscribe = changes.onChange(ids => this.#changed(ids));
  }

  close(): void {
    this.#unsubscribe();
  }

  /**
   * Open with the newest committed state: one statement, be the mailbox known here or not.
   * @returns undefined when there is no such mailbox
   */
  async open(account: AccountId, name: string): Promise<OpenMailbox | undefined> {
    const key = nameKey(account, name);
    // The rows of a mailbox are read once, however many open it at the same time.
    const reading = this.#reading.get(key);
    if (reading !== undefined) await reading.catch(() => undefined);
    const known = this.#named.get(key);
    const again = known === undefined ? undefined : await this.#openAgain(key, known);
    if (again !== undefined) return again;
    const first = this.#openFirst(account, name);
    this.#reading.set(key, first);
    try {
      return await first;
    } finally {
      if (this.#reading.get(key) === first) this.#reading.delete(key);
    }
  }

  /** @returns undefined when the name means another mailbox by now, or none */
  async #openAgain(key: string, shared: SharedMailbox): Promise<OpenMailbox | undefined> {
    await this.#holdFresh(shared);
    const { row } = shared;
    // An import gives an empty mailbox the UIDVALIDITY of its source.
    if (row !== undefined && keyOf(row) === key && row.info.uidValidity === shared.uidValidity)
      return this.#handle(row.info, shared);
    this.#forgetNames(shared);
    this.#release(shared);
    return undefined;
  }

  async #openFirst(account: AccountId, name: string): Promise<OpenMailbox | undefined> {
    const row = await readState(this.#db, { account, name }, 0);
    if (row === undefined) return undefined;
    const known = this.#open.get(row.info.id) ?? this.#idle.get(row.info.id);
    // It was opened under another name: its state may be older or newer than what we read.
    const isSame = known !== undefined && known.uidValidity === row.info.uidValidity;
    if (isSame) await this.#holdFresh(known);
    else if (known !== undefined) this.#forgetNames(known);
    const shared = isSame ? known : new SharedMailbox(this.#db, row);
    if (!isSame) this.#hold(shared);
    const key = keyOf(row);
    this.#named.set(key, shared);
    shared.names.add(key);
    return this.#handle(row.info, shared);
  }

  async #holdFresh(shared: SharedMailbox): Promise<void> {
    this.#hold(shared);
    try {
      await shared.refresh();
    } catch (error) {
      this.#release(shared);
      throw error;
    }
  }

  #hold(shared: SharedMailbox): void {
    this.#idle.delete(shared.id);
    this.#open.set(shared.id, shared);
    shared.holders++;
  }

  #handle(info: MailboxInfo, shared: SharedMailbox): OpenMailbox {
    const mine = new Set<() => void>();
    let closed = false;
    return {
      info,
      snapshot: () => shared.snapshot,
      refresh: () => shared.refresh(),
      vanished: (since, until) => readVanished(this.#db, shared.id, since, until),
      onChange(listener) {
        mine.add(listener);
        shared.listeners.add(listener);
        return () => {
          mine.delete(listener);
          shared.listeners.delete(listener);
        };
      },
      close: () => {
        if (closed) return;
        closed = true;
        for (const listener of mine) shared.listeners.delete(listener);
        this.#release(shared);
      },
    };
  }

  #release(shared: SharedMailbox): void {
    shared.holders--;
    if (shared.holders > 0 || this.#open.get(shared.id) !== shared) return;
    this.#open.delete(shared.id);
    this.#idle.set(shared.id, shared);
    const [oldest] = this.#idle.values();
    if (this.#idle.size <= MAX_IDLE_STATES || oldest === undefined) return;
    this.#idle.delete(oldest.id);
    this.#forgetNames(oldest);
  }

  #forgetNames(shared: SharedMailbox): void {
    for (const key of shared.names) if (this.#named.get(key) === shared) this.#named.delete(key);
    shared.names.clear();
  }

  #changed(ids: readonly MailboxId[] | "all"): void {
    const affected = ids === "all" ? [...this.#open.values()] : ids.flatMap(id => this.#open.get(id) ?? []);
    for (const shared of affected) {
      if (shared.listeners.size === 0) continue;
      shared.refresh().catch(error => {
        this.#log.warn("mailbox state not refreshed", { mailbox: shared.id, reason: messageOf(error) });
      });
    }
  }
}

type KnownRow = Omit<MailboxState, "delta">;

const nameKey = (account: AccountId, name: string) => `${account}/${name}`;
const keyOf = ({ account, info }: KnownRow) => nameKey(account, info.name);

class SharedMailbox {
  readonly id: MailboxId;
  readonly uidValidity: number;
  readonly listeners = new Set<() => void>();
  /** Its keys in the hub's table of names. */
  readonly names = new Set<string>();
  holders = 0;
  snapshot: MailboxSnapshot;
  /** As it was read last; undefined when it was gone. Without the delta, which may be large. */
  row: KnownRow | undefined;
  readonly #db: Db;
  #flags = new FlagTable();
  #running: Promise<MailboxSnapshot> | undefined;
  #queued: Promise<MailboxSnapshot> | undefined;

  /** @param first  read with MODSEQ 0 */
  constructor(db: Db, first: MailboxState) {
    this.#db = db;
    this.id = first.info.id;
    this.uidValidity = first.info.uidValidity;
    this.row = { account: first.account, info: first.info };
    this.snapshot = emptySnapshot({ mailboxId: this.id, uidValidity: this.uidValidity }, this.#flags);
    this.#apply(first.delta);
  }

  /** Resolves with a state that holds everything committed before the call: a refresh that already runs may be too old. */
  refresh(): Promise<MailboxSnapshot> {
    if (this.#running === undefined) {
      this.#running = this.#refreshOnce().finally(() => {
        this.#running = undefined;
      });
      return this.#running;
    }
    this.#queued ??= this.#running
      .catch(() => undefined)
      .then(() => {
        this.#queued = undefined;
        return this.refresh();
      });
    return this.#queued;
  }

  async #refreshOnce(): Promise<MailboxSnapshot> {
    const before = this.snapshot;
    const read = await readState(this.#db, { id: this.id }, before.highestModseq);
    this.row = read === undefined ? undefined : { account: read.account, info: read.info };
    // The mailbox was deleted under its sessions: nothing more comes.
    const gone = { uidNext: 1, highestModseq: before.highestModseq + 1, lines: [], expunged: [] };
    this.#apply(read?.delta ?? gone);
    if (this.snapshot !== before) for (const listener of this.listeners) listener();
    return this.snapshot;
  }

  #apply(delta: MailboxDelta): void {
    const newer = applyDelta(this.snapshot, delta, this.#flags);
    const { snapshot, flags } = compactFlags(newer, this.#flags);
    this.snapshot = snapshot;
    this.#flags = flags;
  }
}
