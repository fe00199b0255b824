/**
 * Dialogs that mean the same at every IMAP server, as text files: played against ours, a Dovecot, and ours through a Dovecot.
 *
 *   # a comment
 *   needs: CONDSTORE           capabilities; the dialog is played where all of them are announced
 *   ways: direct dovecot       where it is played; default: everywhere
 *   C: a FETCH 1 (FLAGS UID)   sent; lines that follow each other go out in one write
 *   S: * 1 FETCH (UID 1 …)     an answer; untagged ones in any order, items, flags and attributes too; `*` stands for anything,
 *                              `…` as the last item for any more items, `{x}` for a word that is kept, and later meant again
 *   S: a OK *                  the tagged answer; no other answer came before it, but for what a server may always tell
 *   W: * 8 EXISTS              waits for this, as in IDLE; also for `+ …`
 *   S@name: …                  at the ways of the difference `name` (`imap-dialog-differs.ts`); S!name: at the other ways
 *   other: flag 2 \Flagged     somebody else: `flag uid flag`, `expunge uid`, `deliver`
 *
 * Literals are written as quoted strings, with `\r\n` for line breaks.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../src/platform/package-root.ts";
import type { ImapTestClient } from "./imap-client.ts";
import { DIALOG_DIFFERS, type DialogWay } from "./imap-dialog-differs.ts";
import { sameAnswer } from "./imap-dialog-match.ts";

export interface ImapDialog {
  readonly name: string;
  readonly needs: readonly string[];
  readonly ways: readonly DialogWay[] | undefined;
  readonly steps: readonly DialogStep[];
}

interface DialogStep {
  readonly where: string;
  readonly kind: "C" | "S" | "W" | "other";
  readonly text: string;
  /** Name of a difference, and whether the step is for its ways or for the others. */
  readonly only: { readonly name: string; readonly at: boolean } | undefined;
}

/** What somebody else does to the mailbox while it is selected; resolves when it is done. */
export interface OtherHand {
  deliver(): Promise<void>;
  flag(uid: number, flag: string): Promise<void>;
  expunge(uid: number): Promise<void>;
}

const STEP = /^(C|S|W|other)(?:([@!])([\w-]+))?: (.*)$/u;
const HEAD = /^(needs|ways): (.*)$/u;

