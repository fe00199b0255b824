/**
 * The first step of THREAD=REFERENCES: messages as they come, in mailbox order, and who answers whom. An id that no message has is a
 * place in the tree all the same. Pure. Source: RFC 5256 §3, REFERENCES, step 1.
 */
import { MairustError } from "../../core/errors.ts";
import type { ThreadRow } from "../../core/ports/message-order.ts";
import { ThreadIds } from "./thread-ids.ts";

/** Places one THREAD may have: 60 octets each. */
export const THREAD_PLACES = 2_000_000;

const NONE = -1;

/** What the further steps need of each message, by its number: 0, 1, 2 … as they came. */
export interface LinkedMessages {
  readonly count: number;
  /** UID or sequence number. */
  readonly labels: Uint32Array;
  readonly sentS: Float64Array;
  readonly subjects: Float64Array;
  readonly isReply: Uint8Array;
  /** The place of each. */
  readonly places: Int32Array;
}

export class ThreadLinks {
  readonly #ids = new ThreadIds();
  readonly #maxPlaces: number;
  readonly #messages: LinkedMessages & { count: number };
  /** Of each place the place above it, or -1. */
  #parents: Int32Array;
  /** Of each place its message, or -1. */
  #owners: Int32Array;
  /** A place without anything below it makes no loop, wherever it is put. */
  #hasChild: Uint8Array;
  #places = 0;
  /** Steps that looking for loops took: a chain may be as long as the mailbox. */
  #steps = 0;

  /** @param most  messages */
  constructor(most: number, maxPlaces = THREAD_PLACES) {
    this.#maxPlaces = maxPlaces;
    this.#messages = {
      count: 0,
      labels: new Uint32Array(most),
      sentS: new Float64Array(most),
      subjects: new Float64Array(most),
      isReply: new Uint8Array(most),
      places: new Int32Array(most),
    };
    this.#parents = new Int32Array(most);
    this.#owners = new Int32Array(most);
    this.#hasChild = new Uint8Array(most);
  }

  get messages(): LinkedMessages {
    return this.#messages;
  }

  get parents(): Int32Array {
    return this.#parents;
  }

  get owners(): Int32Array {
    return this.#owners;
  }

  get steps(): number {
    return this.#steps;
  }

  /**
   * @param label  UID or sequence number
   * @throws {MairustError} `too_many`
   */
  add(row: ThreadRow, label: number): void {
    const number = this.#note(row, label);
    const [own = 0, ...references] = row.ids;
    let above = NONE;
    for (const id of references) {
      this.#steps += 1;
      const place = this.#placeOf(id);
      // Step 1.A: what is linked already stays.
      if (above !== NONE && this.#parents[place] === NONE) this.#link(place, above);
      above = place;
    }
    const place = this.#ownPlace(own);
    this.#owners[place] = number;
    this.#messages.places[number] = place;
    // Step 1.B: its own word counts more than what others say of it.
    if (this.#parents[place] === above) return;
    this.#parents[place] = NONE;
    if (above !== NONE) this.#link(place, above);
  }

  #note({ sentS, subject, isReply }: ThreadRow, label: number): number {
    const messages = this.#messages;
    const number = messages.count;
    messages.count += 1;
    messages.labels[number] = label;
    messages.sentS[number] = sentS;
    messages.subjects[number] = subject;
    messages.isReply[number] = isReply ? 1 : 0;
    return number;
  }

  /** Without an id, or with one that another message has already, it gets one that nobody names. */
  #ownPlace(id: number): number {
    if (id === 0) return this.#newPlace();
    const place = this.#placeOf(id);
    return this.#owners[place] === NONE ? place : this.#newPlace();
  }

  #placeOf(id: number): number {
    const known = this.#ids.find(id);
    if (known !== -1) return known;
    const place = this.#newPlace();
    this.#ids.set(id, place);
    return place;
  }

  #newPlace(): number {
    const place = this.#places;
    if (place >= this.#maxPlaces) {
      throw new MairustError("too_many", `Cannot thread messages: more than ${this.#maxPlaces} message ids`, {
        publicText: "too many messages to thread",
      });
    }
    if (place === this.#parents.length) this.#grow();
    this.#parents[place] = NONE;
    this.#owners[place] = NONE;
    this.#places += 1;
    return place;
  }

  #grow(): void {
    const room = 2 * this.#places + 64;
    this.#parents = grown(this.#parents, new Int32Array(room));
    this.#owners = grown(this.#owners, new Int32Array(room));
    this.#hasChild = grown(this.#hasChild, new Uint8Array(room));
  }

  /** Does nothing where it would make a loop. */
  #link(place: number, above: number): void {
    if (place === above || (this.#hasChild[place] === 1 && this.#isAbove(place, above))) return;
    this.#parents[place] = above;
    this.#hasChild[above] = 1;
  }

  #isAbove(place: number, below: number): boolean {
    for (let at = this.#parents[below] ?? NONE; at !== NONE; at = this.#parents[at] ?? NONE) {
      this.#steps += 1;
      if (at === place) return true;
    }
    return false;
  }
}

function grown<T extends Int32Array | Uint8Array>(old: T, room: T): T {
  room.set(old);
  return room;
}
