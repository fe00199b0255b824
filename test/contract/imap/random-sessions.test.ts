/**
 * Random commands of two sessions over a real database, while mail comes, gets flags and goes: every answer is compared with a model. A
 * failure prints fast-check's seed and the shortest list of steps that shows it.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { messageId } from "../../../src/core/ids.ts";
import type { MessageChanges } from "../../../src/core/ports/hooks.ts";
import { FLAG_ANSWERED, FLAG_FLAGGED } from "../../../src/core/ports/store.ts";
import { createStoredMessages } from "../../../src/store/message-changes.ts";
import { type ImapTestClient, readFetch } from "../../lib/imap-client.ts";
import {
  flagsIn,
  flagsOf,
  ModelMailbox,
  type ModelMessage,
  ModelView,
  sameFlags,
} from "../../lib/imap-model.ts";
import { NO_CHANGES } from "../jobs/results-rig.ts";
import { type ImapService, PASSWORD, startImapService, USER } from "./service.ts";

/** Many seeds over time; raise it by hand for what is rarely met. */
const RUNS = 60;
const STEPS = 40;
const SESSIONS = 2;
/** What the store puts before each message. */
const PREFIX = "Return-Path: <>\r\n";
const WORDS = ["apple", "berry", "cider"] as const;
const FLAGS: Readonly<Record<string, Partial<MessageChanges>>> = {
  "\\Flagged": { systemFlags: FLAG_FLAGGED },
  "\\Answered": { systemFlags: FLAG_ANSWERED },
  work: { keywords: ["work"] },
};

/** A set as pairs of numbers below 1000, spread over what there is when it is asked for; 0 is `*`. */
type Pairs = ReadonlyArray<readonly [number, number | undefined]>;
type Place = { readonly pick: number };

type Step =
  | { readonly do: "deliver"; readonly subject: string; readonly body: string }
  | ({ readonly do: "flag"; readonly flag: string } & Place)
  | ({ readonly do: "expunge" } & Place)
  | { readonly do: "noop" | "select" | "status"; readonly session: number }
  | {
      readonly do: "fetch" | "search";
      readonly session: number;
      readonly uid: boolean;
      readonly set: Pairs;
      readonly key: string;
    };

const place = fc.record({ pick: fc.nat(999) });
const session = fc.nat(SESSIONS - 1);
const number = fc.nat(999);
const set: fc.Arbitrary<Pairs> = fc.array(fc.tuple(number, fc.option(number, { nil: undefined })), {
  minLength: 1,
  maxLength: 3,
});
const key = fc.constantFrom(
  "ALL",
  "FLAGGED",
  "UNFLAGGED",
  "KEYWORD work",
  ...WORDS.flatMap(word => [`SUBJECT ${word}`, `BODY ${word}`]),
);

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("deliver" as const),
      subject: fc.constantFrom(...WORDS),
      body: fc.constantFrom(...WORDS),
    }),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(place, fc.constantFrom(...Object.keys(FLAGS)))
      .map(([at, flag]) => ({ ...at, flag, do: "flag" as const })),
  },
  { weight: 2, arbitrary: place.map(at => ({ ...at, do: "expunge" as const })) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom("noop" as const, "noop" as const, "select" as const, "status" as const),
      session,
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom("fetch" as const, "search" as const),
      session,
      uid: fc.boolean(),
      set,
      key,
    }),
  },
);

interface Session {
  readonly client: ImapTestClient;
  view: ModelView;
  /** Nothing changed since this session was told all news: flags must be the newest. */
  isNew: boolean;
}

let service: ImapService;
before(async () => {
  service = await startImapService();
});
after(() => service?.stop());

class Run {
  readonly mailbox = new ModelMailbox();
  readonly sessions: Session[] = [];
  readonly #uidFirst: number;
  #uidNext: number;

  private constructor(uidNext: number) {
    this.#uidFirst = uidNext;
    this.#uidNext = uidNext;
  }

