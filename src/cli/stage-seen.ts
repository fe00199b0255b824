/**
 * The end of a step up to `store`: what was read in Dovecot's own mailboxes shows as read in the sidecar's (`site/seen.ts`). It keeps
 * nobody from the step: what fails is told, and the same command does it again.
 *
 * Marking comes after the stage has turned, so that a step that is refused marks nothing, and the same command marks nothing anew that
 * users have set to unread meanwhile. What was marked in an earlier time in `store` is forgotten before the stage turns, and when it is
 * left.
 */
import type { SeenMarker } from "../wire/site-calls.ts";
import { eachOf } from "./stage-carry.ts";
import { printable } from "./text.ts";

/** Accounts that are named one by one. */
const SHOWN_ACCOUNTS = 20;

/** Never rejects: those of whom nothing can be forgotten have nothing marked either, which is told then. */
export async function forgetAccountsSeen(marker: SeenMarker, accounts: readonly string[]): Promise<void> {
  await eachOf(accounts, account => marker.forget(account).catch(() => undefined));
}

/** @param say  takes lines for people */
export async function markAccountsSeen(
  marker: SeenMarker,
  accounts: readonly string[],
  say: (text: string) => void,
): Promise<void> {
  const marked = await eachOf(accounts, async account => {
    try {
      return { messages: await marker.mark(account), problem: undefined };
    } catch (error) {
      return {
        messages: 0,
        problem: `${account}: ${error instanceof Error ? error.message : String(error)}`,
      };
    }
  });
  const problems = marked.flatMap(({ problem }) => (problem === undefined ? [] : [problem]));
  const messages = marked.reduce((sum, one) => sum + one.messages, 0);
  const done = accounts.length - problems.length;
  say(`${messages} messages of ${done} accounts are marked as read in Dovecot, as they are here\n`);
  if (problems.length === 0) return;
  say(`${problems.length} accounts are not; their mail shows as unread, run the same command again:\n`);
  for (const problem of problems.slice(0, SHOWN_ACCOUNTS)) say(`  ${printable(problem)}\n`);
}
