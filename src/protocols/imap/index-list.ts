/**
 * A growing list of message indexes, four octets each: a search may find a million. They come in a few ascending runs, one for each look
 * at the messages. These are merged: a sort of a million would hold up everybody for a fifth of a second. Pure.
 */

const FIRST_ROOM = 256;
/** Runs that are merged one by one; more of them are no runs, and are sorted. */
const RUNS_MERGED = 4;

export class IndexList {
  #room = new Uint32Array(FIRST_ROOM);
  #count = 0;
  #runs = 0;

  add(index: number): void {
    if (this.#count === 0 || index < (this.#room[this.#count - 1] ?? 0)) this.#runs += 1;
    if (this.#count === this.#room.length) {
      const room = new Uint32Array(2 * this.#count);
      room.set(this.#room);
      this.#room = room;
    }
    this.#room[this.#count] = index;
    this.#count += 1;
  }

  /** @returns a view of the list: nothing may be added afterwards */
  sorted(): Uint32Array {
    const all = this.#room.subarray(0, this.#count);
    if (this.#runs > RUNS_MERGED) return all.sort();
    let [merged, ...rest] = runsOf(all);
    for (const run of rest) merged = merge(merged ?? all, run);
    return merged ?? all;
  }
}

function* runsOf(all: Uint32Array): Iterable<Uint32Array> {
  let start = 0;
  for (let i = 1; i <= all.length; i += 1) {
    if (i < all.length && (all[i] ?? 0) >= (all[i - 1] ?? 0)) continue;
    yield all.subarray(start, i);
    start = i;
  }
}

function merge(a: Uint32Array, b: Uint32Array): Uint32Array {
  const merged = new Uint32Array(a.length + b.length);
  let i = 0;
  let j = 0;
  for (let at = 0; at < merged.length; at += 1) {
    const takesA = j >= b.length || (i < a.length && (a[i] ?? 0) <= (b[j] ?? 0));
    merged[at] = (takesA ? a[i] : b[j]) ?? 0;
    if (takesA) i += 1;
    else j += 1;
  }
  return merged;
}
