/**
 * SEARCH and FETCH against a model: random mailboxes and random commands, and a second, simple reading of RFC 3501 §6.4.4
 * over the facts the messages were made of.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { readFetch } from "../../../lib/imap-client.ts";
import { startTestServer, type TestClient, type TestServer } from "./harness.ts";

const WORDS = ["apple", "berry", "cider", "damson"] as const;
const KEYWORDS = ["work", "$later"] as const;
const PREFIX = "Return-Path: <s@b.test>\r\n";
const DAY_MS = 86_400_000;
/** 1 February 2026. */
const FIRST_DAY_MS = Date.UTC(2026, 1, 1);
const DAYS = 5;
const FLAGS = ["SEEN", "ANSWERED", "FLAGGED", "DELETED", "DRAFT"] as const;
const BITS: Readonly<Record<(typeof FLAGS)[number], number>> = {
  SEEN: 1,
  ANSWERED: 2,
  FLAGGED: 4,
  DELETED: 8,
  DRAFT: 16,
};

interface Facts {
  readonly number: number;
  readonly uid: number;
  readonly system: number;
  readonly keywords: readonly string[];
  readonly from: string;
  readonly subject: string;
  readonly body: string;
  /** Days from the first one. */
  readonly arrived: number;
  readonly sent: number;
  readonly sizeBytes: number;
}

/** What a message is made from. */
interface Made extends Omit<Facts, "number" | "uid" | "sizeBytes"> {
  /** UIDs from the message before. */
  readonly gap: number;
}

interface Key {
  readonly text: string;
  matches(message: Facts, all: readonly Facts[]): boolean;
}

function imapDate(day: number): string {
  const [, date = "", month = ""] =
    /, (\d+) (\w+)/u.exec(new Date(FIRST_DAY_MS + day * DAY_MS).toUTCString()) ?? [];
  return `${Number(date)}-${month}-2026`;
}

const word = fc.constantFrom(...WORDS);
const day = fc.integer({ min: -1, max: DAYS });

/** A set of numbers and what it means to a model: pairs in any order, `*` the largest, never nothing. */
const sequenceSet = fc
  .array(
    fc.tuple(fc.integer({ min: 0, max: 30 }), fc.option(fc.integer({ min: 0, max: 30 }), { nil: undefined })),
    {
      minLength: 1,
      maxLength: 3,
    },
  )
  .map(pairs => {
    const shown = (n: number) => (n === 0 ? "*" : String(n));
    return {
      text: pairs.map(([a, b]) => (b === undefined ? shown(a) : `${shown(a)}:${shown(b)}`)).join(","),
      has: (n: number, largest: number) =>
        pairs.some(([a, b = a]) => {
          const [from, to] = [a === 0 ? largest : a, b === 0 ? largest : b];
          return n >= Math.min(from, to) && n <= Math.max(from, to);
        }),
    };
  });