export function readDialog(name: string, text: string): ImapDialog {
  const head = new Map<string, readonly string[]>();
  const steps: DialogStep[] = [];
  for (const [i, line] of text.split("\n").entries()) {
    const where = `${name}:${i + 1}`;
    const [, key, value = ""] = HEAD.exec(line) ?? [];
    const [, kind, sign, difference, said = ""] = STEP.exec(line) ?? [];
    if (key !== undefined) head.set(key, value.split(" "));
    else if (kind === "C" || kind === "S" || kind === "W" || kind === "other")
      steps.push({
        ...{ where, kind, text: said },
        only: difference === undefined ? undefined : { name: difference, at: sign === "@" },
      });
    else assert.match(line, /^(?:#.*|\s*)$/u, `${where}: not a line of a dialog`);
  }
  const ways = head
    .get("ways")
    ?.filter((way): way is DialogWay => way === "direct" || way === "dovecot" || way === "imapc");
  return { name, needs: head.get("needs") ?? [], ways, steps };
}

/** Differences that the dialogs name. */
export function namedDifferences(dialogs: readonly ImapDialog[]): ReadonlySet<string> {
  return new Set(
    dialogs.flatMap(({ steps }) => steps.flatMap(({ only }) => (only === undefined ? [] : [only.name]))),
  );
}

const DIR = join(packageRoot(), "test/dialogs/imap-shared");

/** All of them. */
export function readDialogs(): readonly ImapDialog[] {
  return readdirSync(DIR).map(file => readDialog(file, readFileSync(join(DIR, file), "utf8")));
}

/** Play `dialog` with a client that is logged in. */
export async function playImapDialog(
  dialog: ImapDialog,
  way: DialogWay,
  client: ImapTestClient,
  other: OtherHand,
): Promise<void> {
  const game = new Game(client, other);
  for (const step of dialog.steps) {
    const { only, where } = step;
    const difference = only === undefined ? undefined : DIALOG_DIFFERS[only.name];
    if (only !== undefined)
      assert.ok(difference !== undefined, `${where}: no difference is called "${only.name}"`);
    if (only === undefined || difference?.ways.includes(way) === only.at) await game.step(step);
  }
  game.end();
}

/** One dialog that is being played: lines to send, answers that are expected before the next tagged one, words that were kept. */
class Game {
  readonly #client: ImapTestClient;
  readonly #other: OtherHand;
  readonly #kept = new Map<string, string>();
  #sending = "";
  #expected: DialogStep[] = [];

  constructor(client: ImapTestClient, other: OtherHand) {
    this.#client = client;
    this.#other = other;
  }

  async step(step: DialogStep): Promise<void> {
    if (step.kind === "C") {
      this.#sending += `${this.#filled(step.text)}\r\n`;
      return;
    }
    if (this.#sending !== "") this.#client.send(Buffer.from(this.#sending));
    this.#sending = "";
    if (step.kind === "other") await this.#otherHand(step);
    else if (step.kind === "W") await this.#wait(step);
    else if (step.text.startsWith("* ")) this.#expected.push(step);
    else await this.#tagged(step);
  }

  /** Nothing that was expected is left. */
  end(): void {
    assert.deepEqual(
      this.#expected.map(({ where }) => where),
      [],
      "answers behind the last tagged one",
    );
  }

  #filled(text: string): string {
    return text.replace(/\{([a-z]\w*)\}/gu, (all, name: string) => this.#kept.get(name) ?? all);
  }

  async #tagged(step: DialogStep): Promise<void> {
    for (;;) {
      const answer = await this.#client.response();
      if (answer.startsWith("* ")) this.#untagged(answer, step);
      else {
        assert.ok(
          sameAnswer(step.text, answer, this.#kept),
          `${step.where}: ${step.text}\nanswered: ${answer}`,
        );
        break;
      }
    }
    const left = this.#expected.map(({ where, text }) => `${where}: ${text}`);
    this.#expected = [];
    assert.deepEqual(left, [], `${step.where}: not answered before the tagged answer`);
  }

  #untagged(answer: string, step: DialogStep): void {
    const at = this.#expected.findIndex(({ text }) => sameAnswer(text, answer, this.#kept));
    if (at >= 0) this.#expected.splice(at, 1);
    else assert.ok(isFree(answer), `${step.where}: unexpected: ${answer}\nexpected: ${this.#texts()}`);
  }

  #texts(): string {
    return this.#expected.map(({ text }) => text).join("\n          ");
  }

  async #wait(step: DialogStep): Promise<void> {
    for (;;) {
      const answer = await this.#client.response();
      if (sameAnswer(step.text, answer, this.#kept)) return;
      assert.ok(isFree(answer), `${step.where}: waited for: ${step.text}\ncame: ${answer}`);
    }
  }

  async #otherHand({ text, where }: DialogStep): Promise<void> {
    const [what, uid = "", flag = ""] = text.split(" ");
    if (what === "deliver") await this.#other.deliver();
    else if (what === "flag") await this.#other.flag(Number(uid), flag);
    else if (what === "expunge") await this.#other.expunge(Number(uid));
    else assert.fail(`${where}: nobody can "${text}"`);
  }
}

/**
 * What a server may tell whenever it likes: who looked first (\Recent), names of flags, what is only text. Of SELECT's facts those that
 * a dialog does not ask for.
 */
const FREE = [
  /^\* \d+ RECENT$/u,
  /^\* FLAGS \(/u,
  /^\* OK \[(?:PERMANENTFLAGS|UNSEEN|UIDVALIDITY|UIDNEXT|HIGHESTMODSEQ|MAILBOXID|CLOSED)\b/u,
  /^\* OK (?!\[)/u,
];

function isFree(answer: string): boolean {
  return FREE.some(free => free.test(answer));
}
