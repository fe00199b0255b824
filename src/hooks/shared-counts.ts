/**
 * Counts that all nodes share through the database: what it had when it was last read, and what was counted here since. Between two
 * readings a node does not see what others count: caps and budgets may be overstepped by what the other nodes do in that time.
 * What was counted and not yet sent is lost with a crash, and kept while the database is away, up to a limit.
 */
import type { Tally, TallyKind } from "../core/ports/tallies.ts";

/** Keys that wait for the database; past it new ones are not counted. */
const MAX_PENDING = 50_000;

interface Pending extends Tally {
  amount: number;
}

export class SharedCounts {
  readonly #kind: TallyKind;
  #base: ReadonlyMap<string, number> = new Map();
  #pending = new Map<string, Pending>();
  /** On their way: they count until the database has them. */
  #sending: ReadonlyMap<string, Tally> = new Map();

  constructor(kind: TallyKind) {
    this.#kind = kind;
  }

  add(name: string, slotMs: number, what: string, amount: number): void {
    const key = keyOf(name, slotMs, what);
    const known = this.#pending.get(key);
    if (known !== undefined) known.amount += amount;
    else if (this.#pending.size < MAX_PENDING)
      this.#pending.set(key, { kind: this.#kind, name, slot: new Date(slotMs), what, amount });
  }

  of(name: string, slotMs: number, what: string): number {
    const key = keyOf(name, slotMs, what);
    const own = (this.#pending.get(key)?.amount ?? 0) + (this.#sending.get(key)?.amount ?? 0);
    return (this.#base.get(key) ?? 0) + own;
  }

  /** One at a time. What it returns goes to the database; then {@link sent} or {@link failed}. */
  take(): readonly Tally[] {
    this.#sending = this.#pending;
    this.#pending = new Map();
    return [...this.#sending.values()];
  }

  failed(): void {
    const back = this.#sending;
    this.#sending = new Map();
    for (const { name, slot, what, amount } of back.values()) this.add(name, slot.getTime(), what, amount);
  }

  /** The database has what was taken: it counts here too, whether that can be read again or not. */
  sent(): void {
    const base = new Map(this.#base);
    for (const [key, { amount }] of this.#sending) base.set(key, (base.get(key) ?? 0) + amount);
    this.#base = base;
    this.#sending = new Map();
  }

  /** @param base  what the database has now, of all nodes; what was taken is among it */
  use(base: readonly Tally[]): void {
    this.#base = new Map(
      base.map(({ name, slot, what, amount }) => [keyOf(name, slot.getTime(), what), amount]),
    );
  }
}

const keyOf = (name: string, slotMs: number, what: string) => `${name}\0${slotMs}\0${what}`;
