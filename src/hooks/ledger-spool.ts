/**
 * The egress ledger as it is written (message path, step 3): an entry is on disk before its payload leaves for a plugin.
 *
 * One write is in flight; what comes meanwhile goes into the next one together, so many calls share one trip to the disk and nobody
 * waits for company. A write that fails leaves its segment for good: nobody knows what of it is on disk, and what was said to be
 * recorded before is. Entries go on into PostgreSQL (`ledger-loader.ts`); while that is away the spool grows up to
 * {@link MAX_SPOOL_BYTES}, and then no payload leaves any more.
 *
 * Failures: `disk_full`, `internal` (the disk), `too_many`, `deadline`: the payload must stay.
 */
import { randomBytes } from "node:crypto";
import type { Deadline } from "../core/deadline.ts";
import { MairustError, messageOf } from "../core/errors.ts";
import type { Ledger, LedgerEntry } from "../core/ports/ledger.ts";
import { within } from "../platform/deadline.ts";
import type { LedgerFiles, SegmentFile } from "./ledger-files.ts";
import { encodeLine, MAX_LINE_BYTES } from "./ledger-lines.ts";

/** Octets of one segment: some three thousand entries. */
export const SEGMENT_BYTES = 2_097_152;
/** A segment is written to for this long, then the next one begins. */
export const SEGMENT_AGE_MS = 600_000;
/** What may wait for the database: some 350 000 calls. */
export const MAX_SPOOL_BYTES = 268_435_456;
/** Entries that may wait for the disk. */
const MAX_WAITING = 10_000;
/** Octets of one write, at most. */
const MAX_WRITE_BYTES = 262_144;
/** The next segment is made when the current one is this full. */
const PREPARE_AT = 0.75;

/** Nothing left: disk, quota. */
const FULL: ReadonlySet<unknown> = new Set(["ENOSPC", "EDQUOT", "EFBIG"]);

interface Segment {
  readonly name: string;
  readonly file: SegmentFile;
  readonly madeAt: number;
  /** Octets that are durable. */
  end: number;
}

interface Waiting {
  readonly line: Buffer;
  readonly signal: AbortSignal;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export interface SpoolOptions {
  readonly files: LedgerFiles;
  readonly now: () => number;
  /** Default {@link MAX_SPOOL_BYTES}. */
  readonly maxBytes?: number;
}

/** What the loader needs to know of a segment of this process. */
export interface OwnSegment {
  readonly end: number;
  /** Nothing is written to it any more. */
  readonly finished: boolean;
}

export class LedgerSpool implements Ledger {
  readonly #files: LedgerFiles;
  readonly #now: () => number;
  readonly #maxBytes: number;
  #waiting: Waiting[] = [];
  #writing: Promise<void> | undefined;
  #current: Segment | undefined;
  #next: Promise<Segment> | undefined;
  /** To be followed by the next one before the next write. */
  #old: Segment | undefined;
  readonly #finished = new Map<string, number>();
  #pendingBytes = 0;
  #closed = false;
  #failure: string | undefined;

  constructor({ files, now, maxBytes = MAX_SPOOL_BYTES }: SpoolOptions) {
    this.#files = files;
    this.#now = now;
    this.#maxBytes = maxBytes;
  }

  /** Make the first segment; count what an earlier process left. A disk that is full keeps payloads in, and stops nothing else. */
  async open(): Promise<void> {
    for (const { sizeBytes } of await this.#files.list()) this.#pendingBytes += sizeBytes;
    await this.#switch().catch(error => {
      this.#failure = messageOf(error);
    });
  }

  record(entry: LedgerEntry, deadline: Deadline): Promise<void> {
    const line = encodeLine(entry);
    const refused = this.#refusal(line);
    if (refused !== undefined) return Promise.reject(refused);
    const written = new Promise<void>((resolve, reject) => {
      this.#waiting.push({ line, signal: deadline.signal, resolve, reject });
    });
    this.#writing ??= this.#writeAll();
    return within(written, deadline);
  }

