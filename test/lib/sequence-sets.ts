/** Sequence sets of the IMAP server, all at once. */
import { atOnce } from "../../src/core/steps.ts";
import { parseSequenceSet, type SequenceSet } from "../../src/protocols/imap/sequence-set.ts";

export function sequenceSet(text: string): SequenceSet {
  return atOnce(parseSequenceSet(Buffer.from(text, "latin1")));
}
