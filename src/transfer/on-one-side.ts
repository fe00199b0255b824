/**
 * Mail that `verify` finds on one side only, over several looks at a mailbox that mail comes into: what is on its way, or came after one
 * side was read, is on both sides a moment later or was on both sides before. What differs is what every look finds. Pure.
 */
import type { ImapMessage, OpenedImapMailbox } from "./imap-side.ts";

/** UIDs of messages without one on the other side. */
export interface OneSided {
  readonly here: readonly number[];
  readonly there: readonly number[];
}

export interface Look {
  readonly here: OpenedImapMailbox;
  readonly there: OpenedImapMailbox;
  readonly oneSided: OneSided;
}

/** @returns the last look without the messages that are on one side only, and were not in each look before */
export function withoutComing(looks: readonly Look[]): Pick<Look, "here" | "there"> | undefined {
  const last = looks.at(-1);
  if (last === undefined) return undefined;
  const stay = (side: "here" | "there"): OpenedImapMailbox => {
    const counts = looks.slice(0, -1).map(look => countOf(oneSided(look, side)));
    const left = new Map<string, number>();
    for (const digest of counts[0]?.keys() ?? [])
      left.set(digest, Math.min(...counts.map(count => count.get(digest) ?? 0)));
    const coming = new Set<ImapMessage>();
    for (const message of oneSided(last, side)) {
      const count = left.get(message.digest) ?? 0;
      if (count === 0) coming.add(message);
      else left.set(message.digest, count - 1);
    }
    const { uidValidity, messages } = last[side];
    return { uidValidity, messages: messages.filter(message => !coming.has(message)) };
  };
  return looks.length === 1 ? last : { here: stay("here"), there: stay("there") };
}

/** Whether something that one look found on one side only is there in each. */
export function isAnyLeft(looks: readonly Look[]): boolean {
  const [first] = looks;
  if (first === undefined) return false;
  return (["here", "there"] as const).some(side => {
    const [counts = new Map<string, number>(), ...others] = looks.map(look => countOf(oneSided(look, side)));
    return [...counts.keys()].some(digest => others.every(other => other.has(digest)));
  });
}

function oneSided(look: Look, side: "here" | "there"): readonly ImapMessage[] {
  const uids = new Set(look.oneSided[side]);
  return look[side].messages.filter(message => uids.has(message.uid));
}

function countOf(messages: readonly ImapMessage[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { digest } of messages) counts.set(digest, (counts.get(digest) ?? 0) + 1);
  return counts;
}
