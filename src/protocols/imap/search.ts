/**
 * SEARCH and UID SEARCH: what `search-run.ts` finds, as one line or as an extended answer (`search-extended.ts`), and what is kept of
 * it for `$`. Source: RFC 3501 §6.4.4, §7.2.5; RFC 5182 §2.1; RFC 7162 §3.1.5; RFC 9051 §6.4.4.
 */
import { SnapshotCursor } from "../../core/mailbox-snapshot.ts";
import type { InMailbox } from "./context.ts";
import type { SearchCommand } from "./parse-search.ts";
import { RETURN_ALL, type SearchReturn } from "./parse-search-return.ts";
import { bad, type Completion, completionOf, no, ok } from "./reply.ts";
import { chosen, highestModseq, writeExtended } from "./search-extended.ts";
import { charsetRefusal, type Matches, runSearch } from "./search-run.ts";

/** @param nowMs  milliseconds since 1970 */
export async function search(context: InMailbox, command: SearchCommand, nowMs: number): Promise<Completion> {
  const { profile, enabled, selected } = context;
  // Dovecot is not told of ESEARCH, for the reason that `capability.ts` has.
  if (command.returns !== undefined && profile.kind !== "client") return bad("RETURN is not supported here");
  const returns = command.returns ?? (enabled.rev2 ? RETURN_ALL : undefined);
  const result = await answer(context, command, returns, nowMs).catch((error: unknown) => {
    if (returns?.save === true) delete selected.saved;
    throw error;
  });
  if (returns?.save === true) {
    // RFC 5182 §2.1: of a search that failed nothing is kept. Its own keys may still have asked for what was kept before.
    if (result.kept === undefined) delete selected.saved;
    else selected.saved = result.kept;
  }
  return result.completion;
}

interface Answer {
  readonly completion: Completion;
  /** UIDs to save, when that is wanted and nothing failed. */
  readonly kept?: Uint32Array;
}

async function answer(
  context: InMailbox,
  command: SearchCommand,
  returns: SearchReturn | undefined,
  nowMs: number,
): Promise<Answer> {
  const refusal = charsetRefusal(command.request);
  if (refusal !== undefined) return { completion: refusal };
  const matches = await runSearch(context, command.request, nowMs);
  const failed = matches.failure === undefined ? undefined : completionOf(matches.failure);
  const completion = failed ?? ok("SEARCH completed");
  if (returns === undefined) {
    await writeHits(context, matches, command.uid);
    return { completion };
  }
  const toKeep = returns.save ? chosen(matches.indexes, returns) : new Uint32Array(0);
  if (toKeep.length > context.limits.savedMessages) {
    return { completion: no("Too many messages to save", "NOTSAVED") };
  }
  await writeExtended(context, command, returns, matches);
  if (failed !== undefined) return { completion };
  const messages = new SnapshotCursor(context.selected.view);
  return { completion, kept: toKeep.map(index => messages.uid(index)) };
}

async function writeHits(context: InMailbox, { indexes, asksModseq }: Matches, uid: boolean): Promise<void> {
  const { output, selected } = context;
  const messages = new SnapshotCursor(selected.view);
  output.text("* SEARCH");
  for (const index of indexes) {
    output.text(` ${uid ? messages.uid(index) : index + 1}`);
    const waiting = output.pressure();
    if (waiting !== undefined) await waiting;
  }
  if (asksModseq && indexes.length > 0)
    output.text(` (MODSEQ ${await highestModseq(selected.view, indexes)})`);
  output.text("\r\n");
}
