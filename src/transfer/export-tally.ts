/** What an export counts and reports besides its mailboxes. Pure. */

import { MAX_REPORTED } from "../wire/transfer.ts";
import type { ExportReport, OnProgress } from "../wire/transfer-calls.ts";
import { StepCount } from "./step-count.ts";

export class ExportTally {
  /** Messages were expunged meanwhile. */
  changed = false;
  readonly problems: { readonly mailbox: string; readonly uid: number; readonly reason: string }[] = [];
  readonly #unnamed = new Map<string, Set<string>>();
  readonly #steps: StepCount;

  /** @param total  messages that there seem to be */
  constructor(total: number, onProgress: OnProgress) {
    this.#steps = new StepCount(total, onProgress);
  }

  step(mailbox: string, bytes: number): void {
    this.#steps.step(mailbox, 1, bytes);
  }

  problem(mailbox: string, uid: number, reason: string, isChange: boolean): void {
    if (isChange) this.changed = true;
    if (this.problems.length < MAX_REPORTED) this.problems.push({ mailbox, uid, reason });
    this.step(mailbox, 0);
  }

  /** Maildir has letters for 26. */
  tooManyKeywords(mailbox: string, keyword: string): void {
    const set = this.#unnamed.get(mailbox) ?? new Set();
    this.#unnamed.set(mailbox, set.add(keyword));
  }

  notes(): ExportReport["notes"] {
    return [...this.#unnamed].map(
      ([mailbox, keywords]) =>
        `${mailbox}: no letter left for ${keywords.size} keywords: ${[...keywords].join(" ")}`,
    );
  }
}
