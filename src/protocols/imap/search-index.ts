/**
 * What the index knows of the texts that a search looks for: which messages cannot hold which. What it does not rule out is read, so
 * that the answer is the same without it.
 */
import { setImmediate } from "node:timers/promises";
import type { IndexQuery } from "../../core/ports/body-index.ts";
import type { InMailbox } from "./context.ts";
import { ConnectionGone } from "./output.ts";
import type { TextKey } from "./search-evaluate.ts";
import { whileThere } from "./while-there.ts";

/** Fewer messages than that are read in the time that the index takes. */
const MESSAGES_MIN = 16;
/** Texts that one search asks the index for; each takes a statement, and a bit of memory for every message. */
const TEXTS_MAX = 16;
/** Messages that are marked before the event loop gets its turn. */
const MARKS_PER_SLICE = 500_000;

/** Positions in a list of UIDs that one text may be at. */
class Positions {
  readonly #bits: Uint32Array;

  constructor(count: number) {
    this.#bits = new Uint32Array(Math.ceil(count / 32));
  }

  add(at: number): void {
    this.#bits[at >>> 5] = (this.#bits[at >>> 5] ?? 0) | (1 << (at & 31));
  }

  has(at: number): boolean {
    return ((this.#bits[at >>> 5] ?? 0) & (1 << (at & 31))) !== 0;
  }
}

export class RuledOut {
  readonly #candidates: ReadonlyMap<TextKey, Positions>;

  constructor(candidates: ReadonlyMap<TextKey, Positions>) {
    this.#candidates = candidates;
  }

  /** @param at  in the UIDs asked about */
  lacks(key: TextKey, at: number): boolean {
    return this.#candidates.get(key)?.has(at) === false;
  }
}

/**
 * @param uids  ascending
 * @returns undefined: nothing is ruled out
 * @throws {ConnectionGone}
 */
export async function askIndex(
  context: InMailbox,
  keys: readonly TextKey[],
  uids: Uint32Array,
): Promise<RuledOut | undefined> {
  const { bodyIndex, gone, selected } = context;
  if (bodyIndex === undefined || uids.length < MESSAGES_MIN) return undefined;
  const candidates = new Map<TextKey, Positions>();
  for (const key of keys.slice(0, TEXTS_MAX)) {
    const found = await whileThere(gone, () =>
      bodyIndex.candidates(selected.view.mailboxId, uids, queryOf(key), gone),
    );
    if (gone.aborted) throw new ConnectionGone();
    if (found !== undefined) candidates.set(key, await positionsOf(found, uids));
  }
  return candidates.size === 0 ? undefined : new RuledOut(candidates);
}

function queryOf(key: TextKey): IndexQuery {
  if (key.kind === "header") return { folded: key.text, where: "header", field: key.field };
  return { folded: key.text, where: key.withHeader ? "text" : "body" };
}

/** @param some  of `all`, both ascending */
async function positionsOf(some: Uint32Array, all: Uint32Array): Promise<Positions> {
  const positions = new Positions(all.length);
  let next = 0;
  for (let at = 0; at < all.length && next < some.length; at += 1) {
    if (at % MARKS_PER_SLICE === MARKS_PER_SLICE - 1) await setImmediate();
    if (all[at] !== some[next]) continue;
    positions.add(at);
    next += 1;
  }
  return positions;
}
