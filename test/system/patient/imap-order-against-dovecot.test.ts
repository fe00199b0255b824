/**
 * SORT and THREAD, asked of our service and of a Dovecot with the same messages: generated ones, torture, and a sample of the mail corpus.
 * Messages that stand elsewhere have their reason in `test/lib/order-differs.ts`, and each reason is still needed.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { SortCriterion } from "../../../src/core/ports/message-order.ts";
import { corpusThere, readCorpus } from "../../lib/corpus.ts";
import { type ImapPair, startImapPair } from "../../lib/imap-pair.ts";
import { madeMail } from "../../lib/made-mail.ts";
import { ORDER_REASONS } from "../../lib/order-differs.ts";
import { type NamedMessage, TORTURE } from "../../lib/torture.ts";

const GENERATED = 100;
/** Every so many of the corpus, and all that its collectors call broken. */
const SAMPLE = 5;
const BROKEN_MAIL = /error_emails|malformed/u;
const MAX_BYTES = 200_000;

const KEYS = ["ARRIVAL", "CC", "DATE", "FROM", "SIZE", "SUBJECT", "TO"] as const;

const messages = [...threaded(), ...sample()];
let pair: ImapPair;
before(async () => {
  pair = await startImapPair(messages);
});
after(() => pair?.stop());

function sample(): readonly NamedMessage[] {
  const corpus = corpusThere()
    ? readCorpus().filter(({ name }, i) => i % SAMPLE === 0 || BROKEN_MAIL.test(name))
    : [];
  const isPlain = (text: string) => !text.includes("\0") && !/(?<!\r)\n|\r\r\n/u.test(text);
  return [...madeMail(GENERATED), ...TORTURE, ...corpus].filter(
    ({ bytes }) => bytes.length > 0 && bytes.length < MAX_BYTES && isPlain(bytes.toString("latin1")),
  );
}

/** Threads with missing, doubled and circular ids, and subjects with all that replies put around them. */
function threaded(): readonly NamedMessage[] {
  const lines: ReadonlyArray<readonly [id: string, references: string, subject: string]> = [
    ["a1", "", "one"],
    ["a2", "<a1@t>", "Re: one"],
    ["a3", "<a1@t> <a2@t>", "RE: one"],
    ["a4", "<a1@t>", "Re: one"],
    ["b1", "<gone@t>", "two"],
    ["b2", "<gone@t>", "Re: two"],
    ["b3", "<gone@t> <gone2@t>", "Re: two"],
    ["c1", "<c2@t>", "ring"],
    ["c2", "<c3@t>", "ring"],
    ["c3", "<c1@t>", "ring"],
    ["d1", "", "twice"],
    ["d1", "", "another subject"],
    ["d2", "<d1@t>", "below one of two"],
    ["e1", "<e1@t>", "itself"],
    ["", "", "no id"],
    ["", "<a3@t>", "no id, but an answer"],
    ["f1", "", "[list] same"],
    ["f2", "", "Fwd: [list] same (fwd)"],
    ["f3", "", "[Fwd: Re: same]"],
    ["f4", "", "same"],
    ["f5", "", "Re[4]: same"],
    ["g1", '<"q u"@t>', "quoted"],
    ["h1", "broken <h2@t", "broken reference"],
    ["i1", "", ""],
    ["i2", "", "Re:"],
  ];
  return lines.map(([id, references, subject], i) => {
    const fields = [
      ...(id === "" ? [] : [`Message-ID: <${id}@t>`]),
      ...(references === "" ? [] : [`References: ${references}`]),
      `Subject: ${subject}`,
      `From: "Person ${i}" <p${(i * 7) % 5}@t.example>`,
      `Date: ${new Date(Date.UTC(2024, 0, 1 + ((i * 11) % 25), 8)).toUTCString()}`,
    ];
    return { name: `threaded ${i}`, bytes: Buffer.from(`${fields.join("\r\n")}\r\n\r\ntext\r\n`) };
  });
}

