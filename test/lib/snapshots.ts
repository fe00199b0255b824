/** Snapshots of mailboxes for tests, made as the store makes them. */
import { FlagTable } from "../../src/core/flag-table.ts";
import { mailboxId } from "../../src/core/ids.ts";
import { applyDelta, emptySnapshot } from "../../src/core/mailbox-delta.ts";
import { type MailboxSnapshot, SnapshotCursor, uidsBetween } from "../../src/core/mailbox-snapshot.ts";
import type { FlagSet } from "../../src/core/ports/store.ts";

export const IDENTITY = { mailboxId: mailboxId(1), uidValidity: 1 };

export interface TestMessage {
  readonly uid: number;
  readonly modseq?: number;
  readonly flags?: FlagSet;
}

/** One line of a {@link MailboxDelta}. */
export function deltaLine({ uid, modseq = 1, flags = { system: 0, keywords: [] } }: TestMessage): string {
  return [uid, modseq, flags.system, ...flags.keywords].join(" ");
}

/** @param messages  by rising UID */
export function snapshotOf(messages: readonly TestMessage[], table = new FlagTable()): MailboxSnapshot {
  const delta = {
    uidNext: (messages.at(-1)?.uid ?? 0) + 1,
    highestModseq: messages.reduce((max, { modseq = 1 }) => Math.max(max, modseq), 1),
    lines: [messages.map(deltaLine).join("\n")],
    expunged: [],
  };
  return applyDelta(emptySnapshot(IDENTITY, table), delta, table);
}

export function uidsOf(snapshot: MailboxSnapshot): number[] {
  return [...uidsBetween(snapshot, 0, snapshot.count)];
}

/** What is known of each message. */
export function messagesOf(snapshot: MailboxSnapshot): Required<TestMessage>[] {
  const messages = new SnapshotCursor(snapshot);
  return Array.from({ length: snapshot.count }, (_, i) => ({
    uid: messages.uid(i),
    modseq: messages.modseq(i),
    flags: messages.flagSet(i),
  }));
}
