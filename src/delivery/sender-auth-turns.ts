/** Places that few may have at a time; the others have their turn in order. Who waits is bounded by who asks. */
export class Turns {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(places: number) {
    this.#free = places;
  }

  /**
   * @param go  called once, now or later, when the place is there
   * @returns   gives the place back, or waits for it no longer; may be called again
   */
  enter(go: () => void): () => void {
    this.#waiting.add(go);
    this.#serve();
    let isLeft = false;
    return () => {
      if (isLeft) return;
      isLeft = true;
      if (!this.#waiting.delete(go)) this.#free++;
      this.#serve();
    };
  }

  #serve(): void {
    for (const go of this.#waiting) {
      if (this.#free === 0) return;
      this.#free--;
      this.#waiting.delete(go);
      go();
    }
  }
}