const coveredBy = (keys: readonly SortCriterion["key"][]) => {
  const reasons = ORDER_REASONS.filter(({ key }) => keys.includes(key));
  const isCovered = (message: NamedMessage) => reasons.some(reason => reason.covers(message));
  return messages.flatMap((message, i) => (isCovered(message) ? [i + 1] : []));
};

/** A set of UIDs, never empty. */
const without = (uids: readonly number[]) => (uids.length === 0 ? "ALL" : `NOT UID ${uids.join(",")}`);

async function answers(command: string): Promise<readonly [ours: string, dovecot: string]> {
  const { ours, dovecot } = await pair.both(command);
  assert.match(ours.at(-1) ?? "", /^OK/u, command);
  return [ours[0]?.trimEnd() ?? "", dovecot[0]?.trimEnd() ?? ""];
}

for (const key of KEYS) {
  test(`SORT by ${key} gives the order that Dovecot gives`, async () => {
    const search = without(coveredBy([key]));
    for (const criteria of [key, `REVERSE ${key}`, `${key} REVERSE SIZE`]) {
      for (const uid of ["", "UID "]) {
        const [ours, dovecot] = await answers(`${uid}SORT (${criteria}) UTF-8 ${search}`);
        assert.equal(ours, dovecot, criteria);
      }
    }
  });
}

test("SORT by several keys gives the order that Dovecot gives", async () => {
  const search = without(coveredBy(KEYS));
  for (const criteria of [
    "SUBJECT DATE",
    "FROM REVERSE DATE",
    "TO CC REVERSE SUBJECT",
    "REVERSE FROM SIZE",
  ]) {
    const [ours, dovecot] = await answers(`UID SORT (${criteria}) UTF-8 ${search}`);
    assert.equal(ours, dovecot, criteria);
  }
});

test("THREAD by REFERENCES gives the threads that Dovecot gives", async () => {
  for (const search of [without(coveredBy(KEYS)), "UID 1:25", "UID 2:20 NOT UID 9", "SUBJECT one"]) {
    for (const uid of ["", "UID "]) {
      const [ours, dovecot] = await answers(`${uid}THREAD REFERENCES UTF-8 ${search}`);
      assert.equal(ours, dovecot, search);
    }
  }
});

test("each reason for another place is still needed", async () => {
  if (!corpusThere()) return;
  for (const reason of ORDER_REASONS) {
    const covered = coveredBy([reason.key]);
    const own = messages.flatMap((message, i) => (reason.covers(message) ? [i + 1] : []));
    const search = without(covered.filter(uid => !own.includes(uid)));
    const [up, down] = [
      await answers(`UID SORT (${reason.key}) UTF-8 ${search}`),
      await answers(`UID SORT (REVERSE ${reason.key}) UTF-8 ${search}`),
    ];
    assert.ok(up[0] !== up[1] || down[0] !== down[1], reason.why);
  }
});

test("commands that break the syntax, and charsets that nobody knows, are answered with the same word", async () => {
  for (const command of [
    "SORT (DATE) X-NOSUCH ALL",
    "THREAD REFERENCES X-NOSUCH ALL",
    "SORT",
    "SORT (NOSUCH) UTF-8 ALL",
    "SORT (REVERSE) UTF-8 ALL",
    "SORT DATE UTF-8 ALL",
    "SORT (DATE) UTF-8 NOSUCH",
    "THREAD NOSUCH UTF-8 ALL",
    "THREAD REFERENCES",
    "UID SORT (DATE",
  ]) {
    const { ours, dovecot } = await pair.both(command);
    const [a, b] = [ours, dovecot].map(lines => lines.at(-1)?.split(" ", 1)[0]);
    assert.equal(a, b, `${command}: ${ours.at(-1)} | ${dovecot.at(-1)}`);
    await pair.both("EXAMINE INBOX");
  }
});
