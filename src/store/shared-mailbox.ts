/**
 * The state of one mailbox, shared by all sessions of this node that have it open. They hold references to immutable snapshots; a
 * change costs one query for the rows above the known MODSEQ, whoever and how many are watching. `mailbox-hub.ts` holds them.
 */
import { FlagTable } from "../core/flag-table.ts";
import type { AccountId, MailboxId } from "../core/ids.ts";
import {
  applyDeltaInSteps,
  compactFlagsInSteps,
  emptySnapshot,
  type MailboxDelta,
} from "../core/mailbox-delta.ts";
import { type MailboxSnapshot, octetsOf } from "../core/mailbox-snapshot.ts";
import { inSlices } from "../platform/slices.ts";
import type { Db } from "./db.ts";
import { type MailboxRead, type MailboxState, readMailbox, readState } from "./mailbox-rows.ts";

/** UIDVALIDITY of the state that holders of a lost mailbox see: no mailbox has it (RFC 3501 §2.3.1.1). */
const NO_UIDVALIDITY = 0;

export class SharedMailbox {
  readonly id: MailboxId;
  readonly account: AccountId;
  readonly uidValidity: number;
  readonly listeners = new Set<() => void>();
  /** Its keys in the hub's table of names. */
  readonly names = new Set<string>();
  holders = 0;
  /** True when the mailbox was removed, or replaced by one with another UIDVALIDITY: its state is then of no mailbox. */
  lost = false;
  /** What it was counted as when it became idle. */
  idleOctets = 0;
  snapshot: MailboxSnapshot;
  /** As it was read last; undefined when it was gone. Without the delta, which may be large. */
  row: MailboxRead | undefined;
  readonly #db: Db;
  #flags = new FlagTable();
  #running: Promise<MailboxSnapshot> | undefined;
  #queued: Promise<MailboxSnapshot> | undefined;

  /** @param first  read with MODSEQ 0: its delta is there */
  constructor(db: Db, first: MailboxState) {
    this.#db = db;
    this.id = first.info.id;
    this.account = first.account;
    this.uidValidity = first.info.uidValidity;
    this.row = { account: first.account, info: first.info };
    this.snapshot = this.#empty();
    const { delta } = first;
    if (delta !== undefined) this.#run(() => this.#apply(this.snapshot, delta));
  }

  /** Memory that it takes, about. */
  get octets(): number {
    return octetsOf(this.snapshot) + this.#flags.octets;
  }

  /** Resolves when the work under way is done, at first: when the first state is there. */
  async loaded(): Promise<void> {
    await this.#running;
  }

  /** Resolves with a state that holds everything committed before the call. */
  refresh(): Promise<MailboxSnapshot> {
    return this.#next(() => this.#refreshOnce());
  }

  /** The same for who mostly finds nothing new: then its own row is all that is read. */
  freshen(): Promise<MailboxSnapshot> {
    return this.#next(() => this.#freshenOnce());
  }

  /** One at a time, and one for all who come while it runs: it may be too old for them. */
  #next(work: () => Promise<MailboxSnapshot>): Promise<MailboxSnapshot> {
    if (this.#running === undefined) return this.#run(work);
    this.#queued ??= this.#running
      .catch(() => undefined)
      .then(() => {
        this.#queued = undefined;
        return this.#next(work);
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

  /** Its holders see a state with a UIDVALIDITY that is not theirs. */
  lose(): void {
    if (this.lost) return;
    this.lost = true;
    this.snapshot = { ...this.#empty(), uidValidity: NO_UIDVALIDITY };
    for (const listener of this.listeners) listener();
  }

  async #freshenOnce(): Promise<MailboxSnapshot> {
    const read = await readMailbox(this.#db, this.id);
    const isNewest =
      read?.info.uidValidity === this.uidValidity && read.info.highestModseq === this.snapshot.highestModseq;
    if (this.lost || !isNewest) return this.#refreshOnce();
    this.row = read;
    return this.snapshot;
  }

  async #refreshOnce(): Promise<MailboxSnapshot> {
    if (this.lost) return this.snapshot;
    const before = this.snapshot;
    let base = before;
    let read = await readState(this.#db, { id: this.id }, before.highestModseq);
    if (read !== undefined && read.delta === undefined) {
      // It was idle until expunges that it has not seen were forgotten: changes alone do not lead to the newest state.
      base = this.#empty();
      read = await readState(this.#db, { id: this.id }, 0);
    }
    this.row = read === undefined ? undefined : { account: read.account, info: read.info };
    if (read?.delta === undefined || !this.#isFollowedBy(read)) {
      this.lose();
      return this.snapshot;
    }
    await this.#apply(base, read.delta);
    if (this.snapshot !== before) for (const listener of this.listeners) listener();
    return this.snapshot;
  }

  /**
   * An import gives an empty mailbox the UIDVALIDITY of its source. A database that lags behind what was told here can be followed
   * no more than another mailbox: within one UIDVALIDITY, HIGHESTMODSEQ and UIDNEXT only rise.
   */
  #isFollowedBy({ info }: MailboxRead): boolean {
    const { uidNext, highestModseq } = this.snapshot;
    return (
      info.uidValidity === this.uidValidity && info.highestModseq >= highestModseq && info.uidNext >= uidNext
    );
  }

  #empty(): MailboxSnapshot {
    return emptySnapshot({ mailboxId: this.id, uidValidity: this.uidValidity }, this.#flags);
  }

  async #apply(base: MailboxSnapshot, delta: MailboxDelta): Promise<MailboxSnapshot> {
    const newer = await inSlices(applyDeltaInSteps(base, delta, this.#flags));
    const { snapshot, flags } = await inSlices(compactFlagsInSteps(newer, this.#flags));
    // It may have been lost meanwhile.
    if (this.lost) return this.snapshot;
    this.snapshot = snapshot;
    this.#flags = flags;
    return snapshot;
  }
}