  /** Octets that are not in the database yet. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  get maxBytes(): number {
    return this.#maxBytes;
  }

  /** Why the last write failed; undefined: it did not. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** @returns undefined for a segment of another process, or of one before */
  own(name: string): OwnSegment | undefined {
    if (this.#current?.name === name) return { end: this.#current.end, finished: false };
    const end = this.#finished.get(name);
    return end === undefined ? undefined : { end, finished: true };
  }

  /** The loader has these octets in the database, or has removed the file that held them. */
  loaded(bytes: number): void {
    this.#pendingBytes = Math.max(0, this.#pendingBytes - bytes);
  }

  forget(name: string): void {
    this.#finished.delete(name);
  }

  /** Begin the next segment when this one is old: from then on whoever finds it may take it away. */
  async rotateOld(): Promise<void> {
    const current = this.#current;
    if (this.#closed || current === undefined || this.#now() - current.madeAt < SEGMENT_AGE_MS) return;
    await this.#prepare();
    // Between two writes, so that no file is closed under one.
    this.#old = current;
    this.#writing ??= this.#writeAll();
    await this.#writing;
  }

  /** What waits is written; afterwards nothing is recorded any more. */
  async close(): Promise<void> {
    this.#closed = true;
    while (this.#writing !== undefined) await this.#writing;
    const next = await this.#next?.catch(() => undefined);
    for (const segment of [this.#current, next]) if (segment !== undefined) await this.#finish(segment);
    this.#current = undefined;
    this.#next = undefined;
  }

  #refusal(line: Buffer): MairustError | undefined {
    const refuse = (code: "internal" | "disk_full" | "too_many", why: string) =>
      new MairustError(code, `Cannot record a call in the egress ledger: ${why}`);
    if (this.#closed) return refuse("internal", "it is closed");
    if (line.length > MAX_LINE_BYTES) return refuse("internal", `the entry has ${line.length} octets`);
    if (this.#waiting.length >= MAX_WAITING) return refuse("too_many", `${MAX_WAITING} calls wait already`);
    if (this.#pendingBytes + line.length > this.#maxBytes)
      return refuse("disk_full", `${this.#pendingBytes} octets wait for the database`);
    return undefined;
  }

  async #writeAll(): Promise<void> {
    // Let everything that comes in this turn of the event loop into the first write.
    await Promise.resolve();
    if (this.#old !== undefined && this.#old === this.#current) await this.#switch().catch(() => undefined);
    this.#old = undefined;
    while (this.#waiting.length > 0) {
      const batch = this.#take();
      if (batch.length === 0) continue;
      try {
        await this.#write(Buffer.concat(batch.map(({ line }) => line)));
        this.#failure = undefined;
        for (const { resolve } of batch) resolve();
      } catch (error) {
        this.#failure = messageOf(error);
        for (const { reject } of batch) reject(spoolError(error));
      }
    }
    this.#writing = undefined;
  }

  /** Who gave up is left out: its payload stays anyway. */
  #take(): readonly Waiting[] {
    let bytes = 0;
    let count = 0;
    for (const { line } of this.#waiting) {
      if (count > 0 && bytes + line.length > MAX_WRITE_BYTES) break;
      bytes += line.length;
      count += 1;
    }
    return this.#waiting.splice(0, count).filter(({ signal }) => !signal.aborted);
  }

  async #write(bytes: Buffer): Promise<void> {
    if (this.#current === undefined || this.#current.end + bytes.length > SEGMENT_BYTES) await this.#switch();
    const segment = this.#current;
    if (segment === undefined) throw new MairustError("internal", "Cannot write the ledger: no segment");
    try {
      await segment.file.write(bytes, segment.end);
    } catch (error) {
      this.#current = undefined;
      await this.#finish(segment);
      throw error;
    }
    segment.end += bytes.length;
    this.#pendingBytes += bytes.length;
    if (segment.end > SEGMENT_BYTES * PREPARE_AT) void this.#prepare().catch(() => undefined);
  }

  async #switch(): Promise<void> {
    const next = await this.#prepare();
    const before = this.#current;
    this.#current = next;
    this.#next = undefined;
    if (before !== undefined) await this.#finish(before);
  }

  #prepare(): Promise<Segment> {
    this.#next ??= this.#make().catch(error => {
      this.#next = undefined;
      throw error;
    });
    return this.#next;
  }

  async #make(): Promise<Segment> {
    const madeAt = this.#now();
    // Sorted by time; random, because processes may share a data folder.
    const name = `${String(madeAt).padStart(14, "0")}-${randomBytes(4).toString("hex")}`;
    return { name, file: await this.#files.create(name, SEGMENT_BYTES), madeAt, end: 0 };
  }

  async #finish({ name, file, end }: Segment): Promise<void> {
    this.#finished.set(name, end);
    // What is durable stays so, whatever closing says.
    await file.close(end).catch(() => undefined);
  }
}

/** When a segment of this name was made. */
export function madeAt(name: string): number {
  return Number(name.split("-")[0]);
}

function spoolError(error: unknown): MairustError {
  if (error instanceof MairustError) return error;
  const full = error instanceof Error && "code" in error && FULL.has(error.code);
  return new MairustError(
    full ? "disk_full" : "internal",
    `Cannot write the egress ledger: ${messageOf(error)}`,
    { cause: error },
  );
}
