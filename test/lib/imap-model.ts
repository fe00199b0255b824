/**
 * A mailbox and one session's view of it, as simple as RFC 3501 tells them: the truth is a list of messages, the view a list of UIDs
 * that untagged answers change. What a server answers is checked against both.
 */
import assert from "node:assert/strict";

export interface ModelMessage {
  readonly uid: number;
  readonly subject: string;
  readonly body: string;
  readonly sizeBytes: number;
  /** In any order; every set of flags it ever had, the last one is its own. */
  readonly flags: Array<ReadonlySet<string>>;
  isGone: boolean;
}

/** What is stored; tests change it as they change the store. */
export class ModelMailbox {
  readonly messages: ModelMessage[] = [];

  get alive(): readonly ModelMessage[] {
    return this.messages.filter(({ isGone }) => !isGone);
  }

  of(uid: number): ModelMessage {
    const found = this.messages.find(message => message.uid === uid);
    assert.ok(found, `no message ever had UID ${uid}`);
    return found;
  }
}

export const flagsOf = (message: ModelMessage): ReadonlySet<string> => message.flags.at(-1) ?? new Set();

/** @param text  as in `FLAGS (…)` */
export function flagsIn(text: string): ReadonlySet<string> {
  return new Set(text.split(" ").filter(flag => flag !== ""));
}

export const sameFlags = (a: ReadonlySet<string>, b: ReadonlySet<string>): boolean =>
  a.size === b.size && [...a].every(flag => b.has(flag));

/** What one session was told: sequence numbers are places in `uids`. */
export class ModelView {
  readonly uids: number[];
  readonly #mailbox: ModelMailbox;

  constructor(mailbox: ModelMailbox) {
    this.#mailbox = mailbox;
    this.uids = mailbox.alive.map(({ uid }) => uid);
  }

  /** The message with this sequence number. */
  at(number: number): ModelMessage {
    const uid = this.uids[number - 1];
    assert.ok(uid !== undefined, `there is no message ${number}`);
    return this.#mailbox.of(uid);
  }

  /**
   * Take in what was told besides the answer. What comes must be true: numbers mean messages that went, flags are some that the message
   * has had. @param mayExpunge  RFC 3501 §7.4.1: not while numbers are in use @returns whether the line was news
   */
  tell(line: string, mayExpunge: boolean): boolean {
    const [, number, what] = /^\* (\d+) (EXPUNGE|EXISTS|RECENT)$/u.exec(line) ?? [];
    if (what === "EXPUNGE") this.#expunged(Number(number), mayExpunge);
    else if (what === "EXISTS") this.#exists(Number(number));
    else if (what === undefined && !/^\* (?:FLAGS \(|OK \[HIGHESTMODSEQ )/u.test(line)) return false;
    return true;
  }

  /** After a command that tells all news: nothing is left to tell. */
  assertNew(): void {
    assert.deepEqual(
      this.uids,
      this.#mailbox.alive.map(({ uid }) => uid),
      "the view after all news",
    );
  }

  #expunged(number: number, mayExpunge: boolean): void {
    assert.ok(mayExpunge, "EXPUNGE while numbers are in use");
    assert.ok(this.at(number).isGone, `message ${number} is told to be gone`);
    this.uids.splice(number - 1, 1);
  }

  /** New messages are those above all that were told, in order; what came and went unseen is not among them. */
  #exists(count: number): void {
    const last = this.uids.at(-1) ?? 0;
    const fresh = this.#mailbox.alive.map(({ uid }) => uid).filter(uid => uid > last);
    const more = count - this.uids.length;
    assert.ok(more > 0 && more <= fresh.length, `${count} EXISTS, ${this.uids.length} were told`);
    this.uids.push(...fresh.slice(0, more));
  }
}
