/** Arguments of SELECT and EXAMINE. Pure. Source: RFC 3501 §6.3.1; RFC 7162 §3.1.8, §3.2.5, §7. */
import type { Steps } from "../../core/steps.ts";
import type { Lexer } from "./lexer.ts";
import { parseMailbox } from "./mailbox-name.ts";
import { parseModseq } from "./parse-modseq.ts";
import type { SequenceSet } from "./sequence-set.ts";
import { ImapSyntaxError } from "./syntax-error.ts";

export interface SelectCommand {
  readonly kind: "SELECT" | "EXAMINE";
  /** Unicode. */
  readonly mailbox: string;
  readonly condstore: boolean;
  readonly qresync: QresyncRequest | undefined;
}

/** What a client remembers of a mailbox that it comes back to. No set has a `*`. */
export interface QresyncRequest {
  readonly uidValidity: number;
  readonly modseq: number;
  /** Undefined: all UIDs. */
  readonly knownUids: SequenceSet | undefined;
  /** Some sequence numbers and their UIDs, both ascending (RFC 7162 §7): the first belongs to the first, and so on. */
  readonly match: { readonly numbers: SequenceSet; readonly uids: SequenceSet } | undefined;
}

type Params = Pick<SelectCommand, "condstore" | "qresync">;

/** @param lexer  behind the name of the command */
export function* parseSelect(lexer: Lexer, kind: SelectCommand["kind"]): Steps<SelectCommand> {
  lexer.space();
  const mailbox = parseMailbox(lexer);
  if (lexer.atEnd) return { kind, mailbox, condstore: false, qresync: undefined };
  lexer.space();
  if (lexer.atEnd) return { kind, mailbox, condstore: false, qresync: undefined };
  return { kind, mailbox, ...(yield* parseParams(lexer)) };
}

function* parseParams(lexer: Lexer): Steps<Params> {
  lexer.expect("(");
  let condstore = false;
  let qresync: QresyncRequest | undefined;
  do {
    const name = lexer.keyword();
    if (name === "CONDSTORE" && !condstore) condstore = true;
    else if (name === "QRESYNC" && qresync === undefined) qresync = yield* parseQresync(lexer);
    else throw new ImapSyntaxError("Unknown or repeated parameter");
  } while (isNext(lexer));
  return { condstore, qresync };
}

/** @returns false at the closing parenthesis, which is taken */
function isNext(lexer: Lexer): boolean {
  if (lexer.skip(")")) return false;
  lexer.space();
  return true;
}

function* parseQresync(lexer: Lexer): Steps<QresyncRequest> {
  lexer.space();
  lexer.expect("(");
  const uidValidity = lexer.number();
  lexer.space();
  const modseq = parseModseq(lexer);
  let knownUids: SequenceSet | undefined;
  let more = isNext(lexer);
  if (more && !lexer.sees("(")) {
    knownUids = yield* parseKnown(lexer);
    more = isNext(lexer);
  }
  const match = more ? yield* parseMatch(lexer) : undefined;
  if (more) lexer.expect(")");
  return { uidValidity, modseq, knownUids, match };
}

function* parseMatch(lexer: Lexer): Steps<QresyncRequest["match"]> {
  lexer.expect("(");
  const numbers = yield* parseKnown(lexer);
  lexer.space();
  const uids = yield* parseKnown(lexer);
  lexer.expect(")");
  return { numbers, uids };
}

function* parseKnown(lexer: Lexer): Steps<SequenceSet> {
  const set = yield* lexer.sequenceSet();
  if (set.star !== undefined) throw new ImapSyntaxError('"*" is not allowed here');
  return set;
}
