/**
 * A newer state of a mailbox, made from the older one and what changed since its MODSEQ. Only chunks with a change are made anew,
 * so a session that compares two states looks at nothing else. A million messages take longer than others may wait, so the work
 * is done in steps. Pure; `store/mailbox-hub.ts` reads what changed.
 */
import type { FlagSets, FlagTable } from "./flag-table.ts";
import {
  CHUNK_MESSAGES,
  lastUid,
  lowerBound,
  type MailboxIdentity,
  type MailboxSnapshot,
  type SnapshotChunk,
} from "./mailbox-snapshot.ts";
import { FLAG_SEEN } from "./ports/store.ts";
import { atOnce, type Steps } from "./steps.ts";

/** Chunks below it are joined with a neighbour where both fit into one: expunges must not leave thousands of crumbs. */
const SMALL_CHUNK = CHUNK_MESSAGES / 4;

/** What changed since a MODSEQ. */
export interface MailboxDelta {
  readonly uidNext: number;
  readonly highestModseq: number;
  /** New and changed messages in UID order, `"<uid> <modseq> <system>[ keyword]…"`, one per line; cut anywhere between two lines. */
  readonly lines: readonly string[];
  readonly expunged: ArrayLike<number>;
}

/** The parts of a chunk, not yet looked through. */
type Columns = Pick<SnapshotChunk, "uids" | "flagIds" | "modseqs">;

/** The state of a mailbox without messages: what every first delta is applied to. */
export function emptySnapshot(identity: MailboxIdentity, flags: FlagTable): MailboxSnapshot {
  return { ...identity, uidNext: 1, highestModseq: 0, ...withStarts([]), flags };
}

/**
 * @param flags  the table of `base`
 * @returns the newer state; `base` itself when nothing changed
 */
export function applyDelta(base: MailboxSnapshot, delta: MailboxDelta, flags: FlagTable): MailboxSnapshot {
  return atOnce(applyDeltaInSteps(base, delta, flags));
}

/** As {@link applyDelta}; a step looks at one text of lines, or at one chunk. Nothing else may use the table meanwhile. */
export function* applyDeltaInSteps(
  base: MailboxSnapshot,
  delta: MailboxDelta,
  flags: FlagTable,
): Steps<MailboxSnapshot> {
  if (delta.highestModseq === base.highestModseq && delta.uidNext === base.uidNext) return base;
  const rows = yield* parseRows(delta.lines, flags);
  const gone = Uint32Array.from(delta.expunged).sort();
  const chunks: SnapshotChunk[] = [];
  let row = 0;
  let goneAt = 0;
  for (const chunk of base.chunks) {
    const beyond = (chunk.uids[chunk.uids.length - 1] ?? 0) + 1;
    const rowEnd = lowerBound(rows.uids, beyond, row);
    const goneEnd = lowerBound(gone, beyond, goneAt);
    const isSame = row === rowEnd && goneAt === goneEnd;
    const next = isSame
      ? chunk
      : changedChunk(chunk, cut(rows, row, rowEnd), gone.subarray(goneAt, goneEnd), flags);
    if (next !== undefined) addChunk(chunks, next);
    row = rowEnd;
    goneAt = goneEnd;
    if (!isSame) yield;
  }
  yield* appendRows(chunks, cut(rows, lowerBound(rows.uids, lastUid(base) + 1), rows.uids.length), flags);
  return {
    ...base,
    uidNext: delta.uidNext,
    highestModseq: delta.highestModseq,
    ...withStarts(chunks),
    flags,
  };
}

interface Compacted {
  readonly snapshot: MailboxSnapshot;
  readonly flags: FlagTable;
}

/**
 * Leave flag sets behind that no message has any more, when there are many. A state with the old table stays valid.
 * @param flags  the table of `snapshot`
 */
export function compactFlags(snapshot: MailboxSnapshot, flags: FlagTable): Compacted {
  return atOnce(compactFlagsInSteps(snapshot, flags));
}

/** As {@link compactFlags}; a step looks at one chunk. */
export function* compactFlagsInSteps(snapshot: MailboxSnapshot, flags: FlagTable): Steps<Compacted> {
  if (!flags.crowded) return { snapshot, flags };
  const used = new Uint8Array(flags.sets.length);
  for (const chunk of snapshot.chunks) {
    for (const id of chunk.flagIds) used[id] = 1;
    yield;
  }
  const compacted = flags.compact(used);
  if (compacted === undefined) return { snapshot, flags };
  const { table, ids } = compacted;
  const chunks: SnapshotChunk[] = [];
  for (const chunk of snapshot.chunks) {
    chunks.push({ ...chunk, flagIds: chunk.flagIds.map(id => ids[id] ?? 0) });
    yield;
  }
  return { snapshot: { ...snapshot, chunks, flags: table }, flags: table };
}

function* parseRows(texts: readonly string[], flags: FlagTable): Steps<Columns> {
  let count = 0;
  for (const text of texts) {
    count += lineCount(text);
    yield;
  }
  const rows = {
    uids: new Uint32Array(count),
    flagIds: new Uint32Array(count),
    modseqs: new Float64Array(count),
  };
  let at = 0;
  for (const text of texts) {
    at = parseText(text, rows, at, flags);
    yield;
  }
  return rows;
}

