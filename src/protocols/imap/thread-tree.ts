/**
 * Steps 2 to 6 of THREAD=REFERENCES: places without a message go, threads of the same subject meet, everything is sorted by when it was
 * sent. Messages are sorted once; lists that are filled in that order are sorted. No recursion, and a slice at a time. Pure.
 *
 * A node is the number of a message, or one from `count` on: what stands for messages that are not there, always at the top.
 * Source: RFC 5256 §3, REFERENCES.
 */
import { SLICE_STEPS } from "../../platform/slices.ts";
import { sortedIndexes } from "./sorted-indexes.ts";
import type { LinkedMessages, ThreadLinks } from "./thread-links.ts";

const NONE = -1;

/** Threads as lists of siblings, in order; -1 ends each. */
export interface ThreadTree {
  /** UID or sequence number of each node that is a message. */
  readonly labels: Uint32Array;
  /** Nodes from here on are no messages. */
  readonly count: number;
  readonly firstTop: number;
  readonly firstChild: Int32Array;
  readonly next: Int32Array;
}

export function* threadTree(links: ThreadLinks): Generator<void, ThreadTree> {
  const builder = new TreeBuilder(links);
  yield* builder.findParents();
  const order = yield* sortedIndexes(links.messages.sentS.subarray(0, links.messages.count));
  yield* builder.joinSubjects(order);
  return yield* builder.tree(order);
}

class TreeBuilder {
  readonly #links: ThreadLinks;
  readonly #messages: LinkedMessages;
  readonly #count: number;
  /** Of each node the node above it; of a node that is no message the one that took it over, or -1. */
  readonly #parents: Int32Array;
  #nodes: number;

  constructor(links: ThreadLinks) {
    this.#links = links;
    this.#messages = links.messages;
    this.#count = links.messages.count;
    // Each node that is no message has two messages below it, or had one before it was left out.
    this.#parents = new Int32Array(3 * this.#count).fill(NONE);
    this.#nodes = this.#count;
  }

  /** Steps 2 and 3: the nearest message above each, or one node for all that have the same missing beginning. */
  *findParents(): Generator<void> {
    const { places } = this.#messages;
    const beginnings = new Map<number, number>();
    const children = new Uint32Array(this.#count);
    for (let number = 0; number < this.#count; number += 1) {
      if (number % SLICE_STEPS === SLICE_STEPS - 1) yield;
      const above = this.#above(places[number] ?? 0);
      if (above === NONE) continue;
      const owner = this.#links.owners[above] ?? NONE;
      this.#parents[number] = owner === NONE ? this.#beginning(beginnings, above) : owner;
      if (owner === NONE) this.#tally(children, number);
    }
    // What is the only one below a missing beginning stands for itself.
    for (let number = 0; number < this.#count; number += 1) {
      if (number % SLICE_STEPS === SLICE_STEPS - 1) yield;
      const parent = this.#parents[number] ?? NONE;
      if (parent >= this.#count && children[parent - this.#count] === 1) this.#parents[number] = NONE;
    }
  }

  #tally(children: Uint32Array, number: number): void {
    const index = (this.#parents[number] ?? 0) - this.#count;
    children[index] = (children[index] ?? 0) + 1;
  }

  #beginning(known: Map<number, number>, place: number): number {
    const node = known.get(place) ?? this.#newNode();
    known.set(place, node);
    return node;
  }

  #newNode(): number {
    this.#nodes += 1;
    return this.#nodes - 1;
  }

  /** @returns the nearest place above that has a message, else the topmost one, or -1; shortens the way for those who come later */
  #above(place: number): number {
    const { parents, owners } = this.#links;
    let end = parents[place] ?? NONE;
    if (end === NONE) return NONE;
    while (owners[end] === NONE && parents[end] !== NONE) end = parents[end] ?? NONE;
    for (let at = parents[place] ?? NONE; at !== end; ) {
      const next = parents[at] ?? NONE;
      parents[at] = end;
      at = next;
    }
    return end;
  }

  /** Step 5. @param order  messages by when they were sent */
  *joinSubjects(order: Uint32Array): Generator<void> {
    const tops = yield* this.#tops(order);
    const table = new Map<number, Top>();
    for (const [i, top] of tops.entries()) {
      if (i % SLICE_STEPS === SLICE_STEPS - 1) yield;
      if (top.subject === 0) continue;
      const known = table.get(top.subject);
      if (known === undefined || isBetter(top, known)) table.set(top.subject, top);
    }
    for (const [i, top] of tops.entries()) {
      if (i % SLICE_STEPS === SLICE_STEPS - 1) yield;
      const known = table.get(top.subject);
      if (known === undefined || known === top) continue;
      if (known.isMessage && !(top.isReply && !known.isReply)) {
        const both = { ...known, node: this.#newNode(), isMessage: false };
        this.#parents[known.node] = both.node;
        this.#parents[top.node] = both.node;
        table.set(top.subject, both);
      } else this.#parents[top.node] = known.node;
    }
  }

  /** Step 4: the topmost nodes by when they, or the first of what is below them, were sent. */
  *#tops(order: Uint32Array): Generator<void, readonly Top[]> {
    const { subjects, isReply } = this.#messages;
    const tops: Top[] = [];
    const seen = new Uint8Array(this.#nodes - this.#count);
    for (const [i, number] of order.entries()) {
      if (i % SLICE_STEPS === SLICE_STEPS - 1) yield;
      const parent = this.#parents[number] ?? NONE;
      const isMessage = parent === NONE;
      if (!isMessage && (parent < this.#count || seen[parent - this.#count] === 1)) continue;
      if (!isMessage) seen[parent - this.#count] = 1;
      tops.push({
        node: isMessage ? number : parent,
        isMessage,
        subject: subjects[number] ?? 0,
        isReply: isReply[number] === 1,
      });
    }
    return tops;
  }

  /** Step 6: lists filled by when messages were sent; what is no message stands where the first below it stands. */
  *tree(order: Uint32Array): Generator<void, ThreadTree> {
    const firstChild = new Int32Array(this.#nodes).fill(NONE);
    const next = new Int32Array(this.#nodes).fill(NONE);
    const lastChild = new Int32Array(this.#nodes).fill(NONE);
    let firstTop = NONE;
    let lastTop = NONE;
    const addTop = (node: number) => {
      if (lastTop === NONE) firstTop = node;
      else next[lastTop] = node;
      lastTop = node;
    };
    for (const [i, number] of order.entries()) {
      if (i % SLICE_STEPS === SLICE_STEPS - 1) yield;
      const parent = this.#finalParent(number);
      if (parent === NONE) {
        addTop(number);
        continue;
      }
      const last = lastChild[parent] ?? NONE;
      lastChild[parent] = number;
      if (last !== NONE) next[last] = number;
      else {
        firstChild[parent] = number;
        if (parent >= this.#count) addTop(parent);
      }
    }
    return { labels: this.#messages.labels, count: this.#count, firstTop, firstChild, next };
  }

  #finalParent(number: number): number {
    const parent = this.#parents[number] ?? NONE;
    const takenOver = parent < this.#count ? NONE : (this.#parents[parent] ?? NONE);
    return takenOver === NONE ? parent : takenOver;
  }
}

/** A topmost node while subjects are compared; of what is no message, the first below it speaks. */
interface Top {
  readonly node: number;
  readonly isMessage: boolean;
  readonly subject: number;
  readonly isReply: boolean;
}

/** Step 5.B: who is in the table of subjects. */
function isBetter(top: Top, known: Top): boolean {
  return known.isMessage && (!top.isMessage || (known.isReply && !top.isReply));
}
