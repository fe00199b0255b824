/**
 * Items of answers that went beyond the grant, told once an hour for each hook and reason: the timeline has each of them, and the
 * audit log must not grow with the mail.
 */
import type { DeniedItem } from "../core/answer.ts";

const HOUR_MS = 3_600_000;

export interface Denial {
  readonly plugin: string;
  readonly hook: string;
  /** Items and reasons are the core's own words, so there are few. */
  readonly item: string;
  readonly why: string;
}

export class Denials {
  readonly #now: () => number;
  readonly #onDenied: (denial: Denial) => void;
  /** Told in this hour. */
  readonly #told = new Set<string>();
  #hour = 0;

  /** @param now  milliseconds since the epoch */
  constructor(now: () => number, onDenied: (denial: Denial) => void) {
    this.#now = now;
    this.#onDenied = onDenied;
  }

  record(hook: string, plugin: string, denied: readonly DeniedItem[]): void {
    if (denied.length === 0) return;
    const hour = Math.floor(this.#now() / HOUR_MS);
    if (hour !== this.#hour) this.#told.clear();
    this.#hour = hour;
    for (const { item, why } of denied) {
      const key = [hook, plugin, item, why].join("\0");
      if (this.#told.has(key)) continue;
      this.#told.add(key);
      this.#onDenied({ plugin, hook, item, why });
    }
  }
}
