/**
 * FETCH of what the snapshot knows (UID, FLAGS, MODSEQ): no row is read. imapc asks `UID FETCH 1:* (FLAGS)` on every open, so this
 * is the hot path: digits are written straight into big chunks, and each distinct flag set is rendered once. Flag sets that are
 * rendered are kept up to a bound.
 */
import { setImmediate } from "node:timers/promises";
import { flagSetAt, type MailboxSnapshot, modseqAt, SnapshotCursor } from "../../core/mailbox-snapshot.ts";
import { flagNames } from "./encode.ts";
import type { Output } from "./output.ts";

/** Octets per chunk handed to the socket. */
const CHUNK_BYTES = 65_536;
/** Chunks after which other sessions get their turn, also when the client reads as fast as we write. */
const CHUNKS_PER_SLICE = 8;
/** Octets of rendered flag sets that one command keeps: a mailbox has a few sets, or as many as messages. */
const RENDERED_BYTES = 1_048_576;
const PREFIX = Buffer.from("* ");
const FETCH = Buffer.from(" FETCH (");
const UID = Buffer.from("UID ");
const MODSEQ = Buffer.from("MODSEQ (");
const SPACE = Buffer.from(" ");
const CLOSE = Buffer.from(")");
const END = Buffer.from(")\r\n");
const NOTHING = Buffer.alloc(0);
/** What a line has at most beside its flags. A MODSEQ has up to 16 digits. */
const LINE_BYTES = 128;

/** What of the snapshot is told of each message. */
export interface FlagItems {
  readonly uid: boolean;
  readonly flags: boolean;
  readonly modseq: boolean;
}

/** @param indexes  index ranges of `view` @throws {ConnectionGone} */
export async function writeFlags(
  view: MailboxSnapshot,
  indexes: readonly number[],
  items: FlagItems,
  output: Output,
): Promise<void> {
  const messages = new SnapshotCursor(view);
  const rendered = new RenderedFlags(view);
  let writer = new ChunkWriter();
  let chunks = 0;
  for (let range = 0; range < indexes.length; range += 2) {
    const end = indexes[range + 1] ?? 0;
    for (let index = indexes[range] ?? 0; index < end; index += 1) {
      const flags = items.flags ? rendered.of(messages.flagId(index)) : NOTHING;
      if (writer.room < flags.length + LINE_BYTES) {
        output.bytes(writer.written());
        await output.pressure();
        chunks += 1;
        if (chunks % CHUNKS_PER_SLICE === 0) await setImmediate();
        writer = new ChunkWriter(flags.length);
      }
      writeLine(writer, messages, index, items, flags);
    }
  }
  output.bytes(writer.written());
  await output.pressure();
}

function writeLine(
  writer: ChunkWriter,
  messages: SnapshotCursor,
  index: number,
  { uid, flags, modseq }: FlagItems,
  rendered: Buffer,
): void {
  writer.copy(PREFIX);
  writer.number(index + 1);
  writer.copy(FETCH);
  if (uid) {
    writer.copy(UID);
    writer.number(messages.uid(index));
    if (flags || modseq) writer.copy(SPACE);
  }
  writer.copy(rendered);
  if (modseq) {
    if (flags) writer.copy(SPACE);
    writer.copy(MODSEQ);
    writer.number(messages.modseq(index));
    writer.copy(CLOSE);
  }
  writer.copy(END);
}

/** What the snapshot knows of one message, separated by spaces, for an answer that tells more of it. */
export function flagItems(view: MailboxSnapshot, index: number, uid: number, items: FlagItems): string {
  const words: string[] = [];
  if (items.uid) words.push(`UID ${uid}`);
  if (items.flags) words.push(`FLAGS (${flagNames(flagSetAt(view, index))})`);
  if (items.modseq) words.push(`MODSEQ (${modseqAt(view, index)})`);
  return words.join(" ");
}

/** `FLAGS (…)`, made once per distinct flag set while there is room for it. */
class RenderedFlags {
  readonly #view: MailboxSnapshot;
  readonly #known = new Map<number, Buffer>();
  #bytes = 0;

  constructor(view: MailboxSnapshot) {
    this.#view = view;
  }

  of(id: number): Buffer {
    const known = this.#known.get(id);
    if (known !== undefined) return known;
    const set = this.#view.flags.sets[id];
    const made = Buffer.from(`FLAGS (${set === undefined ? "" : flagNames(set)})`, "latin1");
    this.#bytes += made.length;
    if (this.#bytes > RENDERED_BYTES) {
      this.#known.clear();
      this.#bytes = made.length;
    }
    this.#known.set(id, made);
    return made;
  }
}

class ChunkWriter {
  readonly #chunk: Buffer;
  #used = 0;

  /** @param least  octets of one piece that must fit, besides what every line has */
  constructor(least = 0) {
    this.#chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES + least);
  }

  get room(): number {
    return this.#chunk.length - this.#used;
  }

  written(): Buffer {
    return this.#chunk.subarray(0, this.#used);
  }

  copy(bytes: Buffer): void {
    // A loop beats Buffer.copy for pieces this short.
    for (let i = 0; i < bytes.length; i += 1) this.#chunk[this.#used + i] = bytes[i] ?? 0;
    this.#used += bytes.length;
  }

  number(value: number): void {
    let digits = 1;
    for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) digits += 1;
    let rest = value;
    for (let at = this.#used + digits - 1; at >= this.#used; at -= 1) {
      const next = Math.floor(rest / 10);
      this.#chunk[at] = 0x30 + rest - next * 10;
      rest = next;
    }
    this.#used += digits;
  }
}
