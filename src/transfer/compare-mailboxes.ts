/**
 * Two states of one mailbox, message by message. With the same UIDVALIDITY messages belong together by UID, else by their digest:
 * the same bytes twice there must be twice here. Pure.
 */
import type { VerifyDifference, VerifyMailbox } from "../wire/api/transfer.ts";
import type { ImapMessage, OpenedImapMailbox } from "./imap-side.ts";

export interface CompareRules {
  readonly ignoreUids: boolean;
  readonly ignoreDates: boolean;
  /** Sizes differ by what each server put on top. */
  readonly ignoreTrace: boolean;
  /** Only a flag or keyword that lacks here counts. */
  readonly ignoreMarks: boolean;
}

export type OnDifference = (difference: VerifyDifference) => void;

export interface NamedMailbox {
  readonly mailbox: string;
  readonly there: string;
}

export function compareMailboxes(
  names: NamedMailbox,
  here: OpenedImapMailbox,
  there: OpenedImapMailbox,
  rules: CompareRules,
  onDifference: OnDifference,
): VerifyMailbox {
  return new Comparison(names, here, there, rules, onDifference).result();
}

class Comparison {
  readonly #names: NamedMailbox;
  readonly #here: OpenedImapMailbox;
  readonly #there: OpenedImapMailbox;
  readonly #rules: CompareRules;
  readonly #onDifference: OnDifference;
  readonly #counts = {
    same: 0,
    missing: 0,
    extra: 0,
    bytes_differ: 0,
    flags_differ: 0,
    dates_differ: 0,
    uids_differ: 0,
  };

  constructor(
    names: NamedMailbox,
    here: OpenedImapMailbox,
    there: OpenedImapMailbox,
    rules: CompareRules,
    onDifference: OnDifference,
  ) {
    this.#names = names;
    this.#here = here;
    this.#there = there;
    this.#rules = rules;
    this.#onDifference = onDifference;
  }

  result(): VerifyMailbox {
    const sameValidity = this.#here.uidValidity === this.#there.uidValidity;
    const byUid = sameValidity && !this.#rules.ignoreUids;
    const differs = !sameValidity && !this.#rules.ignoreUids && this.#there.messages.length > 0;
    if (differs)
      this.#tell(
        "uid_validity",
        null,
        null,
        `${this.#here.uidValidity} here, ${this.#there.uidValidity} there`,
      );
    if (byUid) this.#matchByUid();
    else this.#matchByDigest();
    return {
      ...this.#names,
      messages: this.#here.messages.length,
      messages_there: this.#there.messages.length,
      ...this.#counts,
      uid_validity_differs: differs,
      matched_by: byUid ? "uid" : "digest",
    };
  }

  #matchByUid(): void {
    const here = new Map(this.#here.messages.map(message => [message.uid, message]));
    for (const theirs of this.#there.messages) {
      const ours = here.get(theirs.uid);
      if (ours === undefined) this.#missing(theirs);
      else this.#pair(ours, theirs);
      here.delete(theirs.uid);
    }
    for (const ours of here.values()) this.#extra(ours);
  }

  /** Equal messages in UID order, those with the same date and flags first. */
  #matchByDigest(): void {
    const here = new Map<string, ImapMessage[]>();
    for (const ours of this.#here.messages) here.set(ours.digest, [...(here.get(ours.digest) ?? []), ours]);
    for (const theirs of this.#there.messages) {
      const candidates = here.get(theirs.digest) ?? [];
      const exact = candidates.findIndex(one => one.flags === theirs.flags && one.date === theirs.date);
      const [ours] = candidates.splice(Math.max(exact, 0), 1);
      if (ours === undefined) this.#missing(theirs);
      else this.#pair(ours, theirs);
    }
    for (const ours of [...here.values()].flat()) this.#extra(ours);
  }

  #pair(ours: ImapMessage, theirs: ImapMessage): void {
    const found: (readonly [kind: "bytes" | "flags" | "date", detail: string])[] = [];
    const sizesDiffer = ours.sizeBytes !== theirs.sizeBytes && !this.#rules.ignoreTrace;
    if (ours.digest !== theirs.digest || sizesDiffer)
      found.push([
        "bytes",
        `${ours.sizeBytes} octets ${ours.digest.slice(0, 12)} here, ${theirs.sizeBytes} ${theirs.digest.slice(0, 12)} there`,
      ]);
    if (!this.#sameFlags(ours, theirs))
      found.push(["flags", `"${ours.flags}" here, "${theirs.flags}" there`]);
    if (ours.date !== theirs.date && !this.#rules.ignoreDates)
      found.push(["date", `${dateText(ours)} here, ${dateText(theirs)} there`]);
    if (ours.uid !== theirs.uid) this.#counts.uids_differ += 1;
    if (found.length === 0) this.#counts.same += 1;
    for (const [kind, detail] of found) {
      this.#counts[COUNTED[kind]] += 1;
      this.#tell(kind, ours.uid, theirs.uid, detail);
    }
  }

  #sameFlags(ours: ImapMessage, theirs: ImapMessage): boolean {
    if (!this.#rules.ignoreMarks) return ours.flags === theirs.flags;
    const here = new Set(["", ...ours.flags.split(" ")]);
    return theirs.flags.split(" ").every(flag => here.has(flag));
  }

  #missing(theirs: ImapMessage): void {
    this.#counts.missing += 1;
    this.#tell("missing", null, theirs.uid, `${theirs.sizeBytes} octets, ${dateText(theirs)}`);
  }

  #extra(ours: ImapMessage): void {
    this.#counts.extra += 1;
    this.#tell("extra", ours.uid, null, `${ours.sizeBytes} octets, ${dateText(ours)}`);
  }

  #tell(kind: string, uid: number | null, uidThere: number | null, detail: string): void {
    this.#onDifference({ mailbox: this.#names.mailbox, kind, uid, uid_there: uidThere, detail });
  }
}

const COUNTED = { bytes: "bytes_differ", flags: "flags_differ", date: "dates_differ" } as const;

const dateText = (message: ImapMessage): string => new Date(message.date * 1000).toISOString();
