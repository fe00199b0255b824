/**
 * The local journal of relayed mail (message path, step 7): a file of JSON lines, and in memory what of it still counts.
 *
 *   {"k":"sent"}     the end of a message is about to be sent. Written, not fsynced: it outlives the process. A machine that loses its
 *                    power may lose it, and then a message that is relayed twice is not counted
 *   {"k":"over"}     that relay is recorded in the database, or was not taken; `left`: recipients of whom nobody knows; `ok`: those for
 *                    whom it is recorded
 *   {"k":"done"}     what `over` and `loaded` said of recorded recipients, once the file was written anew
 *   {"k":"taken"}    the next hop took it and the database is away. fsynced before the MTA is answered
 *   {"k":"loaded"}   that line is in the database
 *
 * What is open when a process ends is read by the next one. Of the relays that the database knows, the last ones are kept as well: mail
 * whose answer did not get to the MTA comes again, and the database may be away by then. A line that is torn at the end of the file is what a killed process was
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
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { MairustError, toMairustError } from "../core/errors.ts";
import { type BlobDigest, blobDigest, type MessageId, messageId } from "../core/ids.ts";
import type { RelayDelivery, RelayResult } from "../core/ports/relay-records.ts";
import { syncFolder } from "../platform/sync-folder.ts";

const datasync = promisify(fdatasync);

/** The file is written anew when it is larger than this, and twice as large as what then counted. */
const COMPACT_BYTES = 4 * 1024 * 1024;
/** Relays of which nobody knows the end: beyond, the oldest is forgotten, and not counted when it comes again. */
const MAX_OPEN = 10_000;
/** Deliveries that the database knows too. Only the last ones count: those whose answer may have been lost on its way to the MTA. */
const MAX_DONE = 5_000;
/** Of all of these. */
const MAX_DONE_RECIPIENTS = 50_000;
/** Results that wait for the database: beyond, mail waits too. */
const MAX_TAKEN = 50_000;

interface OpenRelay extends RelayDelivery {
  readonly recipients: readonly string[];
  readonly atMs: number;
  /** It began in this process, and may still end. */
  readonly isRunning: boolean;
}

/** What is known of a delivery, in the database too. */
interface DoneDelivery {
  readonly atMs: number;
  /** RCPT as it was given → the message's id when it was relayed. */
  readonly taken: ReadonlyMap<string, MessageId>;
}

export interface TakenLine {
  readonly result: RelayResult;
  readonly atMs: number;
}

