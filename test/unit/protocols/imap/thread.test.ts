import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { ThreadRow } from "../../../../src/core/ports/message-order.ts";
import { writeThreads } from "../../../../src/protocols/imap/thread.ts";
import { ThreadLinks } from "../../../../src/protocols/imap/thread-links.ts";
import { threadTree } from "../../../../src/protocols/imap/thread-tree.ts";
import { threadModel } from "./thread-model.ts";

interface Mail {
  readonly id?: string;
  readonly refs?: readonly string[];
  readonly subject?: string;
  readonly reply?: boolean;
  readonly date?: number;
}

/** Names as numbers, "" and nothing as 0. */
function rowsOf(mails: readonly Mail[]): readonly ThreadRow[] {
  const numbers = new Map<string, number>();
  const numberOf = (name: string | undefined) => {
    if (name === undefined || name === "") return 0;
    const number = numbers.get(name) ?? numbers.size + 1;
    numbers.set(name, number);
    return number;
  };
  return mails.map(({ id, refs = [], subject, reply = false, date }, i) => ({
    uid: i + 1,
    ids: [numberOf(id), ...refs.map(numberOf)],
    subject: numberOf(subject === undefined || subject === "" ? undefined : `subject ${subject}`),
    isReply: reply,
    sentS: date ?? i,
  }));
}

async function threads(rows: readonly ThreadRow[], maxPlaces?: number): Promise<string> {
  const links = new ThreadLinks(rows.length, maxPlaces);
  for (const row of rows) links.add(row, row.uid);
  const steps = threadTree(links);
  let step = steps.next();
  while (step.done !== true) step = steps.next();
  const texts: string[] = [];
  const output = { text: (text: string) => void texts.push(text), pressure: () => undefined };
  await writeThreads(output, step.value, new AbortController().signal);
  return texts.join("");
}

const CASES: ReadonlyArray<readonly [name: string, mails: readonly Mail[], answer: string]> = [
  ["nothing", [], ""],
  ["single messages", [{ id: "a" }, { id: "b" }, {}], " (1)(2)(3)"],
  ["a chain", [{ id: "a" }, { id: "b", refs: ["a"] }, { id: "c", refs: ["a", "b"] }], " (1 2 3)"],
  [
    "the example of RFC 5256 §4",
    [
      { id: "m2" },
      { id: "m3" },
      { id: "m6", refs: ["m3"] },
      { id: "m4", refs: ["m3", "m6"] },
      { id: "m23", refs: ["m3", "m6", "m4"] },
      { id: "m44", refs: ["m3", "m6"] },
      { id: "m7", refs: ["m3", "m6", "m44"] },
      { id: "m96", refs: ["m3", "m6", "m44", "m7"] },
    ],
    " (1)(2 3 (4 5)(6 7 8))",
  ],
  [
    "answers to a missing message",
    [
      { id: "a", refs: ["x"] },
      { id: "b", refs: ["x"] },
    ],
    " ((1)(2))",
  ],
  ["a single answer to a missing message", [{ id: "a", refs: ["x", "y"] }], " (1)"],
  [
    "missing messages in between",
    [{ id: "a" }, { id: "c", refs: ["a", "b"] }, { id: "d", refs: ["a", "b"] }],
    " (1 (2)(3))",
  ],
  ["an answer before what it answers", [{ id: "b", refs: ["a"] }, { id: "a" }], " (2 1)"],
  [
    "itself as its reference",
    [
      { id: "a", refs: ["a"] },
      { id: "b", refs: ["a", "a"] },
    ],
    " (1 2)",
  ],
  [
    "two that answer each other",
    [
      { id: "a", refs: ["b"] },
      { id: "b", refs: ["a"] },
    ],
    " (2 1)",
  ],
  [
    "a ring",
    [
      { id: "a", refs: ["c"] },
      { id: "b", refs: ["a"] },
      { id: "c", refs: ["b"] },
    ],
    " (3 1 2)",
  ],
  [
    "one id three times",
    [{ id: "a" }, { id: "a" }, { id: "a", refs: ["a"] }, { id: "b", refs: ["a"] }],
    " (1 (3)(4))(2)",
  ],
  [
    "what a message says of itself counts more than what others say",
    [{ id: "a" }, { id: "b" }, { id: "d", refs: ["a", "c"] }, { id: "c", refs: ["b"] }],
    " (1)(2 4 3)",
  ],
  [
    "the same subject, one is a reply",
    [
      { id: "a", subject: "s" },
      { id: "b", subject: "s", reply: true },
    ],
    " (1 2)",
  ],
  [
    "a reply that came first",
    [
      { id: "a", subject: "s", reply: true },
      { id: "b", subject: "s" },
    ],
    " (2 1)",
  ],
  [
    "the same subject, none is a reply",
    [
      { id: "a", subject: "s" },
      { id: "b", subject: "s" },
      { id: "c", subject: "s" },
    ],
    " ((1)(2)(3))",
  ],
  [
    "two threads with missing beginnings and one subject",
    [
      { id: "a", refs: ["x"], subject: "s", reply: true },
      { id: "b", refs: ["x"], subject: "s", reply: true },
      { id: "c", refs: ["y"], subject: "s", reply: true },
      { id: "d", refs: ["y"], subject: "s", reply: true },
    ],
    " ((1)(2)(3)(4))",
  ],
  [
    "a missing beginning and a message of its subject",
    [
      { id: "a", refs: ["x"], subject: "s", reply: true },
      { id: "b", refs: ["x"], subject: "s", reply: true },
      { id: "c", subject: "s" },
    ],
    " ((1)(2)(3))",
  ],
  ["empty subjects do not meet", [{ id: "a" }, { id: "b" }], " (1)(2)"],
  [
    "sorted by when they were sent, also below",
    [
      { id: "a", date: 9 },
      { id: "b", date: 5 },
      { id: "c", refs: ["a"], date: 3 },
      { id: "d", refs: ["a"], date: 1 },
    ],
    " (2)(1 (4)(3))",
  ],
  [
    "a missing beginning stands where its first answer stands",
    [
      { id: "a", refs: ["x"], date: 9 },
      { id: "b", date: 5 },
      { id: "c", refs: ["x"], date: 1 },
    ],
    " ((3)(1))(2)",
  ],
];

