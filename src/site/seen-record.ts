/**
 * How far an account's mail was marked as read already, so that the same command does not mark again what its user has set to unread since.
 * It lies beside the record of `\Seen` that it speaks of, in the user's home: as metadata of INBOX in a file of our own, written by
 * Dovecot's command as that user. Whoever removes the one removes the other.
 *
 * Source: doveadm-mailbox(1) (metadata); Dovecot src/lib-storage/index/index-attribute.c (mail_attribute_dict).
 */
import { type Known, markOf } from "./seen-search.ts";
import type { StoreView, ViewMailbox } from "./store-view.ts";

/** Of the user alone (RFC 5464 §3.2.1.2); the name of who keeps it comes second. */
const KEY = "/private/vendor/vendor.mairust/seen-marked";
const FILE = ["-o", "mail_attribute_dict=file:~/mairust-private/mairust-marked"] as const;
/** Below what one word of a command line may have: room for about 2000 mailboxes. What finds none is marked again. */
const MAX_RECORD_CHARS = 100_000;

/** @returns empty: it never was, or longer ago than this record is kept. @throws {MairustError} as {@link StoreView} */
export async function readMarked(view: StoreView): Promise<Known> {
  return markedOf(await view(["mailbox", "metadata", "get"], ["INBOX", KEY], FILE));
}

/** @throws {MairustError} as {@link StoreView} */
export async function writeMarked(view: StoreView, mailboxes: readonly ViewMailbox[]): Promise<void> {
  await view(["mailbox", "metadata", "set"], ["INBOX", KEY, markedText(mailboxes)], FILE);
}

export function markedOf(text: string): Known {
  const found = text.matchAll(/\b([0-9a-f]{32}\/\d{1,10})\/(\d{1,10})\b/gu);
  return new Map([...found].map(([, mark = "", last]) => [mark, Number(last)]));
}

/** The largest mailboxes first. */
export function markedText(mailboxes: readonly ViewMailbox[]): string {
  const words = [...mailboxes]
    .filter(({ messages }) => messages > 0)
    .sort((a, b) => b.messages - a.messages)
    .map(mailbox => `${markOf(mailbox)}/${mailbox.lastUid}`);
  const all = words.join(" ");
  return all.length <= MAX_RECORD_CHARS ? all : all.slice(0, all.lastIndexOf(" ", MAX_RECORD_CHARS));
}