  /** An empty INBOX, whose UIDs go on, and sessions that have it open. */
  static async start(): Promise<Run> {
    await service.db
      .run`delete from entries where mailbox_id in (select id from mailboxes where name = 'INBOX')`;
    const [row] = await service.db.query<{
      uidnext: number;
    }>`select uidnext from mailboxes where name = 'INBOX'`;
    const run = new Run(row?.uidnext ?? 0);
    for (let i = 0; i < SESSIONS; i++) {
      const client = await service.client();
      await client.command(`LOGIN ${USER} "${PASSWORD}"`);
      await client.command("EXAMINE INBOX");
      run.sessions.push({ client, view: new ModelView(run.mailbox), isNew: true });
    }
    return run;
  }

  end(): void {
    for (const { client } of this.sessions) client.close();
  }

  async step(step: Step): Promise<void> {
    switch (step.do) {
      case "deliver":
        return this.#deliver(step);
      case "flag":
      case "expunge":
        return this.#change(step);
      default:
        return this.#ask(step, this.sessions[step.session]);
    }
  }

  async #deliver({ subject, body }: Extract<Step, { do: "deliver" }>): Promise<void> {
    const text = `Subject: ${subject}\r\n\r\n${body}\r\n`;
    await service.deliver(text);
    const sizeBytes = PREFIX.length + text.length;
    this.mailbox.messages.push({
      uid: this.#uidNext,
      subject,
      body,
      sizeBytes,
      flags: [new Set()],
      isGone: false,
    });
    this.#uidNext += 1;
    this.#changed();
  }

  async #change(step: Extract<Step, { do: "flag" | "expunge" }>): Promise<void> {
    const { alive } = this.mailbox;
    const message = alive[step.pick % Math.max(1, alive.length)];
    if (message === undefined) return;
    if (step.do === "expunge") {
      await apply(message.uid, { folder: "Elsewhere" });
      message.isGone = true;
    } else {
      const had = flagsOf(message);
      if (had.has(step.flag)) return;
      await apply(message.uid, FLAGS[step.flag] ?? {});
      message.flags.push(new Set([...had, step.flag]));
    }
    this.#changed();
  }

  #changed(): void {
    this.mailbox.changed();
    for (const each of this.sessions) each.isNew = false;
  }

  async #ask(
    step: Exclude<Step, { do: "deliver" | "flag" | "expunge" }>,
    asked: Session | undefined,
  ): Promise<void> {
    assert.ok(asked);
    if (step.do === "fetch") await this.#fetch(asked, step.uid, step.set);
    else if (step.do === "search") await this.#search(asked, step.uid, step.set, step.key);
    else if (step.do === "noop") await this.#noop(asked);
    else if (step.do === "select") await this.#select(asked);
    else await this.#status(asked);
  }

  async #noop(asked: Session): Promise<void> {
    const answers = await asked.client.command("NOOP");
    assert.match(answers.at(-1) ?? "", /^OK/u);
    asked.isNew = true;
    this.#told(asked, answers, true);
    await this.#learn(asked);
    asked.view.assertNew();
    for (const message of this.mailbox.alive) {
      const told = asked.view.flags.get(message.uid);
      if (told !== undefined)
        assert.ok(sameFlags(told, flagsOf(message)), `${message.uid} has new flags untold`);
    }
  }

  /** All untagged lines of an answer, in their order. @returns the messages that were told with items of FETCH */
  #told(asked: Session, answers: readonly string[], mayExpunge: boolean) {
    const fetched: { readonly message: ModelMessage; readonly line: string }[] = [];
    for (const line of answers.slice(0, -1)) {
      const message = asked.view.tell(line, mayExpunge);
      if (message !== undefined) {
        this.#assertFlags(asked, message, line);
        fetched.push({ message, line });
      }
    }
    return fetched;
  }

  /** A session that was told of messages asks which they are; by number, so that it is told nothing else. */
  async #learn(asked: Session): Promise<void> {
    if (!asked.view.knowsAll) {
      const answers = await asked.client.command(`FETCH 1:${asked.view.count} (UID)`);
      for (const line of answers.slice(0, -1)) asked.view.tell(line, false);
    }
    assert.ok(asked.view.knowsAll, "a message in the view was not told");
    asked.view.assertTrue();
  }

  async #select(asked: Session): Promise<void> {
    const answers = await asked.client.command("EXAMINE INBOX");
    assert.ok(answers.includes(`* ${this.mailbox.alive.length} EXISTS`), answers.join("\n"));
    asked.view = new ModelView(this.mailbox);
    asked.isNew = true;
    this.#told(asked, await asked.client.command("UID FETCH 1:* (FLAGS)"), true);
  }

  async #status(asked: Session): Promise<void> {
    const answers = await asked.client.command("STATUS INBOX (MESSAGES UIDNEXT UNSEEN SIZE)");
    const { alive } = this.mailbox;
    const size = alive.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const expected = `* STATUS "INBOX" (MESSAGES ${alive.length} UIDNEXT ${this.#uidNext} UNSEEN ${alive.length} SIZE ${size})`;
    assert.ok(answers.includes(expected), `${answers.join("\n")}\n${expected}`);
    this.#told(
      asked,
      answers.filter(line => line !== expected),
      true,
    );
    await this.#learn(asked);
  }

  async #fetch(asked: Session, uid: boolean, pairs: Pairs): Promise<void> {
    // What `*` means is certain only for who was told all news.
    if (uid && !asked.isNew && pairs.some(pair => pair.some(isStar))) await this.#noop(asked);
    const before = asked.view.uids;
    const { text, numbers, isBad } = this.#setOf(pairs, before.length, uid);
    const command = `${uid ? "UID " : ""}FETCH ${text} (UID FLAGS RFC822.SIZE BODY.PEEK[TEXT])`;
    const answers = await asked.client.command(command);
    const fetched = this.#told(asked, answers, uid).filter(({ line }) => line.includes("BODY[TEXT]"));
    await this.#learn(asked);
    if (isBad) return assert.match(answers.at(-1) ?? "", /^BAD/u, command);
    const had = fetched.map(({ message, line }) => this.#assertFetched(message, line, command));
    const isMeant = (own: number) =>
      uid ? numbers(own, before.at(-1) ?? 0) : numbers(before.indexOf(own) + 1, before.length);
    const wanted = before.filter(isMeant);
    const isHere = (own: number) => !this.mailbox.of(own).isGone;
    assert.deepEqual(had, [...new Set(had)], `${command}: one is told twice`);
    assert.deepEqual(
      had.filter(own => wanted.includes(own) && isHere(own)),
      wanted.filter(isHere),
      command,
    );
    assert.ok(had.every(isMeant), `${command}: one is told that was not asked for`);
    if (!asked.isNew) return;
    assert.deepEqual(had, wanted, command);
    assert.match(answers.at(-1) ?? "", /^OK/u, command);
  }

  #assertFetched(message: ModelMessage, line: string, command: string): number {
    const items = readFetch(line);
    const body = items.get("BODY[TEXT]");
    assert.deepEqual(items.get("RFC822.SIZE"), { text: String(message.sizeBytes) }, command);
    const octets = body !== null && body !== undefined && "octets" in body ? body.octets.toString() : body;
    assert.equal(octets, `${message.body}\r\n`, command);
    return message.uid;
  }

  /** Flags that are told are the newest, or, where there is news, some that the message had. */
  #assertFlags(asked: Session, message: ModelMessage, line: string): void {
    const [, flags] = / FLAGS \(([^)]*)\)/u.exec(line) ?? [];
    if (flags === undefined) return;
    asked.view.flags.set(message.uid, flagsIn(flags));
    const known = asked.isNew ? message.flags.slice(-1) : message.flags;
    assert.ok(
      known.some(each => sameFlags(each, flagsIn(flags))),
      `${line}: it has ${[...flagsOf(message)].join(" ")}`,
    );
  }

  /** UIDs of this run and three that nobody has; or sequence numbers, one in seven of which lies beyond the end. */
  #setOf(pairs: Pairs, count: number, uid: boolean): ReturnType<typeof setOf> {
    const [first, choice] = uid
      ? [this.#uidFirst, this.#uidNext - this.#uidFirst + 3]
      : [1, count + 1 + Math.floor(count / 6)];
    return setOf(pairs, count, uid, n => (isStar(n) ? 0 : first + (n % choice)));
  }

  async #search(asked: Session, uid: boolean, pairs: Pairs, key: string): Promise<void> {
    // Only who was told all news can say what must be found.
    if (!asked.isNew) await this.#noop(asked);
    const { view, client } = asked;
    const { text, numbers, isBad } = this.#setOf(pairs, view.uids.length, uid);
    const command = `${uid ? "UID " : ""}SEARCH ${uid ? "UID " : ""}${text} ${key}`;
    const answers = await client.command(command);
    if (isBad) return assert.match(answers.at(-1) ?? "", /^(?:BAD|OK)/u, command);
    const { uids } = view;
    const found = uids.flatMap((own, i) => {
      const isMeant = uid ? numbers(own, uids.at(-1) ?? 0) : numbers(i + 1, uids.length);
      return isMeant && holds(this.mailbox.of(own), key) ? [uid ? own : i + 1] : [];
    });
    assert.deepEqual(answers, [["* SEARCH", ...found].join(" "), answers.at(-1)], command);
  }
}

