/**
 * `verify`: an account here against the same one on another IMAP server. Both are read by the same client over IMAP, so nothing of what
 * copied the mail has a part in it; only the mapping of folder names is shared. Nothing is changed on either side (EXAMINE). Mail may go on
coming: a mailbox with mail on one side only is read again, and what comes meanwhile is not judged (`on-one-side.ts`).
 */

import { sleep } from "../platform/deadline.ts";
import type { VerifyDifference, VerifyMailbox, VerifyResult } from "../wire/api/transfer.ts";
import type { VerifyOptions } from "../wire/transfer-calls.ts";
import { type CompareRules, compareMailboxes, type NamedMailbox } from "./compare-mailboxes.ts";
import { planFolders } from "./folder-names.ts";
import type { ImapMailbox } from "./imap-login.ts";
import { ImapSide } from "./imap-side.ts";
import { isAnyLeft, type Look, withoutComing } from "./on-one-side.ts";

/** @throws {MairustError} `auth_failed`, `store_unavailable`, `too_many` */
export async function verify(options: VerifyOptions): Promise<VerifyResult> {
  const started = performance.now();
  const here = await ImapSide.connect(options.here);
  try {
    const there = await ImapSide.connect(options.there);
    try {
      const run = new Verification(options, here, there);
      await run.compareAll();
      return run.result((performance.now() - started) / 1000);
    } finally {
      await there.close();
    }
  } finally {
    await here.close();
  }
}

/** Waits before a mailbox is looked at again because some mail was on one side only. */
const LOOK_AGAIN_MS = [200, 500, 1000, 2000];
/** More than these on one side only are no mail that happens to come. */
const MAX_COMING = 200;

interface Pair {
  readonly mailbox: string;
  readonly here: ImapMailbox | undefined;
  readonly there: ImapMailbox | undefined;
}

type Sides = Pick<Look, "here" | "there">;

function lookAt(sides: Sides, names: NamedMailbox, rules: CompareRules): Look {
  const here: number[] = [];
  const there: number[] = [];
  compareMailboxes(names, sides.here, sides.there, rules, ({ kind, uid, uid_there: uidThere }) => {
    if (kind === "extra" && uid !== null) here.push(uid);
    if (kind === "missing" && uidThere !== null) there.push(uidThere);
  });
  return { ...sides, oneSided: { here, there } };
}

const isTooDifferent = ({ oneSided: { here, there } }: Look): boolean =>
  here.length + there.length > MAX_COMING;

class Verification {
  readonly #options: VerifyOptions;
  readonly #here: ImapSide;
  readonly #there: ImapSide;
  readonly #mailboxes: VerifyMailbox[] = [];
  readonly #differences: VerifyDifference[] = [];
  #total = 0;
  #done = 0;
  #bytes = 0;

  constructor(options: VerifyOptions, here: ImapSide, there: ImapSide) {
    this.#options = options;
    this.#here = here;
    this.#there = there;
  }

  async compareAll(): Promise<void> {
    for (const pair of this.#pairs(await this.#here.list(), await this.#there.list()))
      await this.#compare(pair);
  }

  result(seconds: number): VerifyResult {
    return {
      mailboxes: this.#mailboxes,
      differences: this.#differences,
      differences_total: this.#total,
      seconds,
    };
  }

  /** A name that is there on both sides belongs together; others go the way that `import` maps them. */
  #pairs(here: readonly ImapMailbox[], there: readonly ImapMailbox[]): readonly Pair[] {
    const ours = new Map(here.map(box => [box.name, box]));
    const uses = new Map(there.flatMap(box => (box.use === undefined ? [] : [[box.name, box.use] as const])));
    const { maps } = this.#options;
    const names = there.map(box => box.name);
    const mapped = (name: string) => maps.some(({ from }) => name === from || name.startsWith(`${from}/`));
    const plans = planFolders(names, maps, uses);
    const pairs = there.map((box, i): Pair => {
      const target = !mapped(box.name) && ours.has(box.name) ? box.name : (plans[i]?.target ?? box.name);
      return { mailbox: target, here: ours.get(target), there: box };
    });
    const taken = new Set(pairs.map(pair => pair.mailbox));
    const extra = here.filter(box => !taken.has(box.name));
    return [...pairs, ...extra.map(box => ({ mailbox: box.name, here: box, there: undefined }))];
  }

  async #compare({ mailbox, here, there }: Pair): Promise<void> {
    const empty = { uidValidity: 0, messages: [] };
    const ours = here === undefined ? empty : await this.#read(this.#here, here.path, mailbox);
    const theirs = there === undefined ? empty : await this.#read(this.#there, there.path, mailbox);
    // An empty default folder of ours is nothing that somebody would miss.
    if (there === undefined && ours.messages.length === 0) return;
    if (here === undefined) this.#differs(mailbox, "mailbox_missing", `"${there?.name}" is not here`);
    if (there === undefined) this.#differs(mailbox, "mailbox_extra", "it is only here");
    const { ignoreUids, ignoreDates, ignoreTrace = false, ignoreMarks = false } = this.#options;
    const rules = { ignoreUids: ignoreUids || here === undefined, ignoreDates, ignoreTrace, ignoreMarks };
    const names = { mailbox, there: there?.name ?? "" };
    const judged =
      here === undefined || there === undefined
        ? { here: ours, there: theirs }
        : await this.#lookAgain({ here: ours, there: theirs }, names, rules, async () => ({
            here: await this.#read(this.#here, here.path, mailbox),
            there: await this.#read(this.#there, there.path, mailbox),
          }));
    const tell = (difference: VerifyDifference) => this.#add(difference);
    this.#mailboxes.push(compareMailboxes(names, judged.here, judged.there, rules, tell));
  }

  /** Both sides are never read in the same moment: with mail on its way the first look finds some on one side only. */
  async #lookAgain(
    first: Sides,
    names: NamedMailbox,
    rules: CompareRules,
    read: () => Promise<Sides>,
  ): Promise<Sides> {
    const looks = [lookAt(first, names, rules)];
    for (const waitMs of LOOK_AGAIN_MS) {
      const last = looks.at(-1);
      if (last === undefined || isTooDifferent(last) || !isAnyLeft(looks)) break;
      await sleep(waitMs);
      looks.push(lookAt(await read(), names, rules));
    }
    return withoutComing(looks) ?? first;
  }

  #read(side: ImapSide, path: string, mailbox: string) {
    return side.read(path, this.#options.mode, this.#options.ignoreTrace === true, bytes => {
      this.#done += 1;
      this.#bytes += bytes;
      this.#options.onProgress({ mailbox, done: this.#done, total: this.#done, bytes: this.#bytes });
    });
  }

  #differs(mailbox: string, kind: string, detail: string): void {
    this.#add({ mailbox, kind, uid: null, uid_there: null, detail });
  }

  #add(difference: VerifyDifference): void {
    this.#total += 1;
    if (this.#differences.length < this.#options.listed) this.#differences.push(difference);
  }
}
