/**
 * SEARCH of a session whose mailbox changes under it, against a plain model: numbers mean what was announced, UIDs what is there, `$` what
 * was saved; plain and extended answers, with IMAP4rev2 and without (RFC 3501 §6.4.4, RFC 4731, RFC 5182, RFC 7162 §3.1.5, RFC 8474 §6).
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { startTestServer, type TestClient, type TestServer } from "./harness.ts";
import type { MemoryMailbox } from "./memory-store.ts";

const KEYWORDS = ["work", "$later"] as const;
const THREADS = ["Tone", "Ttwo"] as const;
const RETURNS = ["MIN", "MAX", "ALL", "COUNT", "SAVE"] as const;

interface Message {
  readonly uid: number;
  readonly system: number;
  readonly keywords: readonly string[];
  readonly modseq: number;
  readonly emailId: string;
  readonly threadId: string | null;
}

/** What a key is asked about. */
interface Asked {
  readonly message: Message;
  readonly number: number;
  readonly view: readonly Message[];
  readonly saved: ReadonlySet<number>;
  /** It is stored still: of what was expunged only flags, numbers and MODSEQs are known. */
  readonly isThere: boolean;
}

interface Key {
  readonly text: string;
  readonly namesNumbers?: boolean;
  readonly asksModseq?: boolean;
  /** Undefined: nobody can say. */
  readonly matches: (asked: Asked) => boolean | undefined;
}

const set = fc
  .array(fc.tuple(fc.nat({ max: 12 }), fc.nat({ max: 12 })), { minLength: 1, maxLength: 3 })
  .map(pairs => {
    const shown = (n: number) => (n === 0 ? "*" : String(n));
    return {
      text: pairs.map(([a, b]) => (a === b ? shown(a) : `${shown(a)}:${shown(b)}`)).join(","),
      has: (n: number, largest: number) =>
        pairs.some(pair => {
          const [a = 0, b = 0] = pair.map(end => (end === 0 ? largest : end));
          return n >= Math.min(a, b) && n <= Math.max(a, b);
        }),
    };
  });

/** Few different messages: an id names several of them. */
const TEXTS = [0, 1, 2, 3].map(number => `Subject: ${number}\r\n\r\n`);
const idOf = (text: string) => `M${createHash("sha256").update(text).digest("hex").slice(0, 32)}`;

const simpleKey: fc.Arbitrary<Key> = fc.oneof(
  set.map(({ text, has }) => ({
    text,
    namesNumbers: true,
    matches: ({ number, view }: Asked) => has(number, view.length),
  })),
  set.map(({ text, has }) => ({
    text: `UID ${text}`,
    matches: ({ message, view }: Asked) => has(message.uid, view.at(-1)?.uid ?? 0),
  })),
  fc.constantFrom("$", "UID $").map(text => ({
    text,
    matches: ({ message, saved }: Asked) => saved.has(message.uid),
  })),
  fc.nat({ max: 40 }).map(modseq => ({
    text: `MODSEQ ${modseq % 2 === 0 ? '"/flags/\\\\Seen" all ' : ""}${modseq}`,
    asksModseq: true,
    matches: ({ message }: Asked) => message.modseq >= modseq,
  })),
  fc.constantFrom(...KEYWORDS).map(word => ({
    text: `KEYWORD ${word.toUpperCase()}`,
    matches: ({ message }: Asked) => message.keywords.includes(word),
  })),
  fc.constant({ text: "FLAGGED", matches: ({ message }: Asked) => (message.system & 4) !== 0 }),
  fc.constantFrom(...THREADS).map(id => ({
    text: `THREADID ${id}`,
    matches: ({ message, isThere }: Asked) => (isThere ? message.threadId === id : undefined),
  })),
  fc.constantFrom(...TEXTS.map(idOf)).map(id => ({
    text: `EMAILID ${id}`,
    matches: ({ message, isThere }: Asked) => (isThere ? message.emailId === id : undefined),
  })),
);

const { key } = fc.letrec<{ key: Key }>(tie => ({
  key: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    simpleKey,
    tie("key").map(inner => ({
      ...inner,
      text: `NOT ${inner.text}`,
      matches: (asked: Asked) => {
        const value = inner.matches(asked);
        return value === undefined ? undefined : !value;
      },
    })),
    fc.tuple(tie("key"), tie("key")).map(([a, b]) => joined(a, b, true)),
    fc.tuple(tie("key"), tie("key")).map(([a, b]) => joined(a, b, false)),
  ),
}));

