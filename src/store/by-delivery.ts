/**
 * Values by their names, in the order in which they came, that are also found by the delivery that they are of without a look at the
 * others: a relay asks for each message (message path, step 7). In memory, pure.
 */
import type { RelayDelivery } from "../core/ports/relay-records.ts";

/** What tells a delivery that comes again from others. */
export type DeliveryKey = Pick<RelayDelivery, "queueId" | "digest">;

/** Digests hold no space. */
export const deliveryKey = ({ queueId, digest }: DeliveryKey) => `${queueId} ${digest}`;

export class ByDelivery<V> implements Iterable<[id: string, value: V]> {
  readonly #deliveryOf: (value: V) => DeliveryKey;
  readonly #values = new Map<string, V>();
  /** By `deliveryKey`: names. */
  readonly #names = new Map<string, Set<string>>();

  constructor(deliveryOf: (value: V) => DeliveryKey) {
    this.#deliveryOf = deliveryOf;
  }

  get size(): number {
    return this.#values.size;
  }

  get(id: string): V | undefined {
    return this.#values.get(id);
  }

  /** A value in place of another one keeps its place. */
  set(id: string, value: V): void {
    const before = this.#values.get(id);
    const key = deliveryKey(this.#deliveryOf(value));
    if (before !== undefined && deliveryKey(this.#deliveryOf(before)) !== key) this.delete(id);
    this.#values.set(id, value);
    const names = this.#names.get(key);
    if (names === undefined) this.#names.set(key, new Set([id]));
    else names.add(id);
  }

  delete(id: string): void {
    const value = this.#values.get(id);
    if (value === undefined) return;
    this.#values.delete(id);
    const key = deliveryKey(this.#deliveryOf(value));
    const names = this.#names.get(key);
    names?.delete(id);
    if (names?.size === 0) this.#names.delete(key);
  }

  deleteOldest(): void {
    for (const id of this.#values.keys()) {
      this.delete(id);
      return;
    }
  }

  /** Those of one delivery, oldest first. They may be changed meanwhile. */
  of(delivery: DeliveryKey): readonly (readonly [id: string, value: V])[] {
    return [...(this.#names.get(deliveryKey(delivery)) ?? [])].flatMap(id => {
      const value = this.#values.get(id);
      return value === undefined ? [] : [[id, value] as const];
    });
  }

  [Symbol.iterator](): Iterator<[id: string, value: V]> {
    return this.#values.entries();
  }
}
