/**
 * SEARCH and UID SEARCH: what `search-run.ts` finds, as one line. Source: RFC 3501 §6.4.4, §7.2.5.
 */
import { SnapshotCursor } from "../../core/mailbox-snapshot.ts";
import type { InMailbox } from "./context.ts";
import type { SearchCommand } from "./parse-search.ts";
import { type Completion, completionOf, ok } from "./reply.ts";
import { charsetRefusal, runSearch } from "./search-run.ts";

/** @param nowMs  milliseconds since 1970 */
export async function search(context: InMailbox, command: SearchCommand, nowMs: number): Promise<Completion> {
  const refusal = charsetRefusal(command.request);
  if (refusal !== undefined) return refusal;
  const { indexes, failure } = await runSearch(context, command.request, nowMs);
  await writeHits(context, indexes, command.uid);
  return failure === undefined ? ok("SEARCH completed") : completionOf(failure);
}

async function writeHits(context: InMailbox, hits: Uint32Array, uid: boolean): Promise<void> {
  const { output, selected } = context;
  const messages = new SnapshotCursor(selected.view);
  output.text("* SEARCH");
  for (const index of hits) {
    output.text(` ${uid ? messages.uid(index) : index + 1}`);
    const waiting = output.pressure();
    if (waiting !== undefined) await waiting;
  }
  output.text("\r\n");
}