const simpleKey: fc.Arbitrary<Key> = fc.oneof(
  fc
    .constantFrom(...FLAGS)
    .map(flag => ({ text: flag, matches: (m: Facts) => (m.system & BITS[flag]) !== 0 })),
  fc
    .constantFrom(...FLAGS)
    .map(flag => ({ text: `UN${flag}`, matches: (m: Facts) => (m.system & BITS[flag]) === 0 })),
  fc
    .constantFrom(...KEYWORDS)
    .map(name => ({ text: `KEYWORD ${name}`, matches: (m: Facts) => m.keywords.includes(name) })),
  fc
    .constantFrom(...KEYWORDS)
    .map(name => ({ text: `UNKEYWORD ${name}`, matches: (m: Facts) => !m.keywords.includes(name) })),
  word.map(text => ({ text: `FROM ${text}`, matches: (m: Facts) => m.from === text })),
  word.map(text => ({
    text: `SUBJECT "${text.toUpperCase()}"`,
    matches: (m: Facts) => m.subject.includes(text),
  })),
  word.map(text => ({ text: `HEADER Subject ${text}`, matches: (m: Facts) => m.subject.includes(text) })),
  word.map(text => ({ text: `BODY ${text}`, matches: (m: Facts) => m.body.includes(text) })),
  word.map(text => ({
    text: `TEXT ${text}`,
    matches: (m: Facts) => [m.from, m.subject, m.body].some(part => part.includes(text)),
  })),
  day.map(at => ({ text: `BEFORE ${imapDate(at)}`, matches: (m: Facts) => m.arrived < at })),
  day.map(at => ({ text: `ON ${imapDate(at)}`, matches: (m: Facts) => m.arrived === at })),
  day.map(at => ({ text: `SINCE ${imapDate(at)}`, matches: (m: Facts) => m.arrived >= at })),
  day.map(at => ({ text: `SENTBEFORE ${imapDate(at)}`, matches: (m: Facts) => m.sent < at })),
  day.map(at => ({ text: `SENTON ${imapDate(at)}`, matches: (m: Facts) => m.sent === at })),
  day.map(at => ({ text: `SENTSINCE ${imapDate(at)}`, matches: (m: Facts) => m.sent >= at })),
  fc
    .integer({ min: 100, max: 130 })
    .map(size => ({ text: `LARGER ${size}`, matches: (m: Facts) => m.sizeBytes > size })),
  fc
    .integer({ min: 100, max: 130 })
    .map(size => ({ text: `SMALLER ${size}`, matches: (m: Facts) => m.sizeBytes < size })),
  sequenceSet.map(set => ({
    text: set.text,
    matches: (m: Facts, all: readonly Facts[]) => set.has(m.number, all.length),
  })),
  sequenceSet.map(set => ({
    text: `UID ${set.text}`,
    matches: (m: Facts, all: readonly Facts[]) => set.has(m.uid, all.at(-1)?.uid ?? 0),
  })),
);

const { key } = fc.letrec<{ key: Key }>(tie => ({
  key: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    simpleKey,
    tie("key").map(inner => ({
      text: `NOT ${inner.text}`,
      matches: (m: Facts, all: readonly Facts[]) => !inner.matches(m, all),
    })),
    fc.tuple(tie("key"), tie("key")).map(([a, b]) => ({
      text: `OR ${a.text} ${b.text}`,
      matches: (m: Facts, all: readonly Facts[]) => a.matches(m, all) || b.matches(m, all),
    })),
    fc.array(tie("key"), { minLength: 1, maxLength: 3 }).map(keys => ({
      text: `(${keys.map(each => each.text).join(" ")})`,
      matches: (m: Facts, all: readonly Facts[]) => keys.every(each => each.matches(m, all)),
    })),
  ),
}));

const mailbox: fc.Arbitrary<readonly Made[]> = fc.array(
  fc.record({
    gap: fc.integer({ min: 1, max: 4 }),
    system: fc.integer({ min: 0, max: 31 }),
    keywords: fc.uniqueArray(fc.constantFrom(...KEYWORDS)),
    from: word,
    subject: fc.array(word, { maxLength: 2 }).map(words => words.join(" ")),
    body: fc.array(word, { maxLength: 6 }).map(words => words.join("\r\n")),
    arrived: fc.integer({ min: 0, max: DAYS - 1 }),
    sent: fc.integer({ min: 0, max: DAYS - 1 }),
  }),
  { minLength: 1, maxLength: 8 },
);

const holder: { server?: TestServer; client?: TestClient } = {};

before(async () => {
  holder.server = await startTestServer();
  holder.client = await holder.server.user();
});
after(() => holder.server?.close());

/** Fill a fresh INBOX and select it. */
async function filled(
  messages: readonly Made[],
): Promise<{ client: TestClient; facts: readonly Facts[]; texts: readonly string[] }> {
  const { server, client } = holder;
  assert.ok(server !== undefined && client !== undefined);
  await client.command("UNSELECT");
  const { inbox } = server.store;
  inbox.expunge(...inbox.stored.map(({ row }) => row.uid));
  const texts: string[] = [];
  let uid = 0;
  const facts = messages.map((made, index) => {
    uid += made.gap;
    const sent = new Date(FIRST_DAY_MS + made.sent * DAY_MS + 3_600_000)
      .toUTCString()
      .replace("GMT", "+0000");
    const text = `From: <${made.from}@x.test>\r\nSubject: ${made.subject}\r\nDate: ${sent}\r\n\r\n${made.body}\r\n`;
    inbox.deliver(text, {
      uid,
      prefix: PREFIX,
      internalDate: new Date(FIRST_DAY_MS + made.arrived * DAY_MS + 7_200_000),
      flags: { system: made.system, keywords: made.keywords },
    });
    texts.push(PREFIX + text);
    return { ...made, uid, number: index + 1, sizeBytes: PREFIX.length + text.length };
  });
  await client.command("SELECT INBOX");
  return { client, facts, texts };
}

