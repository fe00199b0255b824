/** A growing list of message indexes, four octets each: a search may find a million. Pure. */

const FIRST_ROOM = 256;

export class IndexList {
  #room = new Uint32Array(FIRST_ROOM);
  #count = 0;

  add(index: number): void {
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
    return this.#room.subarray(0, this.#count).sort();
  }
}
