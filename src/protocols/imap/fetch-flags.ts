/**
 * FETCH of what the snapshot knows (UID, FLAGS): no row is read. imapc asks `UID FETCH 1:* (FLAGS)` on every open, so this
 * is the hot path: digits are written straight into big chunks, and each distinct flag set is rendered once.
 */
import { setImmediate } from "node:timers/promises";
import { flagSetAt, type MailboxSnapshot, SnapshotCursor } from "../../core/mailbox-snapshot.ts";
import { flagNames } from "./encode.ts";
import type { Output } from "./output.ts";

/** Octets per chunk handed to the socket. */
const CHUNK_BYTES = 65_536;
/** Chunks after which other sessions get their turn, also when the client reads as fast as we write. */
const CHUNKS_PER_SLICE = 8;
const PREFIX = Buffer.from("* ");
const FETCH_UID = Buffer.from(" FETCH (UID ");
const FETCH = Buffer.from(" FETCH (");
const END = Buffer.from(")\r\n");
const DIGITS_MAX = 10;

/** What of the snapshot is told of each message. */
export interface FlagItems {
  readonly uid: boolean;
  readonly flags: boolean;
}

/** @param indexes  index ranges of `view` @throws {ConnectionGone} */
export async function writeFlags(
  view: MailboxSnapshot,
  indexes: readonly number[],
  items: FlagItems,
  output: Output,
): Promise<void> {
  const messages = new SnapshotCursor(view);
  const rendered = new RenderedFlags(view, items);
  let writer = new ChunkWriter();
  let chunks = 0;
  for (let range = 0; range < indexes.length; range += 2) {
    const end = indexes[range + 1] ?? 0;
    for (let index = indexes[range] ?? 0; index < end; index += 1) {
      const tail = rendered.tail(messages.flagId(index));
      if (writer.room < tail.length + PREFIX.length + FETCH_UID.length + 2 * DIGITS_MAX) {
        output.bytes(writer.written());
        await output.pressure();
        chunks += 1;
        if (chunks % CHUNKS_PER_SLICE === 0) await setImmediate();
        writer = new ChunkWriter(tail.length);
      }
      writer.copy(PREFIX);
      writer.number(index + 1);
      if (items.uid) {
        writer.copy(FETCH_UID);
        writer.number(messages.uid(index));
      } else writer.copy(FETCH);
      writer.copy(tail);
    }
  }
  output.bytes(writer.written());
  await output.pressure();
}

/** What the snapshot knows of one message, separated by spaces, for an answer that tells more of it. */
export function flagItems(view: MailboxSnapshot, index: number, uid: number, items: FlagItems): string {
  const words: string[] = [];
  if (items.uid) words.push(`UID ${uid}`);
  if (items.flags) words.push(`FLAGS (${flagNames(flagSetAt(view, index))})`);
  return words.join(" ");
}

/** What follows the UID, once per distinct flag set. */
class RenderedFlags {
  readonly #view: MailboxSnapshot;
  readonly #items: FlagItems;
  readonly #tails: Buffer[] = [];

  constructor(view: MailboxSnapshot, items: FlagItems) {
    this.#view = view;
    this.#items = items;
  }

  tail(id: number): Buffer {
    if (!this.#items.flags) return END;
    const known = this.#tails[id];
    if (known !== undefined) return known;
    const set = this.#view.flags.sets[id];
    const names = set === undefined ? "" : flagNames(set);
    const made = Buffer.from(`${this.#items.uid ? " " : ""}FLAGS (${names}))\r\n`, "latin1");
    this.#tails[id] = made;
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
