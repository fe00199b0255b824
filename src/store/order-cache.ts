/**
 * Orders of messages that were asked for before: a client sorts the same mailbox again and again. What messages are sorted by never
 * changes, and no UID appears below a known one, so an order of all messages in a range of UIDs stays right; messages may only go.
 */
import type { MailboxIdentity } from "../core/mailbox-snapshot.ts";
import type { SortCriterion } from "../core/ports/message-order.ts";

/** Four octets a message. */
const MAX_OCTETS = 33_554_432;
const ENTRY_OCTETS = 200;

/** All messages of a range of UIDs, in order. */
export interface RangeOrder {
  readonly first: number;
  readonly last: number;
  readonly uids: Uint32Array;
}

export class OrderCache {
  readonly #maxOctets: number;
  /** Insertion order is age: the first is dropped first. */
  readonly #orders = new Map<string, RangeOrder>();
  #octets = 0;

  constructor(maxOctets = MAX_OCTETS) {
    this.#maxOctets = maxOctets;
  }

  /** @returns an order that holds all messages from `first` to `last` */
  find(
    mailbox: MailboxIdentity,
    by: readonly SortCriterion[],
    first: number,
    last: number,
  ): RangeOrder | undefined {
    const key = keyOf(mailbox, by);
    const order = this.#orders.get(key);
    if (order === undefined || order.first > first || order.last < last) return undefined;
    this.#orders.delete(key);
    this.#orders.set(key, order);
    return order;
  }

  add(mailbox: MailboxIdentity, by: readonly SortCriterion[], order: RangeOrder): void {
    const key = keyOf(mailbox, by);
    this.#drop(key);
    this.#orders.set(key, order);
    this.#octets += octetsOf(order);
    for (const oldest of this.#orders.keys()) {
      if (this.#octets <= this.#maxOctets) return;
      this.#drop(oldest);
    }
  }

  #drop(key: string): void {
    const order = this.#orders.get(key);
    if (order === undefined) return;
    this.#orders.delete(key);
    this.#octets -= octetsOf(order);
  }
}

function octetsOf({ uids }: RangeOrder): number {
  return uids.byteLength + ENTRY_OCTETS;
}

function keyOf({ mailboxId, uidValidity }: MailboxIdentity, by: readonly SortCriterion[]): string {
  return `${mailboxId} ${uidValidity} ${by.map(({ key, reverse }) => (reverse ? `-${key}` : key)).join(" ")}`;
}
