/**
 * Blobs that cannot be read: an error in the log once per blob, a metric, and `/readyz` degraded until a scrub finds nothing wrong or
 * the service starts anew.
 */
import type { Log } from "../core/ports/log.ts";
import type { ScrubFinding } from "../core/ports/scrub.ts";
import type { Metrics } from "../platform/metrics.ts";

/** Subjects remembered, so that each is logged once; beyond, they are counted only. */
const MAX_REMEMBERED = 1_000;

export type Unreadable = "missing" | "damaged";

export class BlobAlarms {
  readonly #log: Log;
  readonly #metrics: Metrics;
  readonly #blobs = new Set<string>();
  /** What a scrub found wrong in the database. */
  readonly #others = new Set<string>();

  constructor(log: Log, metrics: Metrics) {
    this.#log = log;
    this.#metrics = metrics;
  }

  /** Why the store is degraded; undefined: nothing is known to be wrong. */
  get problem(): string | undefined {
    const texts = [
      ...(this.#blobs.size === 0 ? [] : [`${amount(this.#blobs)} blobs missing or damaged`]),
      ...(this.#others.size === 0 ? [] : [`${amount(this.#others)} other findings of scrub`]),
    ];
    return texts.length === 0 ? undefined : `${texts.join(", ")}; the log names them`;
  }

  unreadable(digest: string, state: Unreadable): void {
    this.#metrics.blobUnreadable.inc({ reason: state });
    if (remember(this.#blobs, digest)) this.#log.error("blob unreadable", { digest, reason: state });
  }

  found({ kind, subject, detail }: ScrubFinding): void {
    this.#metrics.scrubFindings.inc({ finding: kind });
    if (kind === "blob_missing") this.unreadable(subject, "missing");
    else if (kind === "blob_damaged") this.unreadable(subject, "damaged");
    else if (remember(this.#others, `${kind} ${subject}`))
      this.#log.error("scrub finding", { finding: kind, of: subject, reason: detail });
  }

  /** Everything was looked at, and nothing was found. */
  clear(): void {
    this.#blobs.clear();
    this.#others.clear();
  }
}

function remember(known: Set<string>, subject: string): boolean {
  if (known.has(subject) || known.size >= MAX_REMEMBERED) return false;
  known.add(subject);
  return true;
}

function amount(known: ReadonlySet<string>): string {
  return known.size < MAX_REMEMBERED ? String(known.size) : `${MAX_REMEMBERED} or more`;
}
