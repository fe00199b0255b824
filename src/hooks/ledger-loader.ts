/**
 * Brings the spool of the egress ledger into PostgreSQL, in batches, and removes the segments that are there. Loading again adds
 * nothing (the table knows each call), so a crash between two steps is mended by doing them again.
 *
 * Segments of other processes in the same folder, and of one that crashed, are loaded too; they are removed when they are so old that
 * nobody writes to them any more. While the database is away nothing is removed, and the spool's bound holds.
 */
import { messageOf } from "../core/errors.ts";
import type { LedgerEntry } from "../core/ports/ledger.ts";
import type { Log } from "../core/ports/log.ts";
import type { LedgerFiles } from "./ledger-files.ts";
import { decodeLines } from "./ledger-lines.ts";
import { type LedgerSpool, madeAt, SEGMENT_AGE_MS } from "./ledger-spool.ts";

/** Read at a time; more than the longest line. */
const PIECE_BYTES = 524_288;
/** Its writer began another segment long ago: six times the age at which it does. */
const ABANDONED_MS = 6 * SEGMENT_AGE_MS;

export interface LoaderOptions {
  readonly spool: LedgerSpool;
  readonly files: LedgerFiles;
  /** Keeps entries; those that are there already change nothing. @throws {MairustError} `store_unavailable` */
  readonly keep: (entries: readonly LedgerEntry[]) => Promise<void>;
  readonly log: Log;
  readonly now: () => number;
}

interface Progress {
  at: number;
  damaged: number;
  /** The spool was told that nothing of it waits any more. */
  told: boolean;
}

export class LedgerLoader {
  readonly #options: LoaderOptions;
  readonly #progress = new Map<string, Progress>();
  #running: Promise<void> | undefined;
  #failed = false;

  constructor(options: LoaderOptions) {
    this.#options = options;
  }

  /** One pass over all segments; who comes while one runs gets the next. @throws {MairustError} `store_unavailable` */
  async load(): Promise<void> {
    while (this.#running !== undefined) await this.#running.catch(() => undefined);
    this.#running = this.#pass().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** As {@link load}, for a timer: never rejects, and says once that it does not work, and that it does again. */
  async tryLoad(): Promise<void> {
    const { log, spool } = this.#options;
    try {
      await spool.rotateOld();
      await this.load();
      if (this.#failed) log.info("ledger loaded again");
      this.#failed = false;
    } catch (error) {
      if (!this.#failed)
        log.warn("ledger not loaded", { reason: messageOf(error), pending_bytes: spool.pendingBytes });
      this.#failed = true;
    }
  }

  async #pass(): Promise<void> {
    const { files, spool, now } = this.#options;
    for (const { name, sizeBytes } of await files.list()) {
      // Asked before it is read: what is written after that comes with the next pass.
      const own = spool.own(name);
      const progress = this.#progress.get(name) ?? { at: 0, damaged: 0, told: false };
      this.#progress.set(name, progress);
      await this.#loadFile(name, own?.end ?? sizeBytes, progress, own !== undefined);
      // Of a segment that is not ours the whole size was counted, when the spool was opened.
      if (own === undefined && !progress.told) spool.loaded(sizeBytes);
      progress.told = true;
      const isOver = own === undefined ? now() - madeAt(name) > ABANDONED_MS : own.finished;
      if (isOver) await this.#remove(name, progress, own !== undefined && progress.at < own.end);
    }
  }

  async #loadFile(name: string, end: number, progress: Progress, isOwn: boolean): Promise<void> {
    const { files, spool, keep, log } = this.#options;
    while (progress.at < end) {
      const piece = await files.read(name, progress.at, Math.min(end, progress.at + PIECE_BYTES));
      const { entries, consumed, damaged } = decodeLines(piece);
      if (consumed === 0) return;
      if (entries.length > 0) await keep(entries);
      if (damaged > 0) log.error("ledger lines damaged", { segment: name, lines: damaged });
      progress.at += consumed;
      progress.damaged += damaged;
      if (isOwn) spool.loaded(consumed);
    }
  }

  /** @param isCut  something that was recorded cannot be read */
  async #remove(name: string, { damaged }: Progress, isCut: boolean): Promise<void> {
    const { files, spool, log } = this.#options;
    if (isCut) log.error("ledger segment damaged", { segment: name });
    if (damaged > 0 || isCut) await files.setAside(name);
    else await files.remove(name);
    spool.forget(name);
    this.#progress.delete(name);
  }
}
