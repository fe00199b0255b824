import assert from "node:assert/strict";
import { test } from "node:test";
import { messageIds } from "../../../../src/core/order/message-ids.ts";
import { makeMessageKeys } from "../../../../src/core/order/message-keys.ts";
import { sentSeconds } from "../../../../src/core/order/sent-date.ts";

/** Texts as small numbers, in the order they were asked for. */
function numbering() {
  const texts: string[] = [];
  const hash = (text: string) => (texts.includes(text) ? texts.indexOf(text) : texts.push(text) - 1) + 1;
  return { texts, hash };
}

const keys = (header: string, hash = numbering().hash) =>
  makeMessageKeys(Buffer.from(header.replaceAll("\n", "\r\n"), "latin1"), hash);

const DATES: ReadonlyArray<readonly [date: string, iso: string | undefined]> = [
  ["Fri, 21 Nov 1997 09:55:06 -0600", "1997-11-21T15:55:06Z"],
  ["21 Nov 97 09:55 GMT", "1997-11-21T09:55:00Z"],
  ["1 Jan 49 00:00:00 +0000", "2049-01-01T00:00:00Z"],
  ["1 Jan 100 00:00:00 +0000", "2000-01-01T00:00:00Z"],
  ["Thu, 13 Feb 1969 23:32 -0330 (Newfoundland Time)", "1969-02-14T03:02:00Z"],
  ["Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", "1997-11-21T15:55:06Z"],
  ["Fri, 21 Nov 1997 09:55:06 EST", "1997-11-21T14:55:06Z"],
  ["Fri, 21 Nov 1997 09:55:06 NOSUCH", "1997-11-21T09:55:06Z"],
  ["Fri, 21 Nov 1997 09:55:06", "1997-11-21T09:55:06Z"],
  ["Fri, 21 Nov 1997 99:55:06 -0600", "1997-11-21T00:00:00Z"],
  ["Fri, 21 Nov 1997", "1997-11-21T00:00:00Z"],
  ["Fri, 31 Feb 1997 09:55:06 -0600", undefined],
  ["21 Foo 1997 09:55:06 -0600", undefined],
  ["yesterday", undefined],
  ["", undefined],
];

for (const [date, iso] of DATES) {
  test(`sentSeconds() of ${JSON.stringify(date)} is ${iso ?? "nothing"}`, () => {
    assert.equal(sentSeconds(date), iso === undefined ? undefined : Date.parse(iso) / 1000);
  });
}

const IDS: ReadonlyArray<readonly [value: string, ids: readonly string[]]> = [
  ["<a@b>", ["a@b"]],
  ["<a@b> <c@d>", ["a@b", "c@d"]],
  ["<a@b><c@d>", ["a@b", "c@d"]],
  ["words <a@b>, more", ["a@b"]],
  ['<"01KF8JCEOCBS0045PS"@xxx.yyy.com>', ["01KF8JCEOCBS0045PS@xxx.yyy.com"]],
  ['<"a\\"b"@c>', ['a"b@c']],
  ["<a @ b>", ["a@b"]],
  ["<a@b <c@d>", ["c@d"]],
  ["<nosign> <a@b>", ["a@b"]],
  ["<@b> <a@> <>", []],
  ['<"never closed@b>', []],
  ["a@b", []],
  [`<${"a".repeat(2000)}@b> <c@d>`, ["c@d"]],
];

for (const [value, ids] of IDS) {
  test(`messageIds() of ${value.slice(0, 60)}`, () => assert.deepEqual(messageIds(value, 100), ids));
}

test("messageIds() of a hostile field takes no more than a moment", () => {
  for (const piece of ["<", '<"', "<a", '<"a\\', "<a@b", "<a@b>"]) {
    const startedAt = performance.now();
    messageIds(piece.repeat(30_000), 10_000);
    assert.ok(performance.now() - startedAt < 500, piece);
  }
});

test("makeMessageKeys() reads what a message is sorted by", () => {
  assert.deepEqual(
    keys(`Date: Fri, 21 Nov 1997 09:55:06 -0600
From: "Ann, A." <ann@a.test>, bob@b.test
To: Team: carol@c.test;
Cc: =?utf-8?q?D?= <dora@d.test>
Subject: Re: [list] caf\xc3\xa9

`),
    {
      sentS: Date.parse("1997-11-21T15:55:06Z") / 1000,
      subject: "CAFE\u0301",
      from: "ANN",
      to: "TEAM",
      cc: "DORA",
      isReply: true,
      subjectHash: 1,
      ids: [0],
    },
  );
});

test("makeMessageKeys() of an empty header has nothing", () => {
  assert.deepEqual(keys(""), {
    sentS: null,
    subject: "",
    from: "",
    to: "",
    cc: "",
    isReply: false,
    subjectHash: 0,
    ids: [0],
  });
});

test("makeMessageKeys() takes In-Reply-To only where References has no id, and its first id alone", () => {
  const idsOf = (header: string) => {
    const { texts, hash } = numbering();
    return keys(`${header}\n\n`, hash).ids.map(id => texts[id - 1] ?? "");
  };
  assert.deepEqual(idsOf("Message-ID: <m@x>\nReferences: <a@x> <b@x>\nIn-Reply-To: <c@x>"), [
    "m@x",
    "a@x",
    "b@x",
  ]);
  assert.deepEqual(idsOf("Message-ID: <m@x>\nReferences: none\nIn-Reply-To: your mail <c@x> <d@x>"), [
    "m@x",
    "c@x",
  ]);
  assert.deepEqual(idsOf("Message-ID: broken\nReferences: <a@x>"), ["", "a@x"]);
});

test("makeMessageKeys() keeps the root and the nearest of many references, and no more than 51 ids", () => {
  const { texts, hash } = numbering();
  const references = Array.from({ length: 500 }, (_, i) => `<r${i}@x>`).join("\n ");
  const { ids } = keys(`Message-ID: <m@x>\nReferences: ${references}\n\n`, hash);
  const names = ids.map(id => texts[id - 1]);
  assert.equal(ids.length, 51);
  assert.deepEqual(names.slice(0, 3), ["m@x", "r0@x", "r451@x"]);
  assert.equal(names.at(-1), "r499@x");
});

test("makeMessageKeys() cuts long keys between characters, and threads by the whole subject", () => {
  const long = "\u{1f600}".repeat(300);
  const one = keys(`Subject: a${Buffer.from(long).toString("latin1")}1\n\n`);
  assert.equal(one.subject.length, 255);
  assert.ok(one.subject.isWellFormed?.() ?? true);
  const { hash } = numbering();
  const two = [1, 2].map(n => keys(`Subject: ${"x".repeat(300)}${n}\n\n`, hash));
  assert.equal(two[0]?.subject, two[1]?.subject);
  assert.notEqual(two[0]?.subjectHash, two[1]?.subjectHash);
});

test("makeMessageKeys() counts the last Subject and the first From, as ENVELOPE does", () => {
  const { subject, from } = keys("Subject: one\nSubject: two\nFrom: a@x\nFrom: b@x\n\n");
  assert.deepEqual([subject, from], ["TWO", "A"]);
});
