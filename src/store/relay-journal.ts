/**
 * The local journal of relayed mail (message path, step 7): a file of JSON lines (`relay-journal-lines.ts`), and in memory what of it
 * still counts (`relay-journal-state.ts`).
 *
 * What is open when a process ends is read by the next one. The file is written anew when it has grown. Failures: `disk_full` and whatever
 * the system says; the caller answers 451.
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
import type { MessageId } from "../core/ids.ts";
import type { RelayDelivery, RelayResult } from "../core/ports/relay-records.ts";
import { syncFolder } from "../platform/sync-folder.ts";
import { type Line, readLine } from "./relay-journal-lines.ts";
import { RelayJournalState, type TakenLine } from "./relay-journal-state.ts";

const datasync = promisify(fdatasync);

/** The file is written anew when it is larger than this, and twice as large as what then counted. */
const COMPACT_BYTES = 4 * 1024 * 1024;
/** Results that wait for the database: beyond, mail waits too. */
const MAX_TAKEN = 50_000;

export interface RelayJournalOptions {
  readonly file: string;
  readonly now: () => number;
  /** Open relays older than this do not count. */
  readonly windowMs: () => number;
}

export class RelayJournal {
  readonly #options: RelayJournalOptions;
  readonly #state = new RelayJournalState();
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
    for (const line of this.#read()) this.#state.apply(line, false);
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
    return [...this.#state.taken];
  }

  /** Recipients of a delivery that were taken, as far as the database does not know it. */
  takenOf(delivery: RelayDelivery): ReadonlyMap<string, MessageId> {
    const found = new Map<string, MessageId>();
    if (delivery.queueId === "") return found;
    for (const [, { result }] of this.#state.taken.of(delivery))
      for (const { raw } of result.taken) found.set(raw, result.messageId);
    return found;
  }

  /** Recipients of a delivery that were taken and recorded in the database, if it is not long ago: for when it is away. */
  doneOf(delivery: RelayDelivery): ReadonlyMap<string, MessageId> {
    return this.#state.doneOf(delivery, this.#oldestMs());
  }

  /** Recipients of a delivery that was sent before, and of whom nobody knows. */
  openOf(delivery: RelayDelivery): ReadonlySet<string> {
    const found = new Set<string>();
    if (delivery.queueId === "") return found;
    const oldestMs = this.#oldestMs();
    for (const [, open] of this.#state.open.of(delivery))
      if (!open.isRunning && open.atMs > oldestMs) for (const raw of open.recipients) found.add(raw);
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
    if (this.#state.open.get(id) === undefined) return;
    this.#add({
      k: "over",
      id,
      ...(left.length === 0 ? {} : { left }),
      ...(ok.length === 0 ? {} : { ok }),
    });
  }

  /** What became of a relay could not be written anywhere: when its mail comes again, nobody knows. */
  forgotten(id: string): void {
    const { open } = this.#state;
    const one = open.get(id);
    if (one !== undefined) open.set(id, { ...one, isRunning: false });
  }

  /**
   * The recipients of a delivery are known again: what was open of them is not any more.
   * @returns the recipients of each relay that was open: one that was sent three times may be there three times
   */
  settled(delivery: RelayDelivery, recipients: readonly string[]): readonly string[] {
    const again: string[] = [];
    if (delivery.queueId === "") return again;
    for (const [id, open] of this.#state.open.of(delivery)) {
      if (open.isRunning) continue;
      const left = open.recipients.filter(raw => !recipients.includes(raw));
      if (left.length === open.recipients.length) continue;
      again.push(...open.recipients.filter(raw => recipients.includes(raw)));
      this.over(id, left);
    }
    return again;
  }

  /** Durable when it resolves. */
  async taken(result: RelayResult): Promise<void> {
    if (this.#state.taken.size >= MAX_TAKEN)
      throw new MairustError(
        "too_many",
        `Cannot keep the result of a relay: ${MAX_TAKEN} wait for the database`,
      );
    try {
      this.#add({ k: "taken", id: result.relay, at: this.#options.now(), result });
      await this.#sync();
    } catch (error) {
      this.#state.taken.delete(result.relay);
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
    this.#state.apply(line, true);
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
    this.#state.dropOld(this.#oldestMs());
    const text = Buffer.from(
      this.#state
        .lines()
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

  #file(): number {
    if (this.#fd === undefined) throw new Error("the journal of relayed mail is not open");
    return this.#fd;
  }
}
