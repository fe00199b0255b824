/**
 * What was read before a step up to stage `store`. There Dovecot keeps `\Seen` in the user's home (`INDEXPVT`), since the sidecar is
 * read-only, and that record begins empty: imapc's own flags say nothing about `\Seen` any more. What the sidecar knows as read (`import`
 * took it from Dovecot's mailboxes) is written into it here, by Dovecot's own command: first a search without the private record, so
 * that the sidecar's flags decide, then `flags add` with it.
 *
 * Only adds: what a user marked as read in an earlier time in `store` stays so. May run while the user reads, and again.
 * Source: doveadm(1), doveadm-flags(1) (-u user/mask); Dovecot src/lib-storage/index/index-sync-pvt.c (flags of a shared index are copied for namespaces
 * of type public alone).
 */
import { MairustError } from "../core/errors.ts";
import { inboxNamespace } from "./dovecot-conf.ts";
import { type DovecotFacts, dovecotArgs } from "./dovecot-read.ts";
import { runCommand } from "./run-command.ts";

/** Characters of the messages of one command: far below what a command line may have. */
const MAX_SET_CHARS = 8_000;

/** `first:last`, or one number. */
type Range = readonly [first: number, last: number];

export interface SeenIn {
  /** Dovecot's name of the mailbox, in hex. */
  readonly mailbox: string;
  /** Of an IMAP sequence set, each short enough for a command. */
  readonly uidSets: readonly string[];
  readonly messages: number;
}

/** `doveadm -u` takes a name with these for every user that it matches, and nothing makes it take them as they are. */
const MASK = /[*?]/u;

/**
 * @returns how many messages are marked as read
 * @throws {MairustError} `invalid_argument`: Dovecot would take the name for many; `invalid_state`: a command failed; `deadline`
 */
export async function markSeen(facts: DovecotFacts, account: string): Promise<number> {
  if (MASK.test(account)) {
    const text = `Dovecot takes "${account}" for the name of many accounts`;
    throw new MairustError("invalid_argument", `Cannot mark mail as read: ${text}`, { publicText: text });
  }
  const inbox = inboxNamespace(facts.settings)?.title ?? "inbox";
  // Fields of the account's file are for its logins alone: `doveadm` sees Dovecot's own mail.
  const set = (key: string) => ["-o", `namespace/${key}`];
  const ours = [...set(`${inbox}/disabled=yes`), ...set("mairust_inbox/disabled=no")];
  const doveadm = (...args: readonly string[]) =>
    runCommand("doveadm", [...dovecotArgs(facts.namedFile), ...ours, ...args]);
  const upstream = set("mairust_inbox/location=imapc:~/mairust");
  const seen = seenOf(await doveadm(...upstream, "search", "-u", account, "seen"));
  for (const { mailbox, uidSets } of seen)
    for (const uids of uidSets)
      await doveadm("flags", "add", "-u", account, "\\Seen", "mailbox-guid", mailbox, "uid", uids);
  return seen.reduce((sum, { messages }) => sum + messages, 0);
}

/** @param output  of `doveadm search`: a mailbox and a UID on each line */
export function seenOf(output: string): readonly SeenIn[] {
  const uids = new Map<string, number[]>();
  for (const line of output.split("\n")) {
    const [, mailbox, uid] = /^([0-9a-f]{32}) (\d{1,10})$/u.exec(line.trim()) ?? [];
    if (mailbox === undefined) continue;
    const known = uids.get(mailbox);
    if (known === undefined) uids.set(mailbox, [Number(uid)]);
    else known.push(Number(uid));
  }
  return [...uids].map(([mailbox, all]) => ({
    mailbox,
    uidSets: setsOf(rangesOf(all)),
    messages: all.length,
  }));
}

function rangesOf(uids: readonly number[]): readonly Range[] {
  const ranges: [number, number][] = [];
  for (const uid of [...uids].sort((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last !== undefined && uid <= last[1] + 1) last[1] = uid;
    else ranges.push([uid, uid]);
  }
  return ranges;
}

function setsOf(ranges: readonly Range[]): readonly string[] {
  const sets: string[] = [];
  for (const [first, last] of ranges) {
    const text = first === last ? String(first) : `${first}:${last}`;
    const current = sets.at(-1);
    if (current === undefined || current.length + 1 + text.length > MAX_SET_CHARS) sets.push(text);
    else sets[sets.length - 1] = `${current},${text}`;
  }
  return sets;
}
