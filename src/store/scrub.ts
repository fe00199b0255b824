/**
 * `scrub`: checks everything that is stored, while mail goes on: every blob against its digest, every file against the rows, and the
 * database against itself. Reports, changes nothing. Pages are small and read in key order, so that a run holds no long transaction
 * and can go on where another ended.
 *
 * What moves meanwhile is not damage: a finding that a delivery or the collector may have caused is looked at twice.
 * Failures: `store_unavailable` ends the run without `done`.
 */
import { MairustError } from "../core/errors.ts";
import type { BlobUpkeep } from "../core/ports/blob-upkeep.ts";
import type { ScrubCounts, ScrubFinding, ScrubItem, ScrubOptions, Scrubber } from "../core/ports/scrub.ts";
import type { Db } from "./db.ts";
import { checkBlobs, checkFiles } from "./scrub-blobs.ts";
import { checkAccounts, checkMailboxes, checkMessages } from "./scrub-rows.ts";

/** Between two reports of progress. */
const PROGRESS_MS = 1_000;

export interface ScrubParts {
  readonly db: Db;
  readonly upkeep: BlobUpkeep;
  readonly counts: ScrubCounts;
  readonly signal: AbortSignal;
}

/** What a check yields: findings, and places where progress may be reported (after a blob, where it matters). */
export type Checked = ScrubFinding | { readonly at: string | undefined };

export interface ScrubberOptions {
  readonly db: Db;
  readonly upkeep: () => BlobUpkeep;
  /** Told of each finding: for the log, metrics and `/readyz`. */
  readonly onFinding: (finding: ScrubFinding) => void;
  /** Told when a run came to its end. `whole`: it hashed everything. */
  readonly onDone: (counts: Readonly<ScrubCounts>, whole: boolean) => void;
}

export function createScrubber(options: ScrubberOptions): Scrubber {
  const stopped = new AbortController();
  let running = false;
  return {
    async *run(asked) {
      if (stopped.signal.aborted) throw stopped.signal.reason;
      if (running) {
        const text = "a scrub runs already";
        throw new MairustError("invalid_state", `Cannot scrub: ${text}`, { publicText: text });
      }
      running = true;
      try {
        yield* scrub(options, asked, stopped.signal);
      } finally {
        running = false;
      }
    },
    stop() {
      const text = "the service stops";
      stopped.abort(new MairustError("draining", `Cannot go on: ${text}`, { publicText: text }));
    },
  };
}

async function* scrub(
  { db, upkeep, onFinding, onDone }: ScrubberOptions,
  asked: ScrubOptions,
  signal: AbortSignal,
): AsyncGenerator<ScrubItem> {
  const counts = noCounts();
  const parts: ScrubParts = { db, upkeep: upkeep(), counts, signal };
  let after = asked.after;
  let reportedAt = Number.NEGATIVE_INFINITY;
  const checks = [
    checkBlobs(parts, asked),
    checkFiles(parts),
    checkMailboxes(parts),
    checkAccounts(parts),
    checkMessages(parts),
  ];
  for (const [i, check] of checks.entries()) {
    for await (const item of check) {
      signal.throwIfAborted();
      if ("kind" in item) {
        counts.findings += 1;
        onFinding(item);
        yield { kind: "finding", finding: item };
        continue;
      }
      if (i === 0) after = item.at as typeof after;
      if (performance.now() - reportedAt < PROGRESS_MS) continue;
      reportedAt = performance.now();
      yield { kind: "progress", after, counts: { ...counts } };
    }
    after = undefined;
  }
  counts.temporaryFiles = await parts.upkeep.countTemporary();
  onDone(counts, !asked.quick && asked.after === undefined);
  yield { kind: "done", counts: { ...counts } };
}

function noCounts(): ScrubCounts {
  return {
    blobs: 0,
    hashedBytes: 0,
    messages: 0,
    mailboxes: 0,
    accounts: 0,
    unreferencedBlobs: 0,
    collectingBlobs: 0,
    extraFiles: 0,
    extraBytes: 0,
    youngFiles: 0,
    strangeFiles: 0,
    temporaryFiles: 0,
    findings: 0,
  };
}
