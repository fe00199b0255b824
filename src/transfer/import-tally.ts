/** What an import counts and reports. Pure. */
import type { ImportMailboxReport, ImportProblem, ImportReport } from "../wire/api/transfer.ts";
import { MAX_REPORTED } from "../wire/transfer.ts";
import type { OnProgress } from "../wire/transfer-calls.ts";
import { StepCount } from "./step-count.ts";

type Counts = { -readonly [K in keyof ImportMailboxReport]: ImportMailboxReport[K] };

/** Of one mailbox. */
export class MailboxTally {
  readonly counts: Counts;
  readonly #all: ImportTally;

  constructor(all: ImportTally, source: string, mailbox: string) {
    this.#all = all;
    this.counts = {
      source,
      mailbox,
      found: 0,
      copied: 0,
      already: 0,
      skipped: 0,
      failed: 0,
      copied_bytes: 0,
      flags_updated: 0,
      gone_at_source: 0,
      uids: "own",
      uids_reason: "",
    };
  }

  copied(bytes: number): void {
    this.counts.copied += 1;
    this.counts.copied_bytes += bytes;
    this.#all.step(this.counts.mailbox, 1, bytes);
  }

  already(messages: number): void {
    this.counts.already += messages;
    this.#all.step(this.counts.mailbox, messages, 0);
  }

  skipped(reason: string, file: string, detail: string): void {
    this.counts.skipped += 1;
    this.#all.note("skipped", reason, { mailbox: this.counts.mailbox, file, reason, detail });
    this.#all.step(this.counts.mailbox, 1, 0);
  }

  failed(reason: string, file: string, detail: string): void {
    this.counts.failed += 1;
    this.#all.note("failed", reason, { mailbox: this.counts.mailbox, file, reason, detail });
    this.#all.step(this.counts.mailbox, 1, 0);
  }
}

/** Of a whole import. */
export class ImportTally {
  /** The source is not as it was when the pass began. */
  changed = false;
  readonly notes: string[] = [];
  readonly #mailboxes: MailboxTally[] = [];
  readonly #reasons = { skipped: new Map<string, number>(), failed: new Map<string, number>() };
  readonly #problems: ImportProblem[] = [];
  readonly #steps: StepCount;

  /** @param total  messages that there seem to be */
  constructor(total: number, onProgress: OnProgress) {
    this.#steps = new StepCount(total, onProgress);
  }

  mailbox(source: string, name: string): MailboxTally {
    const tally = new MailboxTally(this, source, name);
    this.#mailboxes.push(tally);
    return tally;
  }

  step(mailbox: string, messages: number, bytes: number): void {
    this.#steps.step(mailbox, messages, bytes);
  }

  note(kind: "skipped" | "failed", reason: string, problem: ImportProblem): void {
    this.#reasons[kind].set(reason, (this.#reasons[kind].get(reason) ?? 0) + 1);
    if (this.#problems.length < MAX_REPORTED) this.#problems.push(problem);
  }

  report(seconds: number): ImportReport {
    return {
      mailboxes: this.#mailboxes.map(({ counts }) => ({ ...counts })),
      skipped: Object.fromEntries(this.#reasons.skipped),
      failed: Object.fromEntries(this.#reasons.failed),
      problems: [...this.#problems],
      notes: [...this.notes],
      changed: this.changed,
      seconds,
    };
  }
}
