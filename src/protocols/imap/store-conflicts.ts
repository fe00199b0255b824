/** The set behind MODIFIED: messages that a conditional STORE left as they are. Pure. Source: RFC 7162 §3.1.3. */
import { indexOfUid, type MailboxSnapshot, uidAt } from "../../core/mailbox-snapshot.ts";
import { appendRange } from "./sequence-set.ts";

export class ConflictSet {
  readonly #uid: boolean;
  readonly #indexes: number[] = [];
  #view: MailboxSnapshot | undefined;

  /** @param uid  it is told in UIDs, not in sequence numbers */
  constructor(uid: boolean) {
    this.#uid = uid;
  }

  get empty(): boolean {
    return this.#indexes.length === 0;
  }

  /** @param uids  ascending, above those of calls before; `view` has the same messages each time */
  add(view: MailboxSnapshot, uids: readonly number[]): void {
    this.#view = view;
    for (const uid of uids) {
      const index = indexOfUid(view, uid);
      appendRange(this.#indexes, index, index + 1);
    }
  }

  /** A range of UIDs may have some in it that no message has: neighbours in the mailbox are one range. */
  text(): string {
    const view = this.#view;
    const shown = (index: number) => (this.#uid && view !== undefined ? uidAt(view, index) : index + 1);
    const ranges: string[] = [];
    for (let i = 0; i < this.#indexes.length; i += 2) {
      const [first, last] = [this.#indexes[i] ?? 0, (this.#indexes[i + 1] ?? 0) - 1];
      ranges.push(first === last ? String(shown(first)) : `${shown(first)}:${shown(last)}`);
    }
    return ranges.join(",");
  }
}
