/**
 * The messages that FETCH and STORE name, by number or by UID, as the session knows them. Source: RFC 3501 §6.4.8, §9; RFC 5182 §2.1.
 */
import type { Steps } from "../../core/steps.ts";
import type { Lexer } from "./lexer.ts";
import {
  indexesOfNumbers,
  indexesOfSaved,
  indexesOfUids,
  isSaved,
  type SequenceSet,
} from "./sequence-set.ts";
import type { Selected } from "./view.ts";

export type NumberSet = SequenceSet;

/** @throws {ImapSyntaxError} */
export function parseNumberSet(lexer: Lexer): Steps<NumberSet> {
  return lexer.sequenceSet();
}

/**
 * @param uid  the set holds UIDs, not sequence numbers
 * @returns index ranges `start, end` (half-open) of the view
 * @throws {ImapSyntaxError} a sequence number beyond the last message
 */
export function indexesInSteps(
  set: NumberSet,
  uid: boolean,
  { view, saved }: Selected,
): Steps<readonly number[]> {
  if (isSaved(set)) return indexesOfSaved(saved, view);
  return uid ? indexesOfUids(set, view) : indexesOfNumbers(set, view.count);
}