/** @returns where the rows of the next text begin */
function parseText(text: string, rows: Columns, first: number, flags: FlagTable): number {
  let at = first;
  for (let start = 0; start < text.length; at += 1) {
    const newline = text.indexOf("\n", start);
    const end = newline < 0 ? text.length : newline;
    const afterUid = text.indexOf(" ", start);
    const afterModseq = text.indexOf(" ", afterUid + 1);
    rows.uids[at] = Number(text.slice(start, afterUid));
    rows.modseqs[at] = Number(text.slice(afterUid + 1, afterModseq));
    rows.flagIds[at] = flags.id(text.slice(afterModseq + 1, end));
    start = end + 1;
  }
  return at;
}

function lineCount(text: string): number {
  let count = text === "" ? 0 : 1;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) count += 1;
  return count;
}

/** @returns `chunk` itself when nothing of this is in it; undefined when nothing is left */
function changedChunk(
  chunk: SnapshotChunk,
  rows: Columns,
  gone: Uint32Array,
  flags: FlagTable,
): SnapshotChunk | undefined {
  const kept = without(chunk, gone);
  if (kept.uids.length === 0) return undefined;
  const flagIds = kept.flagIds.slice();
  const modseqs = kept.modseqs.slice();
  let isSame = kept === chunk;
  rows.uids.forEach((uid, i) => {
    const at = lowerBound(kept.uids, uid);
    if (kept.uids[at] !== uid) return;
    flagIds[at] = rows.flagIds[i] ?? 0;
    modseqs[at] = rows.modseqs[i] ?? 0;
    isSame = false;
  });
  return isSame ? chunk : sealed({ uids: kept.uids, flagIds, modseqs }, flags);
}

/** @returns `chunk` itself when it has none of them */
function without(chunk: SnapshotChunk, gone: Uint32Array): Columns {
  const drop = new Uint8Array(chunk.uids.length);
  let dropped = 0;
  for (const uid of gone) {
    const at = lowerBound(chunk.uids, uid);
    // A message that came and went between two reads is not there.
    if (chunk.uids[at] !== uid || drop[at] !== 0) continue;
    drop[at] = 1;
    dropped += 1;
  }
  if (dropped === 0) return chunk;
  const isKept = (_: number, i: number) => drop[i] === 0;
  return {
    uids: chunk.uids.filter(isKept),
    flagIds: chunk.flagIds.filter(isKept),
    modseqs: chunk.modseqs.filter(isKept),
  };
}

/** New messages: the last chunk is filled up first. */
function* appendRows(chunks: SnapshotChunk[], rows: Columns, flags: FlagTable): Steps<void> {
  const count = rows.uids.length;
  const last = chunks.at(-1);
  let at = 0;
  if (last !== undefined && last.uids.length < CHUNK_MESSAGES && count > 0) {
    at = Math.min(count, CHUNK_MESSAGES - last.uids.length);
    chunks[chunks.length - 1] = joined(last, sealed(cut(rows, 0, at), flags));
  }
  for (; at < count; at += CHUNK_MESSAGES) {
    // A copy: a view of the rows would keep all of them.
    const { uids, flagIds, modseqs } = cut(rows, at, at + CHUNK_MESSAGES);
    chunks.push(sealed({ uids: uids.slice(), flagIds: flagIds.slice(), modseqs: modseqs.slice() }, flags));
    yield;
  }
}

function addChunk(chunks: SnapshotChunk[], chunk: SnapshotChunk): void {
  const last = chunks.at(-1);
  const isSmall = Math.min(last?.uids.length ?? CHUNK_MESSAGES, chunk.uids.length) < SMALL_CHUNK;
  if (last !== undefined && isSmall && last.uids.length + chunk.uids.length <= CHUNK_MESSAGES) {
    chunks[chunks.length - 1] = joined(last, chunk);
  } else chunks.push(chunk);
}

function joined(a: SnapshotChunk, b: SnapshotChunk): SnapshotChunk {
  const first = a.uids.length;
  const uids = new Uint32Array(first + b.uids.length);
  const flagIds = new Uint32Array(uids.length);
  const modseqs = new Float64Array(uids.length);
  uids.set(a.uids);
  uids.set(b.uids, first);
  flagIds.set(a.flagIds);
  flagIds.set(b.flagIds, first);
  modseqs.set(a.modseqs);
  modseqs.set(b.modseqs, first);
  const unseenInB = b.firstUnseen < 0 ? -1 : first + b.firstUnseen;
  const firstUnseen = a.firstUnseen < 0 ? unseenInB : a.firstUnseen;
  return { uids, flagIds, modseqs, maxModseq: Math.max(a.maxModseq, b.maxModseq), firstUnseen };
}

/** A chunk with what is found by looking through it. */
export function sealed(columns: Columns, { sets }: Pick<FlagSets, "sets">): SnapshotChunk {
  const maxModseq = columns.modseqs.reduce((max, modseq) => Math.max(max, modseq), 0);
  const firstUnseen = columns.flagIds.findIndex(id => ((sets[id]?.system ?? 0) & FLAG_SEEN) === 0);
  return { ...columns, maxModseq, firstUnseen };
}

function cut({ uids, flagIds, modseqs }: Columns, start: number, end: number): Columns {
  return {
    uids: uids.subarray(start, end),
    flagIds: flagIds.subarray(start, end),
    modseqs: modseqs.subarray(start, end),
  };
}

function withStarts(chunks: readonly SnapshotChunk[]): Pick<MailboxSnapshot, "chunks" | "starts" | "count"> {
  const starts = new Uint32Array(chunks.length + 1);
  for (const [i, chunk] of chunks.entries()) starts[i + 1] = (starts[i] ?? 0) + chunk.uids.length;
  return { chunks, starts, count: starts[chunks.length] ?? 0 };
}