function holds(message: ModelMessage, key: string): boolean {
  const [name, word = ""] = key.split(" ");
  const flags = flagsOf(message);
  if (name === "FLAGGED" || name === "UNFLAGGED") return flags.has("\\Flagged") === (name === "FLAGGED");
  if (name === "KEYWORD") return flags.has(word);
  if (name === "SUBJECT") return message.subject === word;
  return name === "ALL" || message.body === word;
}

const isStar = (n: number | undefined) => n !== undefined && n % 11 === 0;

/** The set as text, and whether it means a number. @param count  messages there are @param real  turns what was chosen into a number */
function setOf(pairs: Pairs, count: number, uid: boolean, real: (n: number) => number) {
  const shown = pairs.map(([a, b]) => [real(a), b === undefined ? undefined : real(b)] as const);
  const name = (n: number) => (n === 0 ? "*" : String(n));
  const all = shown.flatMap(([a, b = a]) => [a, b]);
  return {
    text: shown.map(([a, b]) => (b === undefined ? name(a) : `${name(a)}:${name(b)}`)).join(","),
    /** RFC 3501 §9: a sequence number that no message has. In an empty mailbox `*` names nothing, whatever stands beside it. */
    isBad: !uid && all.some(n => n > count) && !(count === 0 && all.includes(0)),
    numbers: (n: number, largest: number) =>
      shown.some(([a, b = a]) => {
        const [from, to] = [a === 0 ? largest : a, b === 0 ? largest : b];
        return n >= Math.min(from, to) && n <= Math.max(from, to);
      }),
  };
}

async function apply(uid: number, changes: Partial<MessageChanges>): Promise<void> {
  const [row] = await service.db.query<{ message_id: string }>`
    select e.message_id from entries e join mailboxes b on b.id = e.mailbox_id where b.name = 'INBOX' and e.uid = ${uid}`;
  assert.ok(row);
  const [result] = await createStoredMessages({ db: service.db, changes: service.changes }).apply({
    ...{ messageId: messageId(row.message_id), accounts: [service.account], events: [] },
    ...{ changes: { ...NO_CHANGES, ...changes }, by: [], job: "test" },
  });
  assert.equal(result?.outcome, "changed");
}

test("two sessions are told what a model tells, whatever they ask and whatever happens meanwhile", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: STEPS, size: "max" }), async steps => {
      const run = await Run.start();
      try {
        for (const each of steps) await run.step(each);
        for (const asked of run.sessions)
          await run.step({ do: "noop", session: run.sessions.indexOf(asked) });
      } finally {
        run.end();
      }
    }),
    { numRuns: RUNS, includeErrorInReport: true },
  );
});
