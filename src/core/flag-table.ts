/**
 * The flag sets of one mailbox, each kept once, so that a message's flags are a number. Append-only: an id means the same for
 * every state of the mailbox that was made with this table. When most sets are in use no more, a new table takes the living
 * ones over as the same objects. Pure.
 */
import type { FlagSet } from "./ports/store.ts";

/** How much a table holds. */
interface Amount {
  readonly sets: number;
  /** Memory that they take, about. */
  readonly octets: number;
  readonly keywords: number;
}

/**
 * From here on a table is looked through for dead sets: a client may make as many as it likes over the years. A few large ones take
 * as much memory as many small ones, and every session is told all keywords.
 */
const COMPACT_FROM: Amount = { sets: 65_536, octets: 8_388_608, keywords: 2000 };
/** What one set and one of its keywords take beside their text: objects, list and the entry in the map. About. */
const SET_OCTETS = 150;
const KEYWORD_OCTETS = 32;

/** What readers of a snapshot see of its table. It grows: what is asked for by an id of the snapshot never changes. */
export interface FlagSets {
  readonly sets: readonly FlagSet[];
  /** Of all sets, each spelling once, in the order in which they came. */
  readonly keywords: readonly string[];
}

export class FlagTable implements FlagSets {
  readonly #ids = new Map<string, number>();
  readonly #sets: FlagSet[] = [];
  readonly #keywords: string[] = [];
  readonly #knownKeywords = new Set<string>();
  readonly #compactFrom: Amount;
  #compactAt: Amount;
  #octets = 0;

  /** @param compactFrom  sets that are never too many */
  constructor(compactFrom = COMPACT_FROM.sets) {
    this.#compactFrom = { ...COMPACT_FROM, sets: compactFrom };
    this.#compactAt = this.#compactFrom;
  }

  get sets(): readonly FlagSet[] {
    return this.#sets;
  }

  get keywords(): readonly string[] {
    return this.#keywords;
  }

  /** Memory that the sets take, about. */
  get octets(): number {
    return this.#octets;
  }

  /** @param key  `"<system>[ keyword]…"` */
  id(key: string): number {
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    // A copy: a slice of a long text would keep all of it in memory.
    const own = Buffer.from(key).toString();
    const [system = "0", ...keywords] = own.split(" ");
    return this.#add(own, { system: Number(system), keywords: keywords.sort() });
  }

  /** True when it is worth to ask {@link FlagTable.compact}. */
  get crowded(): boolean {
    const { sets, octets, keywords } = this.#compactAt;
    return this.#sets.length >= sets || this.#octets >= octets || this.#keywords.length >= keywords;
  }

  /**
   * Take the sets in use over into a new table.
   * @param used  one element per id of this table, 0: no message has it
   * @returns the new table and, by old id, the new one; undefined when more than half of all lives
   */
  compact(used: Uint8Array): { readonly table: FlagTable; readonly ids: Uint32Array } | undefined {
    const table = new FlagTable(this.#compactFrom.sets);
    const ids = new Uint32Array(this.#sets.length);
    for (const [key, id] of this.#ids) {
      const set = this.#sets[id];
      if (used[id] !== 0 && set !== undefined) ids[id] = table.#add(key, set);
    }
    const live = table.#amount;
    // Looking costs as much as there are messages: next time when as much again came.
    const nextLook = {
      sets: Math.max(this.#compactFrom.sets, 2 * live.sets),
      octets: Math.max(this.#compactFrom.octets, 2 * live.octets),
      keywords: Math.max(this.#compactFrom.keywords, 2 * live.keywords),
    };
    const { sets, octets, keywords } = this.#amount;
    if (2 * live.sets > sets && 2 * live.octets > octets && 2 * live.keywords > keywords) {
      this.#compactAt = nextLook;
      return undefined;
    }
    table.#compactAt = nextLook;
    return { table, ids };
  }

  get #amount(): Amount {
    return { sets: this.#sets.length, octets: this.#octets, keywords: this.#keywords.length };
  }

  #add(key: string, set: FlagSet): number {
    const id = this.#sets.push(set) - 1;
    this.#ids.set(key, id);
    // Two octets a character, as key and in the set.
    this.#octets += SET_OCTETS + 4 * key.length + KEYWORD_OCTETS * set.keywords.length;
    for (const keyword of set.keywords) {
      if (this.#knownKeywords.has(keyword)) continue;
      this.#knownKeywords.add(keyword);
      this.#keywords.push(keyword);
    }
    return id;
  }
}
