/**
 * SORT and UID SORT: what `search-run.ts` finds, in the order that the store makes. Source: RFC 5256 §3 (SORT), RFC 7162 §3.1.6.
 */
import { setImmediate } from "node:timers/promises";
import { indexOfUid, SnapshotCursor } from "../../core/mailbox-snapshot.ts";
import type { MessageOrder } from "../../core/ports/message-order.ts";
import type { InMailbox } from "./context.ts";
import type { SortCommand } from "./parse-sort.ts";
import { type Completion, completionOf, no, ok } from "./reply.ts";
import { highestModseq } from "./search-extended.ts";
import { charsetRefusal, type Matches, runSearch } from "./search-run.ts";
import { whileThere } from "./while-there.ts";

/** Numbers written before others have their turn. */
const WRITTEN_PER_SLICE = 8192;

export const NO_ORDER = no("Sorting and threading are not there", "CANNOT");

/** @param nowMs  milliseconds since 1970 */
export async function sort(context: InMailbox, command: SortCommand, nowMs: number): Promise<Completion> {
  const { order } = context;
  if (order === undefined) return NO_ORDER;
  const refusal = charsetRefusal(command.request);
  if (refusal !== undefined) return refusal;
  const matches = await runSearch(context, command.request, nowMs);
  await writeOrder(context, order, command, matches);
  return matches.failure === undefined ? ok("SORT completed") : completionOf(matches.failure);
}

async function writeOrder(
  { output, selected, gone }: InMailbox,
  order: MessageOrder,
  { by, uid }: SortCommand,
  { indexes, asksModseq }: Matches,
): Promise<void> {
  const { view } = selected;
  const messages = new SnapshotCursor(view);
  const uids = indexes.map(index => messages.uid(index));
  const sorted = await whileThere(gone, () => order.sort(view, uids, by, gone));
  output.text("* SORT");
  for (const [i, each] of sorted.entries()) {
    output.text(` ${uid ? each : indexOfUid(view, each) + 1}`);
    const waiting = output.pressure();
    if (waiting !== undefined) await waiting;
    else if (i % WRITTEN_PER_SLICE === WRITTEN_PER_SLICE - 1) await setImmediate();
  }
  // RFC 7162 §3.1.6
  if (asksModseq && sorted.length > 0) output.text(` (MODSEQ ${await highestModseq(view, indexes)})`);
  output.text("\r\n");
}
