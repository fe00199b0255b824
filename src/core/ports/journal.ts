/** The journal of what plugins changed in stored copies, and the way back; `store/journal.ts` implements it. */
import type { AccountId } from "../ids.ts";

/** Which changes are to be undone. */
export interface UndoSelection {
  readonly pluginId: string;
  /** Undefined: of all its versions. */
  readonly version: string | undefined;
  readonly hook: string | undefined;
  readonly since: Date | undefined;
  /** Exclusive. */
  readonly until: Date | undefined;
  readonly account: AccountId | undefined;
}

export interface UndoCount {
  readonly changes: number;
  readonly messages: number;
  readonly accounts: number;
}

/** What became of one entry of the journal. */
export type UndoOutcome =
  /** The copy is as it was before, as far as nobody else changed it. */
  | "undone"
  /** There is nothing left to change: the copy is gone, or somebody changed it meanwhile. */
  | "nothing_left";

/** Every method throws {@link MairustError} `store_unavailable`. */
export interface Journal {
  /** Entries that are not undone yet. */
  count(selection: UndoSelection): Promise<UndoCount>;
  /** Their ids, newest first, at most `limit`. @param before  only those below this id; undefined: from the newest */
  next(selection: UndoSelection, before: number | undefined, limit: number): Promise<readonly number[]>;
  /** Undo one, in one commit. @returns undefined: it was undone before, or is not there any more */
  undo(id: number, by: string): Promise<UndoOutcome | undefined>;
}
