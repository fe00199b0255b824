/** What an export counts and reports besides its mailboxes. Pure. */

import { MAX_REPORTED } from "../wire/transfer.ts";
import type { ExportReport, OnProgress } from "../wire/transfer-calls.ts";

export class ExportTally {
  /** Messages were expunged meanwhile. */
  changed = false;
  readonly problems: { readonly mailbox: string; readonly uid: number; readonly reason: string }[] = [];
  readonly #unnamed = new Map<string, Set<string>>();
  readonly #onProgress: OnProgress;
  readonly #total: number;
  #done = 0;
  #bytes = 0;

  constructor(total: number, onProgress: OnProgress) {
    this.#total = total;
    this.#onProgress = onProgress;
  }

  step(mailbox: string, bytes: number): void {
    this.#done += 1;
    this.#bytes += bytes;
    const total = Math.max(this.#total, this.#done);
    this.#onProgress({ mailbox, done: this.#done, total, bytes: this.#bytes });
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
