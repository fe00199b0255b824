/**
 * The local journal of relayed mail (message path, step 7): a file of JSON lines, and in memory what of it still counts.
 *
 *   {"k":"sent"}     the end of a message is about to be sent. Written, not fsynced: it outlives the process. A machine that loses its
 *                    power may lose it, and then a message that is relayed twice is not counted
 *   {"k":"over"}     that relay is recorded in the database, or was not taken; `left`: recipients of whom nobody knows
 *   {"k":"taken"}    the next hop took it and the database is away. fsynced before the MTA is answered
 *   {"k":"loaded"}   that line is in the database
 *
 * What is open when a process ends is read by the next one. A line that is torn at the end of the file is what a killed process was
 * writing: nothing followed from it. Failures: `disk_full` and whatever the system says; the caller answers 451.
 */
import {
  closeSync,
  fdatasync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { MairustError, toMairustError } from "../core/errors.ts";
import { type BlobDigest, blobDigest, type MessageId, messageId } from "../core/ids.ts";
import type { RelayDelivery, RelayResult } from "../core/ports/relay-records.ts";

const datasync = promisify(fdatasync);

/** The file is written anew when it is larger than this, and twice as large as what then counted. */
const COMPACT_BYTES = 4 * 1024 * 1024;
/** Relays of which nobody knows the end: beyond, the oldest is forgotten, and not counted when it comes again. */
const MAX_OPEN = 10_000;
/** Results that wait for the database: beyond, mail waits too. */
const MAX_TAKEN = 50_000;

interface OpenRelay extends RelayDelivery {
  readonly recipients: readonly string[];
  readonly atMs: number;
  /** It began in this process, and may still end. */
  readonly isRunning: boolean;
}

export interface TakenLine {
  readonly result: RelayResult;
  readonly atMs: number;
}

type Line =
  | { k: "sent"; id: string; m: string; q: string; d: string; r: readonly string[]; at: number }
  | { k: "over"; id: string; left?: readonly string[] }
  | { k: "taken"; id: string; at: number; result: RelayResult }
  | { k: "loaded"; id: string };

export interface RelayJournalOptions {
  readonly file: string;
  readonly now: () => number;
  /** Open relays older than this do not count. */
  readonly windowMs: () => number;
}

export class RelayJournal {
  readonly #options: RelayJournalOptions;
  readonly #open = new Map<string, OpenRelay>();
  readonly #taken = new Map<string, TakenLine>();
  #fd: number | undefined;
  #bytes = 0;
  /** Of the file when it was written anew. */
  #compactBytes = 0;
  /** The last line may have been cut off: the next one must not become a part of it. */
  #isTorn = false;
  #nextId = 0;

  constructor(options: RelayJournalOptions) {
    this.#options = options;
  }

  /** Read what an earlier process left. @throws the file cannot be read or written */
  start(): void {
    mkdirSync(dirname(this.#options.file), { recursive: true, mode: 0o700 });
    for (const line of this.#read()) this.#apply(line, false);
    this.#compact();
  }

  stop(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  /** Results that are not in the database yet, oldest first. */
  waiting(): readonly (readonly [id: string, line: TakenLine])[] {
    return [...this.#taken];
  }

  /** Recipients of a delivery that were taken, as far as the database does not know it. */
  takenOf({ queueId, digest }: RelayDelivery): ReadonlyMap<string, MessageId> {
    const found = new Map<string, MessageId>();
    if (queueId === "" || this.#taken.size === 0) return found;
    for (const { result } of this.#taken.values()) {
      if (result.queueId !== queueId || result.digest !== digest) continue;
      for (const { raw } of result.taken) found.set(raw, result.messageId);
    }
    return found;
  }

  /** Recipients of a delivery that was sent before, and of whom nobody knows. */
  openOf({ queueId, digest }: RelayDelivery): ReadonlySet<string> {
    const found = new Set<string>();
    if (queueId === "") return found;
    const after = this.#options.now() - this.#options.windowMs();
    for (const open of this.#open.values())
      if (!open.isRunning && open.queueId === queueId && open.digest === digest && open.atMs > after)
        for (const raw of open.recipients) found.add(raw);
    return found;
  }

  /** @returns the relay's name */
  sent({ messageId: m, queueId: q, digest: d }: RelayDelivery, recipients: readonly string[]): string {
    const id = `${process.pid}-${this.#options.now().toString(36)}-${this.#nextId++}`;
    this.#add({ k: "sent", id, m, q, d, r: recipients, at: this.#options.now() });
    return id;
  }

  /** @param left  those of whom nobody knows */
  over(id: string, left: readonly string[] = []): void {
    if (!this.#open.has(id)) return;
    this.#add({ k: "over", id, ...(left.length === 0 ? {} : { left }) });
  }

  /** The recipients of a delivery are known again: what was open of them is not any more. */
  settled({ queueId, digest }: RelayDelivery, recipients: readonly string[]): void {
    for (const [id, open] of this.#open) {
      if (open.isRunning || open.queueId !== queueId || open.digest !== digest) continue;
      const left = open.recipients.filter(raw => !recipients.includes(raw));
      if (left.length < open.recipients.length) this.over(id, left);
    }
  }

  /** Durable when it resolves. */
  async taken(result: RelayResult): Promise<void> {
    if (this.#taken.size >= MAX_TAKEN)
      throw new MairustError(
        "too_many",
        `Cannot keep the result of a relay: ${MAX_TAKEN} wait for the database`,
      );
    try {
      this.#add({ k: "taken", id: result.relay, at: this.#options.now(), result });
      await datasync(this.#file());
    } catch (error) {
      this.#taken.delete(result.relay);
      throw toMairustError(error, "write the journal of relayed mail");
    }
  }

  loaded(id: string): void {
    this.#add({ k: "loaded", id });
  }

  #add(line: Line): void {
    const text = Buffer.from(`${this.#isTorn ? "\n" : ""}${JSON.stringify(line)}\n`, "utf8");
    this.#isTorn = true;
    // All of it or a failure: a full disk may take a part.
    writeFileSync(this.#file(), text);
    this.#isTorn = false;
    this.#bytes += text.length;
    this.#apply(line, true);
    if (this.#bytes > Math.max(COMPACT_BYTES, 2 * this.#compactBytes)) this.#compact();
  }

  #apply(line: Line, isRunning: boolean): void {
    switch (line.k) {
      case "sent": {
        const delivery = { messageId: messageId(line.m), queueId: line.q, digest: blobDigest(line.d) };
        this.#open.set(line.id, { ...delivery, recipients: line.r, atMs: line.at, isRunning });
        const [oldest] = this.#open.size > MAX_OPEN ? this.#open.keys() : [];
        if (oldest !== undefined) this.#open.delete(oldest);
        break;
      }
      case "over": {
        const open = this.#open.get(line.id);
        this.#open.delete(line.id);
        if (open !== undefined && line.left !== undefined && line.left.length > 0)
          this.#open.set(line.id, { ...open, recipients: line.left, isRunning: false });
        break;
      }
      case "taken":
        this.#taken.set(line.id, { result: line.result, atMs: line.at });
        break;
      case "loaded":
        this.#taken.delete(line.id);
        break;
    }
  }

  #read(): readonly Line[] {
    let text = "";
    try {
      text = readFileSync(this.#options.file, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
    return text.split("\n").flatMap(one => readLine(one) ?? []);
  }

  /** What still counts, as a new file: durable under its name before the old one goes. */
  #compact(): void {
    const { file, now, windowMs } = this.#options;
    const after = now() - windowMs();
    const open = [...this.#open].filter(([, one]) => one.isRunning || one.atMs > after);
    this.#open.clear();
    for (const [id, one] of open) this.#open.set(id, one);
    const lines: Line[] = [
      ...open.map(([id, o]) => ({
        k: "sent" as const,
        id,
        m: o.messageId,
        q: o.queueId,
        d: o.digest,
        r: o.recipients,
        at: o.atMs,
      })),
      ...[...this.#taken].map(([id, { result, atMs }]) => ({ k: "taken" as const, id, at: atMs, result })),
    ];
    const text = Buffer.from(lines.map(line => `${JSON.stringify(line)}\n`).join(""), "utf8");
    const next = join(dirname(file), "journal.new");
    const fd = openSync(next, "w", 0o600);
    try {
      writeFileSync(fd, text);
      fsyncSync(fd);
      renameSync(next, file);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    this.stop();
    this.#fd = fd;
    this.#bytes = text.length;
    this.#compactBytes = text.length;
    this.#isTorn = false;
    const folder = openSync(dirname(file), "r");
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  }

  #file(): number {
    if (this.#fd === undefined) throw new Error("the journal of relayed mail is not open");
    return this.#fd;
  }
}

/** A line that cannot be read is one that was being written when the process was killed. */
function readLine(text: string): Line | undefined {
  if (text === "") return undefined;
  try {
    const line: Line = JSON.parse(text);
    if (line.k !== "taken") return line;
    const { result } = line;
    const events = result.events.map(event => ({ ...event, at: new Date(event.at) }));
    return { ...line, result: { ...result, digest: result.digest as BlobDigest, events } };
  } catch {
    return undefined;
  }
}
