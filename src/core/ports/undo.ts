/** Undoing what plugins changed, as the API offers it; `compose/undo.ts`. */
import type { UndoCount, UndoSelection } from "./journal.ts";

export interface UndoControl {
  count(selection: UndoSelection): Promise<UndoCount>;
  /** Begin, in the background. @returns the job's id */
  start(selection: UndoSelection, by: string): Promise<number>;
}
