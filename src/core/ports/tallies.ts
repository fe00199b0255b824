/** Counts that all nodes add to, by name and slot of time: kept in the database, so that they outlive a restart. */

/** `hook`: figures, by minute; `cap`: actions of a plugin, by minute; `usage`: what a plugin cost, by day. */
export type TallyKind = "hook" | "cap" | "usage";

export interface Tally {
  readonly kind: TallyKind;
  /** Of a hook, or id of a plugin. */
  readonly name: string;
  /** Begin of the minute or day, UTC. */
  readonly slot: Date;
  readonly what: string;
  readonly amount: number;
}

/** `store/tallies.ts`. All throw {MairustError} `store_unavailable`. */
export interface Tallies {
  /** Added to what is there. Each (kind, name, slot, what) at most once in a call. */
  add(tallies: readonly Tally[]): Promise<void>;
  /** @param name  undefined: of all */
  read(kind: TallyKind, since: Date, name?: string): Promise<readonly Tally[]>;
}