for (const [name, mails, answer] of CASES) {
  test(`THREAD: ${name}`, async () => {
    assert.equal(await threads(rowsOf(mails)), `* THREAD${answer}\r\n`);
    assert.equal(threadModel(rowsOf(mails)), `* THREAD${answer}\r\n`);
  });
}

const mail = fc.record({
  id: fc.constantFrom("", "a", "b", "c", "d", "e", "f", "g"),
  refs: fc.array(fc.constantFrom("a", "b", "c", "d", "e", "f", "g", "h"), { maxLength: 4 }),
  subject: fc.constantFrom("", "s", "t"),
  reply: fc.boolean(),
  date: fc.integer({ min: 0, max: 6 }),
});

test("THREAD answers as a plain reading of RFC 5256 does", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(mail, { maxLength: 12 }), async mails => {
      const rows = rowsOf(mails);
      assert.equal(await threads(rows), threadModel(rows));
    }),
    { numRuns: 3000 },
  );
});

test("THREAD has every message once, whatever they refer to", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(mail, { maxLength: 60 }), async mails => {
      const answer = await threads(rowsOf(mails));
      const numbers = (answer.match(/\d+/gu) ?? []).map(Number).sort((a, b) => a - b);
      assert.deepEqual(
        numbers,
        mails.map((_, i) => i + 1),
      );
    }),
  );
});

test("THREAD of a chain of 10 000, in and against its order", async () => {
  const chain = Array.from({ length: 10_000 }, (_, i) => ({
    id: `m${i}`,
    refs: i === 0 ? [] : [`m${i - 1}`],
    date: i,
  }));
  const numbers = chain.map((_, i) => i + 1);
  assert.equal(await threads(rowsOf(chain)), `* THREAD (${numbers.join(" ")})\r\n`);
  assert.equal(await threads(rowsOf([...chain].reverse())), `* THREAD (${numbers.reverse().join(" ")})\r\n`);
});

test("THREAD nests as deep as branches go", async () => {
  const mails = Array.from({ length: 5000 }, (_, i): readonly Mail[] => [
    { id: `m${i}`, refs: i === 0 ? [] : [`m${i - 1}`] },
    { id: `n${i}`, refs: i === 0 ? [] : [`m${i - 1}`] },
  ]).flat();
  const answer = await threads(rowsOf(mails));
  assert.equal(answer.match(/\(/gu)?.length, answer.match(/\)/gu)?.length);
  assert.equal(answer.match(/\d+/gu)?.length, mails.length);
});

test("THREAD ends when there are more message ids than it may hold", async () => {
  const rows = rowsOf([{ id: "a", refs: ["b", "c"] }, { id: "d" }]);
  assert.equal(await threads(rows, 4), "* THREAD (1)(2)\r\n");
  await assert.rejects(threads(rows, 3), { code: "too_many" });
});
