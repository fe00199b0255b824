/**
 * Which messages changed since a MODSEQ: for FETCH (CHANGEDSINCE) and for a client that comes back. Chunks in which nothing did are
 * not looked into. Pure. Source: RFC 7162 §3.1.4.1, §3.2.5.
 */
import { lowerBound, type MailboxSnapshot } from "../../core/mailbox-snapshot.ts";
import type { Steps } from "../../core/steps.ts";
import { appendRange } from "./sequence-set.ts";

/**
 * @param indexes  index ranges of `view`
 * @returns those of them whose MODSEQ is above `since`, as index ranges; a step looks into one chunk at most
 */
export function* changedSince(
  view: MailboxSnapshot,
  indexes: readonly number[],
  since: number,
): Steps<readonly number[]> {
  const changed: number[] = [];
  const { chunks, starts } = view;
  let number = 0;
  for (let i = 0; i < indexes.length; i += 2) {
    const end = indexes[i + 1] ?? 0;
    for (let at = indexes[i] ?? 0; at < end; ) {
      if (at >= (starts[number + 1] ?? 0)) number = lowerBound(starts, at + 1, number) - 1;
      const first = starts[number] ?? 0;
      const stop = Math.min(end, starts[number + 1] ?? end);
      const chunk = chunks[number];
      if (chunk !== undefined && chunk.maxModseq > since) {
        for (let index = at; index < stop; index += 1)
          if ((chunk.modseqs[index - first] ?? 0) > since) appendRange(changed, index, index + 1);
      }
      at = stop;
      yield;
    }
  }
  return changed;
}
