/**
 * One shared, self-refreshing state per opened mailbox on this node (message path, step 9). Sessions hold references to immutable
 * snapshots; a change costs one query for the rows above the known MODSEQ, whoever and how many are watching.
 */
import { messageOf } from "../core/errors.ts";
import type { MailboxId } from "../core/ids.ts";
import type { Log } from "../core/ports/log.ts";
import type { MailboxInfo, MailboxSnapshot, OpenMailbox } from "../core/ports/mailboxes.ts";
import type { MailboxChanges } from "./changes.ts";
import type { Db } from "./db.ts";
import { applyDelta, emptySnapshot, FlagSetTable, type MailboxDelta } from "./mailbox-snapshot.ts";

/** Closed mailboxes whose state is kept for the next opener: imapc opens a mailbox again and again. */
const MAX_IDLE_STATES = 200;

export class MailboxHub {
  readonly #db: Db;
  readonly #log: Log;
  readonly #open = new Map<MailboxId, SharedMailbox>();
  /** Insertion order is age: the first is dropped first. */
  readonly #idle = new Map<MailboxId, SharedMailbox>();
  readonly #unsubscribe: () => void;

  constructor(db: Db, changes: MailboxChanges, log: Log) {
    this.#db = db;
    this.#log = log;
    this.#unsubscribe = changes.onChange(ids => this.#changed(ids));
  }

  close(): void {
    this.#unsubscribe();
  }

  /** Open with the newest committed state. */
  async open(info: MailboxInfo): Promise<OpenMailbox> {
    const known = this.#open.get(info.id) ?? this.#idle.get(info.id);
    // An import gave an empty mailbox the UIDVALIDITY of its source.
    const isSame = known !== undefined && known.info.uidValidity === info.uidValidity;
    const shared = isSame ? known : new SharedMailbox(this.#db, info);
    this.#idle.delete(info.id);
    this.#open.set(info.id, shared);
    shared.holders++;
    try {
      await shared.refresh();
    } catch (error) {
      this.#release(shared);
      throw error;
    }
    return this.#handle(info, shared);
  }

  #handle(info: MailboxInfo, shared: SharedMailbox): OpenMailbox {
    const mine = new Set<() => void>();
    let closed = false;
    return {
      info,
      snapshot: () => shared.snapshot,
      refresh: () => shared.refresh(),
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
    if (shared.holders > 0 || this.#open.get(shared.info.id) !== shared) return;
    this.#open.delete(shared.info.id);
    this.#idle.set(shared.info.id, shared);
    const [oldest] = this.#idle.keys();
    if (this.#idle.size > MAX_IDLE_STATES && oldest !== undefined) this.#idle.delete(oldest);
  }

  #changed(ids: readonly MailboxId[] | "all"): void {
    const affected = ids === "all" ? [...this.#open.values()] : ids.flatMap(id => this.#open.get(id) ?? []);
    for (const shared of affected) {
      if (shared.listeners.size === 0) continue;
      shared.refresh().catch(error => {
        this.#log.warn("mailbox state not refreshed", { mailbox: shared.info.id, reason: messageOf(error) });
      });
    }
  }
}

class SharedMailbox {
  readonly info: MailboxInfo;
  readonly listeners = new Set<() => void>();
  holders = 0;
  snapshot: MailboxSnapshot;
  readonly #db: Db;
  readonly #flags = new FlagSetTable();
  #running: Promise<MailboxSnapshot> | undefined;
  #queued: Promise<MailboxSnapshot> | undefined;

  constructor(db: Db, info: MailboxInfo) {
    this.#db = db;
    this.info = info;
    this.snapshot = emptySnapshot({ mailboxId: info.id, uidValidity: info.uidValidity }, this.#flags);
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
    const delta = await readDelta(this.#db, this.info.id, before.highestModseq);
    this.snapshot = applyDelta(before, delta, this.#flags);
    if (this.snapshot !== before) for (const listener of this.listeners) listener();
    return this.snapshot;
  }
}

/** One statement, one consistent view. For a first read (`since` 0) the expunge log does not matter. */
async function readDelta(db: Db, id: MailboxId, since: number): Promise<MailboxDelta> {
  const [row] = await db.query<{
    uidnext: number;
    highest_modseq: number;
    lines: string | null;
    expunged: string | null;
  }>`
    select m.uidnext, m.highest_modseq,
      case when m.highest_modseq > ${since}::bigint then (
        select string_agg(e.line, E'\n') from (
          select uid || ' ' || flags || case when keywords = '{}' then '' else ' ' || array_to_string(keywords, ' ') end as line
          from entries where mailbox_id = m.id and modseq > ${since}::bigint order by uid
        ) e
      ) end as lines,
      case when m.highest_modseq > ${since}::bigint and ${since}::bigint > 0 then (
        select string_agg(x.uid::text, ',') from expunged x where x.mailbox_id = m.id and x.modseq > ${since}::bigint
      ) end as expunged
    from mailboxes m where m.id = ${id}`;
  if (row === undefined) {
    // The mailbox was deleted under its sessions: they see it empty from now on.
    return { uidNext: 1, highestModseq: since + 1, lines: "", expunged: [] };
  }
  return {
    uidNext: row.uidnext,
    highestModseq: row.highest_modseq,
    lines: row.lines ?? "",
    expunged: row.expunged === null ? [] : row.expunged.split(",").map(Number),
  };
}
