/**
 * What went where, by plugin and destination, since the start. Bounded: what a plugin asks for beyond its share of the table is
 * counted in one row, so that the sums are always whole. Pure.
 */
import type { EgressTraffic } from "../../core/ports/egress.ts";
import type { RefusalReason } from "./refusal.ts";

/** Destinations of one plugin. */
export const MAX_DESTINATIONS = 200;
/** The row of what did not fit. */
export const OTHER_DESTINATIONS = "(others)";
/** The row of requests that named none. */
export const NO_DESTINATION = "(none)";

/** What happened at one destination, to be added to. */
export interface TrafficRow {
  connected(): void;
  refused(reason: RefusalReason): void;
  up(bytes: number): void;
  down(bytes: number): void;
}

export class TrafficTable {
  readonly #plugins = new Map<string, Map<string, Row>>();

  row(plugin: string, destination: string): TrafficRow {
    const rows = this.#plugins.get(plugin) ?? new Map<string, Row>();
    this.#plugins.set(plugin, rows);
    const found = rows.get(destination);
    if (found !== undefined) return found;
    if (rows.size >= MAX_DESTINATIONS && destination !== OTHER_DESTINATIONS)
      return this.row(plugin, OTHER_DESTINATIONS);
    const row = new Row(plugin, destination);
    rows.set(destination, row);
    return row;
  }

  list(): readonly EgressTraffic[] {
    return [...this.#plugins.values()].flatMap(rows => [...rows.values()].map(row => row.snapshot()));
  }
}

class Row implements TrafficRow {
  readonly #plugin: string;
  readonly #destination: string;
  readonly #refused = new Map<RefusalReason, number>();
  #connections = 0;
  #bytesUp = 0;
  #bytesDown = 0;

  constructor(plugin: string, destination: string) {
    this.#plugin = plugin;
    this.#destination = destination;
  }

  connected(): void {
    this.#connections++;
  }

  refused(reason: RefusalReason): void {
    this.#refused.set(reason, (this.#refused.get(reason) ?? 0) + 1);
  }

  up(bytes: number): void {
    this.#bytesUp += bytes;
  }

  down(bytes: number): void {
    this.#bytesDown += bytes;
  }

  snapshot(): EgressTraffic {
    return {
      plugin: this.#plugin,
      destination: this.#destination,
      connections: this.#connections,
      refused: Object.fromEntries(this.#refused),
      bytesUp: this.#bytesUp,
      bytesDown: this.#bytesDown,
    };
  }
}
