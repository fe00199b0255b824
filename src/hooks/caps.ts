/**
 * Blast radius: how often a plugin may refuse, defer, hold or move in an hour, over all its hooks, points and nodes. What goes beyond
 * is taken out of the answer (a decision becomes `deliver`, a folder goes) and listed with what was denied; the rest of it counts.
 * One answer is one action, however many recipients it is for. Failure policies are the administrator's word and are not counted.
 */
import type { CheckedAnswer } from "../core/answer.ts";
import type { HookPlugin } from "../core/hook-plugin.ts";
import type { CappedItem } from "../core/plugin-limits.ts";
import type { CallResult } from "./call.ts";
import { SharedCounts } from "./shared-counts.ts";

const MINUTE_MS = 60_000;
const MINUTES = 60;
export const CAP_WINDOW_MS = MINUTE_MS * MINUTES;

export interface CapHit {
  readonly plugin: string;
  readonly item: CappedItem;
  readonly cap: number;
}

export class Caps {
  readonly counts = new SharedCounts("cap");
  readonly #now: () => number;
  readonly #onHit: (hit: CapHit) => void;
  /** Plugin and item that are over their cap: told once until they are below it again. */
  readonly #over = new Set<string>();

  /**
   * @param now    milliseconds since the epoch
   * @param onHit  the first action that a cap takes away
   */
  constructor(now: () => number, onHit: (hit: CapHit) => void) {
    this.#now = now;
    this.#onHit = onHit;
  }

  /** What is left of an enforced call's result. */
  apply(plugin: HookPlugin, result: CallResult): CallResult {
    const { answer } = result;
    if (answer === undefined || plugin.caps === undefined) return result;
    const denied = itemsOf(answer).filter(item => !this.#take(plugin, item));
    if (denied.length === 0) return result;
    const allowed: CheckedAnswer = {
      ...answer,
      ...(denied.some(item => item !== "move") ? { action: "deliver" as const, reply: undefined } : {}),
      ...(denied.includes("move") ? { folder: undefined } : {}),
    };
    const why = (item: CappedItem) => `${item} is over its cap of ${plugin.caps?.[item]} in an hour`;
    const items = denied.map(item => ({
      item: item === "move" ? "folder" : "action",
      why: why(item),
      reason: "cap" as const,
    }));
    return { ...result, answer: allowed, denied: [...result.denied, ...items] };
  }

  /** Of the last hour. */
  used(plugin: string, item: CappedItem): number {
    const minute = this.#minute();
    let sum = 0;
    for (let i = 0; i < MINUTES; i++) sum += this.counts.of(plugin, minute - i * MINUTE_MS, item);
    return sum;
  }

  /** @returns false: it is over */
  #take({ id, caps }: HookPlugin, item: CappedItem): boolean {
    const cap = caps?.[item];
    if (cap === undefined) return true;
    const key = `${id}\0${item}`;
    if (this.used(id, item) < cap) {
      this.#over.delete(key);
      this.counts.add(id, this.#minute(), item, 1);
      return true;
    }
    if (!this.#over.has(key)) {
      this.#over.add(key);
      this.#onHit({ plugin: id, item, cap });
    }
    return false;
  }

  #minute(): number {
    return Math.floor(this.#now() / MINUTE_MS) * MINUTE_MS;
  }
}

function itemsOf({ action, folder }: CheckedAnswer): readonly CappedItem[] {
  return [...(action === "deliver" ? [] : [action]), ...(folder === undefined ? [] : (["move"] as const))];
}
