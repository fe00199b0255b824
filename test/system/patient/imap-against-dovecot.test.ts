/**
 * Every FETCH item and every SEARCH key, asked of our service and of a Dovecot with the same messages: generated ones, torture, and
 * a sample of the mail corpus. What differs must have its reason in `test/lib/imap-differs.ts`, and each reason is still needed.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { corpusThere, readCorpus } from "../../lib/corpus.ts";
import { differences } from "../../lib/imap-compare.ts";
import { FETCH_RULES, partNumbers } from "../../lib/imap-differs.ts";
import { type ImapPair, SIDES, startImapPair } from "../../lib/imap-pair.ts";
import { BROKEN, SEARCHES } from "../../lib/imap-questions.ts";
import { madeMail } from "../../lib/made-mail.ts";
import { type NamedMessage, TORTURE } from "../../lib/torture.ts";

const GENERATED = 240;
/** Every so many of the corpus, and all that its collectors call broken. */
const SAMPLE = 5;
const BROKEN_MAIL = /error_emails|malformed/u;
/** Larger ones cost time and show nothing more. */
const MAX_BYTES = 200_000;
/** Parts of one message that are asked for. */
const PARTS = 12;

const messages = sample();
let pair: ImapPair;
before(async () => {
  pair = await startImapPair(messages);
});
after(() => pair?.stop());

/** APPEND takes no NUL, and a Maildir has one kind of line end: LF becomes CRLF, and so does CR CR LF. */
function sample(): readonly NamedMessage[] {
  const corpus = corpusThere()
    ? readCorpus().filter(({ name }, i) => i % SAMPLE === 0 || BROKEN_MAIL.test(name))
    : [];
  const isPlain = (text: string) => !text.includes("\0") && !/(?<!\r)\n|\r\r\n/u.test(text);
  return [...madeMail(GENERATED), ...TORTURE, ...corpus].filter(
    ({ bytes }) => bytes.length > 0 && bytes.length < MAX_BYTES && isPlain(bytes.toString("latin1")),
  );
}

function sectionsFor(message: NamedMessage): readonly string[] {
  const whole = [
    "[]",
    "[HEADER]",
    "[TEXT]",
    "[]<0.20>",
    "[]<5.100000>",
    "[]<0.4294967295>",
    "[TEXT]<3.9>",
    "[HEADER]<7.40>",
  ];
  const fields = ['(Subject "TO" x-test)', "(nosuchfield)"].flatMap(names => [
    `[HEADER.FIELDS ${names}]`,
    `[HEADER.FIELDS.NOT ${names}]`,
  ]);
  const parts = partNumbers(message).slice(0, PARTS);
  const ofParts = [...parts, `${parts[0] ?? 1}.1`, "99"].flatMap(part => [
    `[${part}]`,
    `[${part}.MIME]`,
    `[${part}.HEADER]`,
    `[${part}.TEXT]`,
    `[${part}.HEADER.FIELDS (FROM)]`,
    `[${part}.HEADER.FIELDS.NOT (FROM)]`,
    `[${part}]<1.11>`,
  ]);
  return [...whole, "[TEXT]<999999.1>", "[HEADER.FIELDS (SUBJECT)]<2.5>", ...fields, ...ofParts];
}

async function compareItems(command: (uid: number, message: NamedMessage) => string): Promise<Set<string>> {
  const used = new Set<string>();
  const unknown: unknown[] = [];
  for (const [i, message] of messages.entries()) {
    const { ours, dovecot } = await pair.both(command(i + 1, message));
    for (const side of SIDES)
      assert.match((side === "ours" ? ours : dovecot).at(-1) ?? "", /^OK/u, message.name);
    for (const difference of differences(ours[0] ?? "", dovecot[0] ?? "")) {
      const rule = FETCH_RULES.find(each => each.covers(difference, message));
      if (rule === undefined)
        unknown.push({
          message: message.name,
          ...difference,
          ours: String(difference.ours).slice(0, 200),
          theirs: String(difference.theirs).slice(0, 200),
        });
      else used.add(rule.name);
    }
  }
  assert.deepEqual(unknown.slice(0, 20), []);
  return used;
}

test("every FETCH item, whole messages, every part and partials are told as Dovecot tells them", async () => {
  const basic =
    "UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY BODYSTRUCTURE RFC822 RFC822.HEADER RFC822.TEXT";
  const used = await compareItems((uid, message) => {
    const sections = sectionsFor(message).map(section => `BODY.PEEK${section}`);
    return `UID FETCH ${uid} (${basic} ${sections.join(" ")})`;
  });
  const unused = FETCH_RULES.map(({ name }) => name).filter(name => !used.has(name));
  // Without the corpus not all kinds of broken mail are there.
  if (corpusThere()) assert.deepEqual(unused, []);
});

test("ALL, FAST and FULL are the same items", async () => {
  for (const macro of ["ALL", "FAST", "full"]) await compareItems(number => `FETCH ${number} ${macro}`);
});

test("every SEARCH key finds what Dovecot finds", async () => {
  const wrong: string[] = [];
  for (const { keys, differs } of SEARCHES) {
    for (const uid of ["", "UID "]) {
      const { ours, dovecot } = await pair.both(`${uid}SEARCH ${keys}`);
      const [a, b] = [numbers(ours), numbers(dovecot)];
      assert.match(ours.at(-1) ?? "", /^OK/u, keys);
      if (JSON.stringify(a) === JSON.stringify(b) && differs === undefined) continue;
      const [more, less] = [picked(a.filter(n => !b.includes(n))), picked(b.filter(n => !a.includes(n)))];
      if (differs !== undefined && ours.at(-1)?.startsWith("OK") && differs.covers(more, less)) continue;
      const names = (list: readonly NamedMessage[]) =>
        list
          .slice(0, 8)
          .map(({ name }) => name)
          .join("; ");
      wrong.push(
        `${uid}${keys}: ${more.length} more: ${names(more)}, ${less.length} less: ${names(less)} ${ours.at(-1)} ${dovecot.at(-1)}`,
      );
    }
  }
  assert.deepEqual(wrong, []);
});

function picked(list: readonly number[]): readonly NamedMessage[] {
  return list.flatMap(number => messages[number - 1] ?? []);
}

function numbers(answers: readonly string[]): readonly number[] {
  const found = answers.filter(line => line.startsWith("* SEARCH")).join(" ");
  return [...found.matchAll(/\d+/gu)].map(Number).sort((a, b) => a - b);
}

test("commands that break the formal syntax are answered with the same word, or for a reason with another", async () => {
  const wrong: string[] = [];
  for (const { command, differs } of BROKEN) {
    const { ours, dovecot } = await pair.both(command);
    const [a, b] = [ours, dovecot].map(answers => answers.at(-1)?.split(" ", 1)[0]);
    if (a === b ? differs !== undefined : a !== differs?.ours)
      wrong.push(`${command}: ${ours.at(-1)} | ${dovecot.at(-1)}`);
    // Whatever was said, both still listen, and have the mailbox open.
    await pair.both("EXAMINE INBOX");
  }
  assert.deepEqual(wrong, []);
});