type Line =
  | { k: "sent"; id: string; m: string; q: string; d: string; r: readonly string[]; at: number }
  | { k: "over"; id: string; left?: readonly string[]; ok?: readonly string[] }
  | { k: "done"; q: string; d: string; at: number; r: readonly (readonly [raw: string, m: string])[] }
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
  /** By `deliveryKey`, oldest first. */
  readonly #done = new Map<string, DoneDelivery>();
  #doneRecipients = 0;
  #fd: number | undefined;
  /** Under way on that file. */
  #syncs = new Set<Promise<void>>();
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
    const [fd, syncs] = [this.#fd, this.#syncs];
    this.#fd = undefined;
    this.#syncs = new Set();
    if (fd === undefined) return;
    // A sync that runs has nothing but the number of the file, which may soon be another's.
    if (syncs.size > 0) void Promise.allSettled(syncs).then(() => closeSync(fd));
    else closeSync(fd);
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

  /** Recipients of a delivery that were taken and recorded in the database, if it is not long ago: for when it is away. */
  doneOf({ queueId, digest }: RelayDelivery): ReadonlyMap<string, MessageId> {
    const done = queueId === "" ? undefined : this.#done.get(deliveryKey(queueId, digest));
    return done !== undefined && done.atMs > this.#oldestMs() ? done.taken : new Map();
  }

  /** Recipients of a delivery that was sent before, and of whom nobody knows. */
  openOf({ queueId, digest }: RelayDelivery): ReadonlySet<string> {
    const found = new Set<string>();
    if (queueId === "") return found;
    const oldestMs = this.#oldestMs();
    for (const open of this.#open.values())
      if (!open.isRunning && open.queueId === queueId && open.digest === digest && open.atMs > oldestMs)
        for (const raw of open.recipients) found.add(raw);
    return found;
  }

  /** @returns the relay's name */
  sent({ messageId: m, queueId: q, digest: d }: RelayDelivery, recipients: readonly string[]): string {
    const id = `${process.pid}-${this.#options.now().toString(36)}-${this.#nextId++}`;
    this.#add({ k: "sent", id, m, q, d, r: recipients, at: this.#options.now() });
    return id;
  }

  /**
   * @param left  those of whom nobody knows
   * @param ok    those for whom the database has it
   */
  over(id: string, left: readonly string[] = [], ok: readonly string[] = []): void {
    if (!this.#open.has(id)) return;
    this.#add({
      k: "over",
      id,
      ...(left.length === 0 ? {} : { left }),
      ...(ok.length === 0 ? {} : { ok }),
    });
  }

  /** What became of a relay could not be written anywhere: when its mail comes again, nobody knows. */
  forgotten(id: string): void {
    const open = this.#open.get(id);
    if (open !== undefined) this.#open.set(id, { ...open, isRunning: false });
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
      await this.#sync();
    } catch (error) {
      this.#taken.delete(result.relay);
      throw toMairustError(error, "write the journal of relayed mail");
    }
  }

  loaded(id: string): void {
    this.#add({ k: "loaded", id });
  }

  async #sync(): Promise<void> {
    const syncs = this.#syncs;
    const sync = datasync(this.#file());
    syncs.add(sync);
    try {
      await sync;
    } finally {
      syncs.delete(sync);
    }
  }

  #add(line: Line): void {
    const text = Buffer.from(`${this.#isTorn ? "\n" : ""}${JSON.stringify(line)}\n`, "utf8");
    this.#isTorn = true;
    // All of it or a failure: a full disk may take a part.
    writeFileSync(this.#file(), text);
    this.#isTorn = false;
    this.#bytes += text.length;
    this.#apply(line, true);
    if (this.#bytes > Math.max(COMPACT_BYTES, 2 * this.#compactBytes)) this.#tryCompact();
  }

  /** The line is written: that a full disk has no room for a second file is no failure of it. */
  #tryCompact(): void {
    try {
      this.#compact();
    } catch {
      // Not at each line.
      this.#compactBytes = Math.max(COMPACT_BYTES, this.#bytes);
    }
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
        if (open === undefined) break;
        if (line.left !== undefined && line.left.length > 0)
          this.#open.set(line.id, { ...open, recipients: line.left, isRunning: false });
        if (line.ok !== undefined)
          this.#noteDone(
            open,
            open.atMs,
            line.ok.map(raw => [raw, open.messageId]),
          );
        break;
      }
      case "done": {
        const delivery = { queueId: line.q, digest: blobDigest(line.d) };
        this.#noteDone(
          delivery,
          line.at,
          line.r.map(([raw, m]) => [raw, messageId(m)]),
        );
        break;
      }
      case "taken":
        this.#taken.set(line.id, { result: line.result, atMs: line.at });
        break;
      case "loaded": {
        const loaded = this.#taken.get(line.id);
        this.#taken.delete(line.id);
        // Its `over` may be missing: the process that wrote `taken` was killed.
        if (loaded !== undefined) {
          const { result, atMs } = loaded;
          this.#noteDone(
            result,
            atMs,
            result.taken.map(({ raw }) => [raw, result.messageId]),
          );
        }
        break;
      }
    }
  }

  #noteDone(
    { queueId, digest }: Pick<RelayDelivery, "queueId" | "digest">,
    atMs: number,
    taken: readonly (readonly [raw: string, id: MessageId])[],
  ): void {
    if (queueId === "") return;
    const key = deliveryKey(queueId, digest);
    const before = this.#done.get(key)?.taken ?? [];
    const all = new Map([...before, ...taken]);
    this.#dropDone(key);
    this.#done.set(key, { atMs, taken: all });
    this.#doneRecipients += all.size;
    for (const oldest of this.#done.keys()) {
      if (this.#done.size <= MAX_DONE && this.#doneRecipients <= MAX_DONE_RECIPIENTS) break;
      this.#dropDone(oldest);
    }
  }

  #dropDone(key: string): void {
    this.#doneRecipients -= this.#done.get(key)?.taken.size ?? 0;
    this.#done.delete(key);
  }

  /** What is older does not count any more. */
  #oldestMs(): number {
    return this.#options.now() - this.#options.windowMs();
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
    const { file } = this.#options;
    this.#dropOld();
    const text = Buffer.from(
      this.#lines()
        .map(line => `${JSON.stringify(line)}\n`)
        .join(""),
      "utf8",
    );
    const next = join(dirname(file), "journal.new");
    const fd = openSync(next, "w", 0o600);
    try {
      writeFileSync(fd, text);
      fsyncSync(fd);
      renameSync(next, file);
    } catch (error) {
      closeSync(fd);
      rmSync(next, { force: true });
      throw error;
    }
    this.stop();
    this.#fd = fd;
    this.#bytes = text.length;
    this.#compactBytes = text.length;
    this.#isTorn = false;
    syncFolder(file);
  }

  #dropOld(): void {
    const oldestMs = this.#oldestMs();
    for (const [id, one] of this.#open) if (!one.isRunning && one.atMs <= oldestMs) this.#open.delete(id);
    for (const [key, one] of this.#done) if (one.atMs <= oldestMs) this.#dropDone(key);
  }

  #lines(): readonly Line[] {
    return [
      ...[...this.#done].map(([key, { atMs, taken }]): Line => {
        const end = key.lastIndexOf(" ");
        return { k: "done", q: key.slice(0, end), d: key.slice(end + 1), at: atMs, r: [...taken] };
      }),
      ...[...this.#open].map(([id, o]): Line => {
        const { messageId: m, queueId: q, digest: d } = o;
        return { k: "sent", id, m, q, d, r: o.recipients, at: o.atMs };
      }),
      ...[...this.#taken].map(([id, { result, atMs }]): Line => ({ k: "taken", id, at: atMs, result })),
    ];
  }

  #file(): number {
    if (this.#fd === undefined) throw new Error("the journal of relayed mail is not open");
    return this.#fd;
  }
}

/** Digests hold no space. */
const deliveryKey = (queueId: string, digest: BlobDigest) => `${queueId} ${digest}`;

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
