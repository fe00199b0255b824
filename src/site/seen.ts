/**
 * What was read before a step up to stage `store`. Where the sidecar keeps flags nothing is to be done. Where it is read-only, Dovecot
 * keeps `\Seen` in the user's home (`INDEXPVT`), and that record begins empty: imapc's own flags say nothing about `\Seen` any more.
 * What the sidecar knows as read (`import` took it from Dovecot's mailboxes) is written into it here, by Dovecot's own command: first a
 * search without the private record, so that the sidecar's flags decide, then `flags add` with it.
 *
 * Only adds: what a user marked as read in an earlier time in `store` stays so. May run while the user reads, and again: what was marked
 * in this time in `store` already is left as the user has it now (`seen-record.ts`).
 * Source: doveadm(1), doveadm-flags(1); Dovecot src/lib-storage/index/index-sync-pvt.c (flags of a shared index are copied for namespaces
 * of type public alone).
 */
import type { DovecotFacts } from "./dovecot-read.ts";
import { readMarked, writeMarked } from "./seen-record.ts";
import { type SeenIn, searchIn, searchSeen, seenPieces, uidSets } from "./seen-search.ts";
import { keepsSeen, mailboxesOf, SIDECAR_FLAGS, type StoreView, storeView } from "./store-view.ts";

/**
 * @returns how many messages are marked as read
 * @throws {MairustError} `invalid_argument`: Dovecot would take the name for many; `invalid_state`: a command failed; `deadline`
 */
export async function markSeen(facts: DovecotFacts, account: string): Promise<number> {
  const view = storeView(facts, account);
  if (!keepsSeen(facts)) return 0;
  const mailboxes = await mailboxesOf(view);
  let messages = 0;
  for (const piece of seenPieces(mailboxes, await readMarked(view)))
    for await (const found of searchSeen(piece, searchIn(view, SIDECAR_FLAGS)))
      for (const one of found) messages += await mark(view, one);
  await writeMarked(view, mailboxes);
  return messages;
}

/** The next {@link markSeen} is about all that is read. @throws as it */
export async function forgetMarked(facts: DovecotFacts, account: string): Promise<void> {
  await writeMarked(storeView(facts, account), []);
}

async function mark(view: StoreView, { mailbox, uids }: SeenIn): Promise<number> {
  for (const set of uidSets(uids))
    await view(["flags", "add"], ["\\Seen", "mailbox-guid", mailbox.guid, "uid", set]);
  return uids.length;
}
