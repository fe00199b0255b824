/**
 * What a user has read in stage `store`, on the way down from it: beside a sidecar that is read-only it lies in Dovecot's private record
 * in the user's home, and the sidecar knows nothing of it. (Where the sidecar keeps flags, it knows.) Found by Dovecot's own search,
 * once with that record and once without it. The command tells the service, and from there it goes to Dovecot's own mailboxes as every
 * flag does.
 *
 * Only what is read: what was read before and set to unread in `store` stays read there.
 */
import type { ReadThere } from "../wire/site-calls.ts";
import type { DovecotFacts } from "./dovecot-read.ts";
import { type SeenIn, type SeenPiece, searchIn, searchSeen, seenPieces } from "./seen-search.ts";
import { keepsSeen, mailboxesOf, SIDECAR_FLAGS, type StoreView, storeView } from "./store-view.ts";

/** @throws {MairustError} as `markSeen` */
export async function* readThere(facts: DovecotFacts, account: string): AsyncGenerator<ReadThere> {
  const view = storeView(facts, account);
  if (!keepsSeen(facts)) return;
  for (const piece of seenPieces(await mailboxesOf(view), new Map())) yield* newlyRead(view, piece);
}

async function* newlyRead(view: StoreView, piece: SeenPiece): AsyncGenerator<ReadThere> {
  const known = new Map<string, Set<number>>();
  for await (const found of searchSeen(piece, searchIn(view, SIDECAR_FLAGS)))
    for (const { mailbox, uids } of found)
      known.set(mailbox.guid, new Set([...(known.get(mailbox.guid) ?? []), ...uids]));
  for await (const found of searchSeen(piece, searchIn(view, [])))
    for (const one of found) {
      const read = without(one, known.get(one.mailbox.guid));
      if (read.uids.length > 0) yield read;
    }
}

function without({ mailbox, uids }: SeenIn, known: ReadonlySet<number> | undefined): ReadThere {
  const { name, uidValidity } = mailbox;
  return { mailbox: name, uid_validity: uidValidity, uids: uids.filter(uid => known?.has(uid) !== true) };
}
