/**
 * How long ago a blob was put (step 7): a delivery that comes after this is refused, because the collector's proof
 * (`blob-gc.ts`) needs an end to the time between putting a blob and committing its row. Nothing that runs normally comes near:
 * what is meant are processes that were stopped, and hosts that slept, in between.
 */
import { MairustError } from "../core/errors.ts";
import type { BlobRecord, PutMoment } from "../core/ports/blobs.ts";

/** Far longer than any transaction waits for its commit, far shorter than `FORGET_S` of the collector. */
const MAX_PUT_AGE_MS = 6 * 3_600_000;

/** Now, by a clock that never goes back and by one that goes on while the host sleeps. */
export function putMoment(): PutMoment {
  return { steadyMs: performance.now(), wallMs: Date.now() };
}

/**
 * Call it just before the statement that inserts the row is sent.
 * @throws {MairustError} `deadline`: it was put too long ago; putting it again helps
 */
export function refuseOldPut({ digest, putAt }: BlobRecord, now: PutMoment = putMoment()): void {
  if (putAt === undefined) return;
  const ageMs = Math.max(now.steadyMs - putAt.steadyMs, now.wallMs - putAt.wallMs);
  if (ageMs <= MAX_PUT_AGE_MS) return;
  throw new MairustError(
    "deadline",
    `Cannot commit blob "${digest}": it was put ${Math.round(ageMs / 1000)} s ago`,
    {
      publicText: "mail storage is not available",
    },
  );
}