test("SEARCH finds what the model finds, for any mailbox and any key", async () => {
  await fc.assert(
    fc.asyncProperty(mailbox, fc.array(key, { minLength: 1, maxLength: 2 }), async (messages, keys) => {
      const { client, facts } = await filled(messages);
      const found = facts.filter(message => keys.every(each => each.matches(message, facts)));
      const text = keys.map(each => each.text).join(" ");
      const answer = (numbers: readonly number[]) => ["* SEARCH", ...numbers].join(" ");
      assert.deepEqual(
        await client.command(`SEARCH ${text}`),
        [answer(found.map(m => m.number)), "OK SEARCH completed"],
        text,
      );
      assert.deepEqual(
        await client.command(`UID SEARCH ${text}`),
        [answer(found.map(m => m.uid)), "OK SEARCH completed"],
        text,
      );
    }),
    { numRuns: 200 },
  );
});

test("LARGER and SMALLER leave out a message of just that size", async () => {
  await fc.assert(
    fc.asyncProperty(mailbox, async messages => {
      const { client, facts } = await filled(messages);
      const size = facts[0]?.sizeBytes ?? 0;
      const answer = (found: readonly Facts[]) => ["* SEARCH", ...found.map(m => m.number)].join(" ");
      const larger = facts.filter(m => m.sizeBytes > size);
      const smaller = facts.filter(m => m.sizeBytes < size);
      assert.equal((await client.command(`SEARCH LARGER ${size}`))[0], answer(larger));
      assert.equal((await client.command(`SEARCH SMALLER ${size}`))[0], answer(smaller));
    }),
    { numRuns: 30 },
  );
});

test("FETCH of any set gives the model's messages, sizes, flags, fields and octets", async () => {
  const octet = fc.nat(300);
  await fc.assert(
    fc.asyncProperty(
      mailbox,
      sequenceSet,
      fc.boolean(),
      octet,
      octet,
      async (messages, set, byUid, offset, more) => {
        const { client, facts, texts } = await filled(messages);
        const length = more + 1;
        const items = `RFC822.SIZE BODY.PEEK[]<${offset}.${length}> BODY.PEEK[HEADER.FIELDS (SUBJECT)] BODY.PEEK[1]<${offset}.${length}> BODY.PEEK[2]`;
        const answers = await client.command(`${byUid ? "UID " : ""}FETCH ${set.text} (UID ${items})`);
        const outside = !byUid && /\d+/gu[Symbol.match](set.text)?.some(n => Number(n) > facts.length);
        if (outside === true && answers.length === 1) {
          // RFC 3501 §9: a sequence number that no message has is an error of the client.
          assert.match(answers[0] ?? "", /^BAD/u);
          return;
        }
        const wanted = facts.filter(m =>
          byUid ? set.has(m.uid, facts.at(-1)?.uid ?? 0) : set.has(m.number, facts.length),
        );
        assert.deepEqual(
          answers.slice(0, -1).map(answer => /^\* (\d+) FETCH/u.exec(answer)?.[1]),
          wanted.map(m => String(m.number)),
        );
        for (const [index, m] of wanted.entries()) {
          const got = readFetch(answers[index] ?? "");
          const text = texts[m.number - 1] ?? "";
          const octets = (name: string) => {
            const value = got.get(name);
            return value !== null && value !== undefined && "octets" in value
              ? value.octets.toString("latin1")
              : value;
          };
          assert.deepEqual(got.get("UID"), { text: String(m.uid) });
          assert.deepEqual(got.get("RFC822.SIZE"), { text: String(m.sizeBytes) });
          assert.equal(octets(`BODY[]<${offset}>`), text.slice(offset, offset + length));
          assert.equal(octets(`BODY[1]<${offset}>`), `${m.body}\r\n`.slice(offset, offset + length));
          assert.equal(octets("BODY[HEADER.FIELDS (SUBJECT)]"), `Subject: ${m.subject}\r\n\r\n`);
          assert.equal(octets("BODY[2]"), null);
        }
      },
    ),
    { numRuns: 200 },
  );
});