/** @param decisive  the value of one that is the value of both */
function joined(a: Key, b: Key, decisive: boolean): Key {
  return {
    text: decisive ? `OR ${a.text} ${b.text}` : `(${a.text} ${b.text})`,
    namesNumbers: a.namesNumbers === true || b.namesNumbers === true,
    asksModseq: a.asksModseq === true || b.asksModseq === true,
    matches: asked => {
      const values = [a.matches(asked), b.matches(asked)];
      return values.includes(decisive) ? decisive : values.includes(undefined) ? undefined : !decisive;
    },
  };
}

/** A mailbox, and what one session was told of it. */
class Model {
  readonly client: TestClient;
  readonly #inbox: MemoryMailbox;
  readonly #isRev2: boolean;
  #view: readonly Message[] = [];
  #saved: ReadonlySet<number> = new Set();

  constructor(client: TestClient, inbox: MemoryMailbox, isRev2: boolean) {
    this.client = client;
    this.#inbox = inbox;
    this.#isRev2 = isRev2;
    this.#tellNews();
  }

  #tellNews(): void {
    this.#view = this.#inbox.stored.map(({ row, flags, modseq }) => {
      const { uid, emailId, threadId } = row;
      return { uid, ...flags, modseq, emailId: emailId ?? "", threadId: threadId ?? null };
    });
  }

  change(kind: "flag" | "expunge" | "deliver", at: number): void {
    const { stored } = this.#inbox;
    const uid = stored[at % Math.max(stored.length, 1)]?.row.uid;
    if (kind === "deliver" || uid === undefined) {
      const threadId = THREADS[at % 3];
      this.#inbox.deliver(TEXTS[at % TEXTS.length] ?? "", threadId === undefined ? {} : { threadId });
    } else if (kind === "expunge") this.#inbox.expunge(uid);
    else this.#inbox.setFlags(uid, { system: at % 8, keywords: KEYWORDS.filter((_, i) => (at >> i) & 1) });
  }

  async noop(): Promise<void> {
    await this.client.command("NOOP");
    this.#tellNews();
  }

  async search(wanted: Key, uid: boolean, returns: readonly string[] | undefined): Promise<void> {
    // News come before what names messages by UIDs alone, else behind.
    const newsFirst = uid && wanted.namesNumbers !== true;
    const command = `${uid ? "UID " : ""}SEARCH ${returns === undefined ? "" : `RETURN (${returns.join(" ")}) `}${wanted.text}`;
    const answers = await this.client.command(command);
    if (newsFirst) this.#tellNews();
    const found = this.#found(wanted);
    const told = answers.filter(line => /^\* E?SEARCH/u.test(line));
    const shown = told.map(line => line.replace(/\(TAG "[^"]+"\)/u, "(TAG)"));
    assert.deepEqual(shown, this.#expected(found, uid, returns, wanted.asksModseq === true), command);
    assert.equal(answers.at(-1), "OK SEARCH completed", command);
    if (returns?.includes("SAVE") === true)
      this.#saved = new Set(chosen(found, returns).map(({ message }) => message.uid));
    if (uid && !newsFirst) this.#tellNews();
  }

  #found({ matches }: Key): readonly Asked[] {
    const there = new Set(this.#inbox.stored.map(({ row }) => row.uid));
    return this.#view
      .map((message, i) => ({
        message,
        number: i + 1,
        view: this.#view,
        saved: this.#saved,
        isThere: there.has(message.uid),
      }))
      .filter(each => matches(each) === true);
  }

  #expected(
    found: readonly Asked[],
    uid: boolean,
    returns: readonly string[] | undefined,
    asksModseq: boolean,
  ): readonly string[] {
    const numbers = found.map(({ message, number }) => (uid ? message.uid : number));
    const highest = (some: readonly Asked[]) => Math.max(...some.map(({ message }) => message.modseq));
    const told = returns ?? (this.#isRev2 ? [] : undefined);
    if (told === undefined) {
      const modseq = asksModseq && found.length > 0 ? [`(MODSEQ ${highest(found)})`] : [];
      return [["* SEARCH", ...numbers, ...modseq].join(" ")];
    }
    const wants = (option: string) => told.includes(option) || (option === "ALL" && told.length === 0);
    if (told.join() === "SAVE") return [];
    const parts = ["* ESEARCH (TAG)", ...(uid ? ["UID"] : [])];
    const some = numbers.length > 0;
    if (wants("MIN") && some) parts.push(`MIN ${numbers[0]}`);
    if (wants("MAX") && some) parts.push(`MAX ${numbers.at(-1)}`);
    if (wants("COUNT")) parts.push(`COUNT ${numbers.length}`);
    if (wants("ALL") && some) parts.push(`ALL ${ranges(numbers)}`);
    if (asksModseq && some) parts.push(`MODSEQ ${highest(chosen(found, told))}`);
    return [parts.join(" ")];
  }

  /** `$` names what was saved and is there still. */
  async fetchSaved(uid: boolean): Promise<void> {
    const answers = await this.client.command(`${uid ? "UID " : ""}FETCH $ (UID)`);
    if (uid) this.#tellNews();
    const wanted = this.#view.flatMap(({ uid: each }, i) =>
      this.#saved.has(each) ? [`* ${i + 1} FETCH (UID ${each})`] : [],
    );
    assert.deepEqual(
      answers.filter(line => /FETCH \(UID \d+\)$/u.test(line)),
      wanted,
    );
    assert.match(answers.at(-1) ?? "", /^OK /u);
  }
}

function chosen(found: readonly Asked[], returns: readonly string[]): readonly Asked[] {
  const ends = ["MIN", "MAX"].filter(option => returns.includes(option));
  if (ends.length === 0 || returns.includes("ALL") || returns.includes("COUNT")) return found;
  return found.filter(
    (_, i) => (ends.includes("MIN") && i === 0) || (ends.includes("MAX") && i === found.length - 1),
  );
}

function ranges(numbers: readonly number[]): string {
  const runs: { readonly from: number; to: number }[] = [];
  for (const number of numbers) {
    const last = runs.at(-1);
    if (last?.to === number - 1) last.to = number;
    else runs.push({ from: number, to: number });
  }
  return runs.map(({ from, to }) => (from === to ? `${from}` : `${from}:${to}`)).join(",");
}

type Step = (model: Model) => Promise<void> | void;

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    arbitrary: fc
      .tuple(fc.constantFrom("flag" as const, "expunge" as const, "deliver" as const), fc.nat({ max: 50 }))
      .map(
        ([kind, at]) =>
          (model: Model) =>
            model.change(kind, at),
      ),
    weight: 3,
  },
  {
    arbitrary: fc
      .tuple(key, fc.boolean(), fc.option(fc.uniqueArray(fc.constantFrom(...RETURNS)), { nil: undefined }))
      .map(args => (model: Model) => model.search(...args)),
    weight: 6,
  },
  { arbitrary: fc.boolean().map(uid => (model: Model) => model.fetchSaved(uid)), weight: 1 },
  { arbitrary: fc.constant((model: Model) => model.noop()), weight: 1 },
);

const holder: { server?: TestServer } = {};
before(async () => {
  holder.server = await startTestServer({ profile: { kind: "client" } });
});
after(() => holder.server?.close());

test("SEARCH by number, UID, MODSEQ, KEYWORD, object id and $ finds what the model finds while mail changes", async () => {
  const { server } = holder;
  assert.ok(server !== undefined);
  const property = fc.asyncProperty(
    fc.boolean(),
    fc.array(step, { minLength: 5, maxLength: 25 }),
    async (isRev2, steps) => {
      const { inbox } = server.store;
      Object.assign(inbox, { uidValidity: inbox.uidValidity + 1, uidNext: 1, modseq: 1 });
      inbox.stored.length = 0;
      inbox.expunged.clear();
      for (let i = 0; i < 6; i += 1) inbox.deliver(TEXTS[i % TEXTS.length] ?? "", { threadId: "Tone" });
      const client = await server.user();
      await client.command(`ENABLE CONDSTORE ${isRev2 ? "IMAP4rev2" : ""}`);
      await client.command("SELECT INBOX");
      const model = new Model(client, inbox, isRev2);
      for (const each of steps) await each(model);
      client.close();
    },
  );
  await fc.assert(property, { numRuns: 150 });
});
