/**
 * Fuzz target: framer, lexer and command parser of the IMAP server. `run` throws when an invariant does not hold for an
 * input: any chunking gives the same events, nothing but a syntax error is thrown, what was parsed can be evaluated, and
 * no more than the limits is held.
 */
import { deepStrictEqual, ok } from "node:assert/strict";
import { atOnce } from "../../src/core/steps.ts";
import { parseCommand, tagOf } from "../../src/protocols/imap/command.ts";
import { planFetch } from "../../src/protocols/imap/fetch-plan.ts";
import { CommandFramer, type FrameEvent } from "../../src/protocols/imap/framer.ts";
import { DEFAULT_LIMITS } from "../../src/protocols/imap/limits.ts";
import { matchesPattern } from "../../src/protocols/imap/mailbox-pattern.ts";
import { SearchProgram } from "../../src/protocols/imap/search-evaluate.ts";
import { countIndexes, indexesOfUids, uidsAt } from "../../src/protocols/imap/sequence-set.ts";
import { ImapSyntaxError } from "../../src/protocols/imap/syntax-error.ts";
import { snapshotOf } from "../lib/snapshots.ts";
import { imapWire } from "./lib/imap-grammar.ts";
import type { Random } from "./lib/random.ts";

export const name = "imap-parser";
export const words = [
  "\r\n",
  "{3+}\r\n",
  "{3}\r\n",
  "(",
  ")",
  '"',
  "\\",
  "BODY[",
  "]<1.2>",
  "1:*",
  "OR ",
  "NOT ",
  "UID ",
  "HEADER.FIELDS (",
  "CHARSET UTF-8 ",
  "NIL",
  "\0",
  "4294967295",
];

export function generate(random: Random): Uint8Array {
  return Buffer.from(imapWire(random), "latin1");
}

const SEEDS = [
  'a1 LOGIN "us\\"er" {3+}\r\np"w\r\n',
  "a2 AUTHENTICATE PLAIN AGFiYw==\r\nDONE\r\n",
  'a3 LIST (SUBSCRIBED RECURSIVEMATCH) "" ("INBOX" %/*) RETURN (STATUS (UNSEEN SIZE) CHILDREN)\r\n',
  'a4 UID FETCH 1:*,7,9:3 (FLAGS BODY.PEEK[1.2.HEADER.FIELDS.NOT (To "x y")]<5.10> RFC822.SIZE)\r\n',
  "a5 FETCH 2 FULL\na6 FETCH 1 BODY[TEXT]\r\n",
  'a7 UID SEARCH CHARSET UTF-8 OR (SUBJECT "x" NOT SEEN) (BEFORE 1-Feb-1994 UID 1:5) KEYWORD $a HEADER X {2}\r\nab OLDER 5\r\n',
  "a8 APPEND &ZeVnLIqe- (\\Seen) {4+}\r\n\r\n\r\n\r\na9 NOOP\r\n",
  'b1 ID ("name" NIL "x" "y")\r\nb2 STATUS &-x (MESSAGES UIDNEXT)\r\n',
  "b3 SELECT {99999999+}\r\n",
];

export const seeds: readonly Uint8Array[] = SEEDS.map(seed => Buffer.from(seed, "latin1"));

const LIMITS = { ...DEFAULT_LIMITS, lineBytes: 4096, literalBytes: 512, discardBytes: 2048 };
const VIEW = snapshotOf(
  Array.from({ length: 50 }, (_, i) => ({ uid: i * 3 + 1, flags: { system: 1, keywords: ["$a"] } })),
);

/** @param size  octets per chunk; 0: all at once */
function frame(input: Uint8Array, size: number): FrameEvent[] {
  const framer = new CommandFramer(LIMITS.discardBytes);
  const events: FrameEvent[] = [];
  const step = size === 0 ? Math.max(1, input.length) : size;
  for (let at = 0; at < input.length; at += step) {
    framer.push(Buffer.from(input.subarray(at, at + step)));
    for (let event = framer.next(LIMITS); event !== undefined; event = framer.next(LIMITS)) {
      events.push("bytes" in event ? { ...event, bytes: Buffer.from(event.bytes) } : event);
      if (event.kind === "overflow") return events;
    }
    ok(framer.buffered <= LIMITS.lineBytes + LIMITS.literalBytes + step, "holds more than the limits");
  }
  return events;
}

function parse(bytes: Buffer): void {
  ok(!/[\r\n]/u.test(tagOf(bytes)), "a tag that breaks the answer line");
  try {
    const { command } = parseCommand(bytes, LIMITS);
    if (command.kind === "FETCH") {
      const indexes = atOnce(indexesOfUids(command.set, VIEW));
      ok(countIndexes(indexes) === uidsAt(indexes, VIEW).length);
      for (const item of planFetch(command.items, command.uid).items) {
        if (item.kind === "section" || item.kind === "binary")
          ok(!/[^\x20-\x7e]/u.test(item.label), "a label that breaks the answer line");
      }
    } else if (command.kind === "SEARCH") {
      const program = new SearchProgram(command.request.key, VIEW, new Uint32Array(0), 0);
      for (let index = 0; index < VIEW.count; index += 1) program.matches({ index });
    } else if (command.kind === "LIST" || command.kind === "LSUB") {
      for (const pattern of command.request.patterns) matchesPattern(pattern, "INBOX/日本/a");
    }
  } catch (error) {
    if (!(error instanceof ImapSyntaxError)) throw error;
    ok(!/[^\x20-\x7e]/u.test(error.publicText), "a text that breaks the answer line");
  }
}

/** @throws {AssertionError} an invariant does not hold */
export function run(input: Uint8Array): void {
  const whole = frame(input, 0);
  deepStrictEqual(frame(input, 1 + (input.length % 7)), whole);
  for (const event of whole) if (event.kind === "command") parse(event.bytes);
  parse(Buffer.from(input));
}
