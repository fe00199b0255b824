/**
 * Message ids of one THREAD as small numbers. Cut into many tables, since a table that grows is filled anew: of one that holds a million
 * ids that would take a tenth of a second. Pure.
 */

const TABLES = 64;
const FIRST_ROOM = 16;

export class ThreadIds {
  readonly #tables = Array.from({ length: TABLES }, () => new Table());

  /** @param id  not 0 @returns the number it was given, or -1 */
  find(id: number): number {
    return this.#table(id).get(id);
  }

  set(id: number, number: number): void {
    this.#table(id).set(id, number);
  }

  #table(id: number): Table {
    const table = this.#tables[id % TABLES];
    if (table === undefined) throw new RangeError(`Cannot look up message id ${id}: it is no whole number`);
    return table;
  }
}

/** Open addressing, half full at most. 0 is an empty place. */
class Table {
  #ids = new Float64Array(FIRST_ROOM);
  #numbers = new Int32Array(FIRST_ROOM);
  #count = 0;

  get(id: number): number {
    const place = this.#place(id);
    return this.#ids[place] === id ? (this.#numbers[place] ?? -1) : -1;
  }

  set(id: number, number: number): void {
    if (2 * this.#count >= this.#ids.length) this.#grow();
    const place = this.#place(id);
    if (this.#ids[place] === 0) this.#count += 1;
    this.#ids[place] = id;
    this.#numbers[place] = number;
  }

  #place(id: number): number {
    const ids = this.#ids;
    let place = Math.floor(id / TABLES) % ids.length;
    while (ids[place] !== 0 && ids[place] !== id) place = (place + 1) % ids.length;
    return place;
  }

  #grow(): void {
    const [ids, numbers] = [this.#ids, this.#numbers];
    this.#ids = new Float64Array(2 * ids.length);
    this.#numbers = new Int32Array(2 * ids.length);
    this.#count = 0;
    for (const [i, id] of ids.entries()) if (id !== 0) this.set(id, numbers[i] ?? 0);
  }
}
