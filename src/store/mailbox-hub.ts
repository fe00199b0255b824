/**
 * One shared state per opened mailbox on this node (message path, step 9): who holds it, which are kept for the next opener, and when
 * they are read again. `shared-mailbox.ts` is one of them.
 */
import { messageOf } from "../core/errors.ts";
import type { AccountId, MailboxId } from "../core/ids.ts";
import type { Log } from "../core/ports/log.ts";
import type { MailboxInfo, OpenMailbox } from "../core/ports/mailboxes.ts";
import { sleep } from "../platform/deadline.ts";
import type { MailboxChanges } from "./changes.ts";
import type { DbOf } from "./db-share.ts";
import { type MailboxRead, readState, readVanished } from "./mailbox-rows.ts";
import { SharedMailbox } from "./shared-mailbox.ts";

/** Closed mailboxes whose state is kept for the next opener: imapc opens a mailbox again and again. */
const MAX_IDLE_STATES = 200;
/** And the memory that they may take together. */
const MAX_IDLE_OCTETS = 67_108_864;

/** First wait after a refresh that failed while somebody watches the mailbox, and the longest: each is twice the one before. */
const RETRY_MS = 200;
const MAX_RETRY_MS = 30_000;

/** Limits of {@link MailboxHub}, for tests. */
export interface HubLimits {
  readonly idleStates?: number;
  readonly idleOctets?: number;
  readonly retryMs?: number;
}

export class MailboxHub {
  readonly #dbOf: DbOf;
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
  /** They are read again after a while. */
  readonly #retrying = new Set<SharedMailbox>();
  readonly #closing = new AbortController();
  readonly #unsubscribe: () => void;

  constructor(dbOf: DbOf, changes: MailboxChanges, log: Log, limits: HubLimits = {}) {
    this.#dbOf = dbOf;
    this.#log = log;
    this.#limits = { idleStates: MAX_IDLE_STATES, idleOctets: MAX_IDLE_OCTETS, retryMs: RETRY_MS, ...limits };
    this.#unsubscribe = changes.onChange(ids => this.#changed(ids));
  }

  close(): void {
    this.#closing.abort();
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

  /** Whose a mailbox is that somebody has open; undefined: nobody has. */
  ownerOf(mailbox: MailboxId): AccountId | undefined {
    return this.#open.get(mailbox)?.account;
  }

  /** @returns undefined when the name means another mailbox by now, or none */
  async #openAgain(key: string, shared: SharedMailbox): Promise<OpenMailbox | undefined> {
    await this.#holdFresh(shared);
    const { row } = shared;
    if (row !== undefined && keyOf(row) === key && !shared.lost) return this.#handle(row.info, shared);
    this.#forgetNames(shared);
    this.#release(shared);
    return undefined;
  }

  async #openFirst(account: AccountId, name: string): Promise<OpenMailbox | undefined> {
    const row = await readState(this.#dbOf(account), { account, name }, 0);
    if (row === undefined) return undefined;
    const known = this.#open.get(row.info.id) ?? this.#idle.get(row.info.id);
    // It was opened under another name: its state may be older or newer than what we read.
    const isSame = known !== undefined && !known.lost && known.uidValidity === row.info.uidValidity;
    if (isSame) await this.#holdFresh(known);
    else if (known !== undefined) {
      this.#forgetNames(known);
      // Whoever holds it hears of no change from now on.
      known.lose();
    }
    const shared = isSame ? known : new SharedMailbox(this.#dbOf(account), row);
    if (!isSame) await this.#holdLoaded(shared);
    const key = keyOf(row);
    this.#named.set(key, shared);
    shared.names.add(key);
    return this.#handle(row.info, shared);
  }

  #holdFresh(shared: SharedMailbox): Promise<void> {
    return this.#holdAfter(shared, () => shared.freshen());
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
      vanished: (since, until) => readVanished(this.#dbOf(shared.account), shared.id, since, until),
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
    if (shared.lost || shared.idleOctets > idleOctets) {
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
      if (shared.listeners.size > 0) this.#refresh(shared, this.#limits.retryMs);
    }
  }

  /** Who waits in IDLE asks for nothing: what fails is tried again. */
  #refresh(shared: SharedMailbox, retryMs: number): void {
    shared.refresh().catch(error => {
      this.#log.warn("mailbox state not refreshed", { mailbox: shared.id, reason: messageOf(error) });
      if (this.#retrying.has(shared)) return;
      this.#retrying.add(shared);
      sleep(retryMs, this.#closing.signal, false)
        .then(() => {
          this.#retrying.delete(shared);
          if (shared.listeners.size > 0) this.#refresh(shared, Math.min(2 * retryMs, MAX_RETRY_MS));
        })
        .catch(() => this.#retrying.clear());
    });
  }
}

const nameKey = (account: AccountId, name: string) => `${account}/${name}`;
const keyOf = ({ account, info }: MailboxRead) => nameKey(account, info.name);
