/**
 * Which messages of an account are read, found by Dovecot's own search in pieces: what one command says is bounded, and so is its time.
 * Most accounts are one piece.
 */
import { MairustError } from "../core/errors.ts";
import type { StoreView, ViewMailbox } from "./store-view.ts";

/** Messages that one search looks at; `doveadm` says 44 octets of each. */
const PIECE_MESSAGES = 100_000;
/** Characters of the messages of one command: far below what a command line may have. */
const MAX_SET_CHARS = 8_000;

/** `first:last`, or one number. */
export type UidRange = readonly [first: number, last: number];

/** One search: of all mailboxes, or of a range in one. */
export interface SeenPiece {
  readonly mailboxes: readonly ViewMailbox[];
  readonly range: UidRange | undefined;
}

export interface SeenIn {
  readonly mailbox: ViewMailbox;
  /** Ascending. */
  readonly uids: readonly number[];
}

/** The last UID of a mailbox, by {@link markOf}, up to which nothing is asked. */
export type Known = ReadonlyMap<string, number>;

/** Names a mailbox as long as its UIDs mean the same. */
export const markOf = ({ guid, uidValidity }: ViewMailbox) => `${guid}/${uidValidity}`;

/** All that is not known. UIDs may be spread unevenly: a piece that is too large is cut by {@link searchSeen}. */
export function seenPieces(
  mailboxes: readonly ViewMailbox[],
  known: Known,
  pieceMessages = PIECE_MESSAGES,
): readonly SeenPiece[] {
  const open = mailboxes.filter(one => one.messages > 0 && one.lastUid > (known.get(markOf(one)) ?? 0));
  const messages = open.reduce((sum, one) => sum + one.messages, 0);
  if (known.size === 0 && messages > 0 && messages <= pieceMessages)
    return [{ mailboxes: open, range: undefined }];
  return open.flatMap(mailbox => {
    const first = (known.get(markOf(mailbox)) ?? 0) + 1;
    const count = Math.ceil(mailbox.messages / pieceMessages);
    const step = Math.ceil((mailbox.lastUid - first + 1) / count);
    const pieces: SeenPiece[] = [];
    for (let from = first; from <= mailbox.lastUid; from += step)
      pieces.push({ mailboxes: [mailbox], range: [from, Math.min(from + step - 1, mailbox.lastUid)] });
    return pieces;
  });
}

/**
 * @param search  the words of a search, to what `doveadm search` says
 * @returns what is read, some of it each time; nothing that came after the mailboxes were looked at
 * @throws {MairustError} what `search` throws, but for `too_many` of more than one UID
 */
export async function* searchSeen(
  piece: SeenPiece,
  search: (query: readonly string[]) => Promise<string>,
): AsyncGenerator<readonly SeenIn[]> {
  let said: string;
  try {
    said = await search(queryOf(piece));
  } catch (error) {
    const halves = error instanceof MairustError && error.code === "too_many" ? halvesOf(piece) : [];
    if (halves.length === 0) throw error;
    for (const half of halves) yield* searchSeen(half, search);
    return;
  }
  yield seenOf(said, piece.mailboxes);
}

/** Of the account as its view has it. @param options  of `doveadm` */
export const searchIn = (view: StoreView, options: readonly string[]) => (query: readonly string[]) =>
  view(["search"], query, options);

function queryOf({ mailboxes: [mailbox], range }: SeenPiece): readonly string[] {
  if (range === undefined || mailbox === undefined) return ["seen"];
  return ["mailbox-guid", mailbox.guid, "uid", `${range[0]}:${range[1]}`, "seen"];
}

function halvesOf({ mailboxes, range }: SeenPiece): readonly SeenPiece[] {
  if (range === undefined)
    return mailboxes.map(mailbox => ({ mailboxes: [mailbox], range: [1, mailbox.lastUid] as const }));
  const [first, last] = range;
  if (first >= last) return [];
  const middle = Math.floor((first + last) / 2);
  return [
    { mailboxes, range: [first, middle] },
    { mailboxes, range: [middle + 1, last] },
  ];
}

/** @param output  of `doveadm search`: a mailbox and a UID on each line */
export function seenOf(output: string, mailboxes: readonly ViewMailbox[]): readonly SeenIn[] {
  const asked = new Map(mailboxes.map(mailbox => [mailbox.guid, { mailbox, uids: [] as number[] }]));
  for (const line of output.split("\n")) {
    const [, guid = "", text] = /^([0-9a-f]{32}) (\d{1,10})$/u.exec(line.trim()) ?? [];
    const found = asked.get(guid);
    if (found !== undefined && Number(text) <= found.mailbox.lastUid) found.uids.push(Number(text));
  }
  return [...asked.values()]
    .filter(({ uids }) => uids.length > 0)
    .map(({ mailbox, uids }) => ({ mailbox, uids: uids.sort((a, b) => a - b) }));
}

export function rangesOf(ascending: readonly number[]): readonly UidRange[] {
  const ranges: [number, number][] = [];
  for (const uid of ascending) {
    const last = ranges.at(-1);
    if (last !== undefined && uid <= last[1] + 1) last[1] = uid;
    else ranges.push([uid, uid]);
  }
  return ranges;
}

/** IMAP sequence sets, each short enough for a command. */
export function uidSets(ascending: readonly number[]): readonly string[] {
  const sets: string[] = [];
  for (const [first, last] of rangesOf(ascending)) {
    const text = first === last ? String(first) : `${first}:${last}`;
    const current = sets.at(-1);
    if (current === undefined || current.length + 1 + text.length > MAX_SET_CHARS) sets.push(text);
    else sets[sets.length - 1] = `${current},${text}`;
  }
  return sets;
}
