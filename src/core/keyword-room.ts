/**
 * How many different keywords, and lists of them, the messages of one mailbox may have when users choose them (IMAP STORE). Every
 * reader of the mailbox holds each list in memory and is told each keyword, so a client must not be able to make as many as there are
 * messages. What no message has any more does not count. Pure.
 */
import { sameKeywords } from "./flag-change.ts";
import type { FlagSets } from "./flag-table.ts";
import type { MailboxSnapshot } from "./mailbox-snapshot.ts";
import type { FlagSet } from "./ports/store.ts";
import type { Steps } from "./steps.ts";

/** Different keywords of one mailbox. */
export const MAX_MAILBOX_KEYWORDS = 1000;
/** Octets of the different lists of one mailbox, about: some thousands of usual ones. */
export const MAX_KEYWORD_LISTS_OCTETS = 2_097_152;
/** What a list takes beside its text: `flag-table.ts`. */
const LIST_OCTETS = 150;
const KEYWORD_OCTETS = 32;

/** Limits of {@link KeywordRoom}, for tests. */
export interface KeywordLimits {
  readonly keywords: number;
  readonly listsOctets: number;
}

const LIMITS: KeywordLimits = { keywords: MAX_MAILBOX_KEYWORDS, listsOctets: MAX_KEYWORD_LISTS_OCTETS };

/** What one command may still add to a mailbox. */
export class KeywordRoom {
  readonly #limits: KeywordLimits;
  readonly #lists = new Set<string>();
  readonly #keywords = new Set<string>();
  #octets = 0;

  private constructor(limits: KeywordLimits) {
    this.#limits = limits;
  }

  /** Dead sets are left out only where that decides: finding them takes a look at each message. A step looks at one chunk. */
  static *of(state: MailboxSnapshot, limits = LIMITS): Steps<KeywordRoom> {
    const all = KeywordRoom.#ofSets(state.flags, limits, () => true);
    if (all.#hasRoom) return all;
    const used = new Uint8Array(state.flags.sets.length);
    for (const { flagIds } of state.chunks) {
      for (const id of flagIds) used[id] = 1;
      yield;
    }
    return KeywordRoom.#ofSets(state.flags, limits, id => used[id] === 1);
  }

  static #ofSets({ sets }: FlagSets, limits: KeywordLimits, counts: (id: number) => boolean): KeywordRoom {
    const room = new KeywordRoom(limits);
    for (const [id, set] of sets.entries()) if (counts(id)) room.#add(set);
    return room;
  }

  /** Half of it is free. */
  get #hasRoom(): boolean {
    const { keywords, listsOctets } = this.#limits;
    return this.#keywords.size * 2 <= keywords && this.#octets * 2 <= listsOctets;
  }

  /** @returns false: the mailbox would have too many. Flags without keywords, and those that did not change, always fit */
  takes(before: FlagSet, after: FlagSet): boolean {
    if (after.keywords.length === 0 || sameKeywords(before.keywords, after.keywords)) return true;
    if (this.#lists.has(keyOf(after))) return true;
    this.#add(after);
    const { keywords, listsOctets } = this.#limits;
    return this.#keywords.size <= keywords && this.#octets <= listsOctets;
  }

  #add(set: FlagSet): void {
    const key = keyOf(set);
    if (set.keywords.length === 0 || this.#lists.has(key)) return;
    this.#lists.add(key);
    this.#octets += LIST_OCTETS + 4 * key.length + KEYWORD_OCTETS * set.keywords.length;
    for (const keyword of set.keywords) this.#keywords.add(keyword);
  }
}

const keyOf = ({ keywords }: FlagSet): string => keywords.join(" ");
