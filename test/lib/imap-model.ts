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
  /** UIDs that were there after each change, the first one empty: what a session knows is one of them. */
  readonly #states: (readonly number[])[] = [[]];

  get alive(): readonly ModelMessage[] {
    return this.messages.filter(({ isGone }) => !isGone);
  }

  get uids(): readonly number[] {
    return this.#states.at(-1) ?? [];
  }

  of(uid: number): ModelMessage {
    const found = this.messages.find(message => message.uid === uid);
    assert.ok(found, `no message ever had UID ${uid}`);
    return found;
  }

  /** Call after each change of `messages`. */
  changed(): void {
    this.#states.push(this.alive.map(({ uid }) => uid));
  }

  wasEver(uids: readonly number[]): boolean {
    return this.#states.some(state => state.join() === uids.join());
  }
}

export const flagsOf = (message: ModelMessage): ReadonlySet<string> => message.flags.at(-1) ?? new Set();

/** @param text  as in `FLAGS (…)` */
export function flagsIn(text: string): ReadonlySet<string> {
  return new Set(text.split(" ").filter(flag => flag !== ""));
}

export const sameFlags = (a: ReadonlySet<string>, b: ReadonlySet<string>): boolean =>
  a.size === b.size && [...a].every(flag => b.has(flag));

/** What one session was told: sequence numbers are places in a list of UIDs, some of which it does not know yet. */
export class ModelView {
  readonly #mailbox: ModelMailbox;
  readonly #uids: (number | undefined)[];
  /** By UID, as they were last told. */
  readonly flags = new Map<number, ReadonlySet<string>>();

  constructor(mailbox: ModelMailbox) {
    this.#mailbox = mailbox;
    this.#uids = [...mailbox.uids];
  }

  get count(): number {
    return this.#uids.length;
  }

  get knowsAll(): boolean {
    return !this.#uids.includes(undefined);
  }

  /** Once all of them are known. */
  get uids(): readonly number[] {
    return this.#uids.filter(uid => uid !== undefined);
  }

  /**
   * Take in one line of an answer: numbers mean messages that went, and a number means one UID.
   * @param mayExpunge  RFC 3501 §7.4.1: not while numbers are in use
   * @returns the message that the line tells of; undefined: it was news of another kind
   */
  tell(line: string, mayExpunge: boolean): ModelMessage | undefined {
    const [, number, what] = /^\* (\d+) (EXPUNGE|EXISTS|RECENT)$/u.exec(line) ?? [];
    const [, at, uid] = /^\* (\d+) FETCH \((?:.* )?UID (\d+)/u.exec(line) ?? [];
    if (what === "EXPUNGE") this.#expunged(Number(number), mayExpunge);
    else if (what === "EXISTS") this.#exists(Number(number));
    else if (at !== undefined) return this.#fetched(Number(at), Number(uid));
    else if (what === undefined) assert.match(line, /^\* (?:FLAGS \(|OK \[HIGHESTMODSEQ )/u);
    return undefined;
  }

  /** What the session knows was true at some time. */
  assertTrue(): void {
    assert.ok(this.#mailbox.wasEver(this.uids), `the view was never true: ${this.uids.join()}`);
  }

  /** After a command that tells all news: nothing is left to tell. */
  assertNew(): void {
    assert.deepEqual(this.uids, this.#mailbox.uids, "the view after all news");
  }

  #expunged(number: number, mayExpunge: boolean): void {
    assert.ok(mayExpunge, "EXPUNGE while numbers are in use");
    assert.ok(number >= 1 && number <= this.count, `there is no message ${number}`);
    const [uid] = this.#uids.splice(number - 1, 1);
    if (uid !== undefined) assert.ok(this.#mailbox.of(uid).isGone, `message ${number} is told to be gone`);
  }

  #exists(count: number): void {
    assert.ok(count > this.count, `${count} EXISTS, ${this.count} were told`);
    while (this.count < count) this.#uids.push(undefined);
  }

  #fetched(number: number, uid: number): ModelMessage {
    assert.ok(number >= 1 && number <= this.count, `there is no message ${number}`);
    const known = this.#uids[number - 1] ?? uid;
    assert.equal(uid, known, `UID of message ${number}`);
    this.#uids[number - 1] = uid;
    return this.#mailbox.of(uid);
  }
}
