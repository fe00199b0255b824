/**
 * One shared, self-refreshing state per opened mailbox on this node (message path, step 9). Sessions hold references to immutable
 * snapshots; a change costs one query for the rows above the known MODSEQ, whoever and how many are watching.
 */
import { messageOf } from "../core/errors.ts";
import { FlagTable } from "../core/flag-table.ts";
import type { AccountId, MailboxId } from "../core/ids.ts";
import {
  applyDeltaInSteps,
  compactFlagsInSteps,
  emptySnapshot,
  type MailboxDelta,
} from "../core/mailbox-delta.ts";
import { type MailboxSnapshot, octetsOf } from "../core/mailbox-snapshot.ts";
import type { Log } from "../core/ports/log.ts";
import type { MailboxInfo, OpenMailbox } from "../core/ports/mailboxes.ts";
import { inSlices } from "../platform/slices.ts";
import type { MailboxChanges } from "./changes.ts";
import type { Db } from "./db.ts";
import { type MailboxRead, type MailboxState, readState, readVanished } from "./mailbox-rows.ts";

/** Closed mailboxes whose state is kept for the next opener: imapc opens a mailbox again and again. */
const MAX_IDLE_STATES = 200;
/** And the memory that they may take together. */
const MAX_IDLE_OCTETS = 67_108_864;

/** Limits of {@link MailboxHub}, for tests. */
export interface HubLimits {
  readonly idleStates?: number;
  readonly idleOctets?: number;
}

export class MailboxHub {
  readonly #db: Db;
  readonly #log: Log;
  readonly #limits: Required<HubLimits>;
  readonly #open = new Map<MailboxId, SharedMailbox>();
  /** Insertion order is age: the first is dropped first. */
  readonly #idle = new Map<MailboxId, SharedMailbox>();
  /** Of the idle ones together. */
  #idleOctets = 0;
  /** Open and idle ones by account and name, as they were when somebody opened them: asked of the database again each time. */
  readonly #named = new Map<string, SharedMailbox>();
  /** First reads under way, by account and name. */
  readonly #reading = new Map<string, Promise<unknown>>();
  readonly #unsubscribe: () => void;

  constructor(db: Db, changes: MailboxChanges, log: Log, limits: HubLimits = {}) {
    this.#db = db;
    this.#log = log;
    this.#limits = { idleStates: MAX_IDLE_STATES, idleOctets: MAX_IDLE_OCTETS, ...limits };
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
    // One after the other also when a read fails: else all that waited would read at once.
    for (let reading = this.#reading.get(key); reading !== undefined; reading = this.#reading.get(key))
      await reading.catch(() => undefined);
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
    if (!isSame) await this.#holdLoaded(shared);
    const key = keyOf(row);
    this.#named.set(key, shared);
    shared.names.add(key);
    return this.#handle(row.info, shared);
  }

  #holdFresh(shared: SharedMailbox): Promise<void> {
    return this.#holdAfter(shared, () => shared.refresh());
  }

  /** Known here at once: who opens it by another name meanwhile waits for the same state. */
  #holdLoaded(shared: SharedMailbox): Promise<void> {
    return this.#holdAfter(shared, () => shared.loaded());
  }

  async #holdAfter(shared: SharedMailbox, work: () => Promise<unknown>): Promise<void> {
    this.#hold(shared);
    try {
      await work();
    } catch (error) {
      this.#release(shared);
      throw error;
    }
  }

  #hold(shared: SharedMailbox): void {
    const idle = this.#idle.get(shared.id);
    if (idle !== undefined) this.#dropIdle(idle);
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
    const { idleStates, idleOctets } = this.#limits;
    shared.idleOctets = shared.octets;
    // One that is too large alone must not drive out all others.
    if (shared.idleOctets > idleOctets) {
      this.#forgetNames(shared);
      return;
    }
    this.#idle.set(shared.id, shared);
    this.#idleOctets += shared.idleOctets;
    for (const oldest of this.#idle.values()) {
      if (this.#idle.size <= idleStates && this.#idleOctets <= idleOctets) return;
      this.#dropIdle(oldest);
      this.#forgetNames(oldest);
    }
  }

  #dropIdle(shared: SharedMailbox): void {
    this.#idle.delete(shared.id);
    this.#idleOctets -= shared.idleOctets;
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

const nameKey = (account: AccountId, name: string) => `${account}/${name}`;
const keyOf = ({ account, info }: MailboxRead) => nameKey(account, info.name);

class SharedMailbox {
  readonly id: MailboxId;
  readonly uidValidity: number;
  readonly listeners = new Set<() => void>();
  /** Its keys in the hub's table of names. */
  readonly names = new Set<string>();
  holders = 0;
  /** What it was counted as when it became idle. */
  idleOctets = 0;
  snapshot: MailboxSnapshot;
  /** As it was read last; undefined when it was gone. Without the delta, which may be large. */
  row: MailboxRead | undefined;
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
    this.snapshot = this.#empty();
    this.#run(() => this.#apply(this.snapshot, first.delta));
  }

  /** Memory that it takes, about. */
  get octets(): number {
    return octetsOf(this.snapshot) + this.#flags.octets;
  }

  /** Resolves when the work under way is done, at first: when the first state is there. */
  async loaded(): Promise<void> {
    await this.#running;
  }

  /** Resolves with a state that holds everything committed before the call: a refresh that already runs may be too old. */
  refresh(): Promise<MailboxSnapshot> {
    if (this.#running === undefined) return this.#run(() => this.#refreshOnce());
    this.#queued ??= this.#running
      .catch(() => undefined)
      .then(() => {
        this.#queued = undefined;
        return this.refresh();
      });
    return this.#queued;
  }

  #run(work: () => Promise<MailboxSnapshot>): Promise<MailboxSnapshot> {
    const running = work().finally(() => {
      this.#running = undefined;
    });
    this.#running = running;
    return running;
  }

  async #refreshOnce(): Promise<MailboxSnapshot> {
    const before = this.snapshot;
    let base = before;
    let read = await readState(this.#db, { id: this.id }, before.highestModseq);
    if (read !== undefined && read.delta === undefined) {
      // It was idle until expunges that it has not seen were forgotten: changes alone do not lead to the newest state.
      base = this.#empty();
      read = await readState(this.#db, { id: this.id }, 0);
    }
    this.row = read === undefined ? undefined : { account: read.account, info: read.info };
    await this.#apply(base, read?.delta);
    if (this.snapshot !== before) for (const listener of this.listeners) listener();
    return this.snapshot;
  }

  #empty(): MailboxSnapshot {
    return emptySnapshot({ mailboxId: this.id, uidValidity: this.uidValidity }, this.#flags);
  }

  /** @param delta  undefined: the mailbox was deleted under its sessions, nothing more comes */
  async #apply(base: MailboxSnapshot, delta: MailboxDelta | undefined): Promise<MailboxSnapshot> {
    const gone = { uidNext: 1, highestModseq: this.snapshot.highestModseq + 1, lines: [], expunged: [] };
    const newer = await inSlices(applyDeltaInSteps(base, delta ?? gone, this.#flags));
    const { snapshot, flags } = await inSlices(compactFlagsInSteps(newer, this.#flags));
    this.snapshot = snapshot;
    this.#flags = flags;
    return snapshot;
  }
}
