/** SEARCH keys and broken commands that are put to our service and to Dovecot, with the reason where the answers differ. */
import type { NamedMessage } from "./torture.ts";

type Messages = readonly NamedMessage[];

interface SearchReason {
  readonly why: string;
  /** @param more  only we find them @param less  only Dovecot finds them */
  covers(more: Messages, less: Messages): boolean;
}

export interface SearchQuestion {
  readonly keys: string;
  readonly differs?: SearchReason;
}

const textOf = ({ bytes }: NamedMessage) => bytes.toString("latin1");
const headOf = (message: NamedMessage) => textOf(message).split("\r\n\r\n", 1)[0] ?? "";
const isUnknownEncoding = (message: NamedMessage) => /transfer-encoding: X-Unknown/iu.test(textOf(message));
/** UTF-8 and other octets in one part. In base64 they are not seen, but it is made of the same lines. */
const isMixed = (message: NamedMessage) => /\xe9|base64/u.test(textOf(message));

const UNKNOWN_ENCODING: SearchReason = {
  why: "a part in an encoding that nobody knows is searched as it stands; Dovecot passes it over",
  covers: (more, less) => [...more, ...less].every(isUnknownEncoding),
};
const MIXED_CHARSETS: SearchReason = {
  why: "text without a charset is UTF-8 when all of it is, else Windows-1252; Dovecot takes it for UTF-8 with holes",
  covers: (more, less) =>
    more.every(message => isUnknownEncoding(message) || isMixed(message)) && less.every(isMixed),
};
const NO_DATE: SearchReason = {
  why: "without a Date field that can be read there is no day before which a message was sent; Dovecot takes 1970 for it",
  covers: (more, less) => more.length === 0 && !less.some(message => hasDate(headOf(message))),
};
const OLD_DATE: SearchReason = {
  why: "Dovecot knows no days before 1970",
  covers: (more, less) =>
    less.length === 0 && more.every(message => /^date:.*\b(?:19[0-6]\d|0\d{3})\b/imu.test(headOf(message))),
};
const HEADER_TEXT: SearchReason = {
  why: "TEXT sees each field as `Name: value`, white space before the colon and in front of the first field taken away",
  covers: (more, less) =>
    more.every(({ name }) => name === "white space before the colon") &&
    less.every(({ name }) => name === "leading tab"),
};

const BROKEN_TIME: SearchReason = {
  why: "a day that can be read counts although the time after it is broken: keys ask for days; Dovecot reads all or nothing",
  covers: (more, less) => less.length === 0 && !more.some(message => hasDate(headOf(message))),
};

const WHOLE_DATE =
  /^date:\s*(?:\w{3},\s*)?\d{1,2}\s+[a-z]{3}[a-z]*\s+\d{2,4}\s+(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d)?(?:\s|$)/iu;
/** Of several Date fields the first one counts, on both sides. */
const hasDate = (header: string) => WHOLE_DATE.test(/^date:.*/imu.exec(header)?.[0] ?? "");

const octets = (bytes: Buffer) => `{${bytes.length}+}\r\n${bytes.toString("latin1")}`;
const literal = (text: string) => octets(Buffer.from(text));
/** 日本 in ISO-2022-JP. */
const JIS = octets(Buffer.from("1b2442467c4b5c1b2842", "hex"));
/** Commands as lines of text. */
const lines = (text: string) => text.split("\n").flatMap(line => (line.trim() === "" ? [] : [line.trim()]));
const ask = (keys: readonly string[], differs?: SearchReason): readonly SearchQuestion[] =>
  keys.map(each => (differs === undefined ? { keys: each } : { keys: each, differs }));
/** Several one-word or short keys on a line. */
const row = (text: string) => text.split(" | ");

export const SEARCHES: readonly SearchQuestion[] = [
  ...ask(row("ALL | ANSWERED | UNANSWERED | DELETED | UNDELETED | DRAFT | UNDRAFT | FLAGGED | UNFLAGGED")),
  ...ask(row("SEEN | UNSEEN | seen | KEYWORD work | UNKEYWORD work | KEYWORD $later | keyword WORK")),
  ...ask(row("KEYWORD nosuch | UNKEYWORD nosuch")),
  ...ask(
    row("1 | 1:5 | 5:1 | * | 1,3,5:7 | 1:* | 2:4 3:9 | 99999 | UID 1:10 | UID 10:1 | UID * | UID 99999:*"),
  ),
  ...ask(
    row("LARGER 500 | SMALLER 500 | LARGER 0 | SMALLER 0 | LARGER 4294967295 | LARGER 484 | SMALLER 484"),
  ),
  ...ask(row("BEFORE 5-Jan-2025 | ON 5-Jan-2025 | SINCE 5-Jan-2025 | ON 1-Jan-2025 | BEFORE 1-Jan-2025")),
  ...ask(row('ON "05-Jan-2025" | SENTON 21-Nov-1997 | SENTON 1-Feb-2025')),
  ...ask(row("SENTON 2-Feb-2025 | SENTON 13-Feb-1975")),
  ...ask(row("SENTSINCE 1-Jan-1998 | SENTSINCE 2-Feb-2025"), BROKEN_TIME),
  ...ask(["SENTBEFORE 1-Jan-1998"], NO_DATE),
  ...ask(["SENTBEFORE 1-Jan-1970"], OLD_DATE),
  ...ask(
    row("FROM example.org | FROM PIRARD | TO group | CC c@example.org | BCC undisclosed | SUBJECT plain"),
  ),
  ...ask(row('SUBJECT PLAIN | SUBJECT "plain words" | SUBJECT "" | FROM "" | CC "" | HEADER X-TEST one')),
  ...ask(
    row('HEADER x-test "" | HEADER nosuch "" | HEADER Message-ID 467963034 | HEADER Content-Type multipart'),
  ),
  ...ask(row('HEADER Reply-To d@example.org | SUBJECT torture | SUBJECT "onto a second"')),
  ...ask(['SUBJECT "with \\"quotes\\""', "SUBJECT {5+}\r\nplain", "CHARSET US-ASCII SUBJECT plain"]),
  ...ask(["日本語", "CAFÉ AU"].map(text => `CHARSET UTF-8 SUBJECT ${literal(text)}`)),
  ...ask(["山田", "andré"].map(text => `CHARSET UTF-8 FROM ${literal(text)}`)),
  ...ask(
    row(`SUBJECT ${JIS} | NOT SUBJECT ${JIS} | HEADER Subject ${JIS} | OR (SEEN SUBJECT ${JIS}) 1:3`).map(
      keys => `CHARSET ISO-2022-JP ${keys}`,
    ),
  ),
  ...ask(["CHARSET ISO-2022-JP SUBJECT plain", "CHARSET iso-2022-jp ALL"]),
  ...ask([`CHARSET utf-8 OR SEEN SUBJECT ${literal("日本")}`]),
  ...ask(row('BODY needle | BODY NEEDLE | TEXT needle | BODY "words in a line"'), UNKNOWN_ENCODING),
  ...ask([`CHARSET UTF-8 BODY ${literal("café in UTF-8")}`], MIXED_CHARSETS),
  ...ask(['TEXT "From: "'], HEADER_TEXT),
  ...ask(row("BODY nosuchword | TEXT nosuchword | TEXT Message-ID | TEXT 467963034 | BODY warranty")),
  ...ask(row("NOT SEEN | NOT NOT SEEN | OR SEEN FLAGGED | OR (SEEN FLAGGED) (DRAFT NOT DELETED) | (ALL)")),
  ...ask(
    row("((ALL) (SEEN)) | SEEN FLAGGED | NOT (SEEN FLAGGED) | OR OR 1 2 3 | NOT 1:5 | UID 5:10 NOT UID 7"),
  ),
  ...ask(row("OR FROM pirard SUBJECT plain | SEEN NOT SUBJECT plain")),
  ...ask(row("(1:9 NOT (3,5)) OR 2 7 | OR (UID 1:4 SEEN) (6:8 UNSEEN) | NOT (OR SEEN (FLAGGED 1:*))")),
  ...ask(row("1:* NOT UID 5:* | *:1 1:3 | 3:2,9,1:2 | NOT NOT NOT 4:* | (((NOT (1:3)))) | (1) (2)")),
  ...ask(row("OR RECENT OLD | RECENT OLD | NEW OLD | NEW SEEN | UNDELETED UNDRAFT UNFLAGGED UNANSWERED")),
  ...ask(row("SEEN BODY needle | NOT BODY needle | NOT TEXT needle | OR BODY needle SEEN"), UNKNOWN_ENCODING),
  ...ask(["SUBJECT plain BODY needle NOT DELETED"], UNKNOWN_ENCODING),
  ...ask(row("OLDER 1000000 | YOUNGER 1000000 | OLDER 60 | YOUNGER 4294967295 | OLDER 4294967295")),
];

export interface BrokenCommand {
  readonly command: string;
  /** Our word, where Dovecot says another. */
  readonly differs?: { readonly ours: "NO" | "BAD"; readonly why: string };
}

const alike = (text: string): readonly BrokenCommand[] => lines(text).map(command => ({ command }));
const answeredBy = (ours: "NO" | "BAD", why: string, text: string): readonly BrokenCommand[] =>
  lines(text).map(command => ({ command, differs: { ours, why } }));

export const BROKEN: readonly BrokenCommand[] = [
  ...alike(`
    FOO
    UID STORE
    FETCH
    FETCH 1
    FETCH x FLAGS
    FETCH 0 FLAGS
    FETCH 1,,2 FLAGS
    FETCH 1: FLAGS
    FETCH :1 FLAGS
    FETCH 4294967296 FLAGS
    FETCH -1 FLAGS
    FETCH 99999 FLAGS
    FETCH 1 NOSUCH
    FETCH 1 (FLAGS
    FETCH 1 FLAGS)
    FETCH 1 FLAGS UID
    FETCH 1 ()
    FETCH 1 (ALL)
    FETCH 1 (FLAGS ALL)
    FETCH 1 BODY[
    FETCH 1 BODY.PEEK
    FETCH 1 BODY[1
    FETCH 1 BODY[.1]
    FETCH 1 BODY[1..2]
    FETCH 1 BODY[1.]
    FETCH 1 BODY[a]
    FETCH 1 BODY[MIME]
    FETCH 1 BODY[1.MIME.1]
    FETCH 1 BODY[TEXT.1]
    FETCH 1 BODY[HEADER.1]
    FETCH 1 BODY[HEADER.FIELDS]
    FETCH 1 BODY[HEADER.FIELDS ()]
    FETCH 1 BODY[HEADER.FIELDS (a]
    FETCH 1 BODY[HEADER.FIELDS.NO (a)]
    FETCH 1 BODY[]<
    FETCH 1 BODY[]<a.b>
    FETCH 1 BODY[]<0.1
    FETCH 1 BODY[]<0.1>>
    FETCH 1 BODY[]<-1.5>
    FETCH 1 BODY[]<1.2.3>
    FETCH 1 RFC822.PEEK
    FETCH 1 RFC822[]
    UID
    UID FOO 1
    UID FETCH
    UID FETCH 0 FLAGS
    UID FETCH 1
    UID NOOP
    UID SEARCH`),
  ...alike(`
    SEARCH
    SEARCH NOSUCH
    SEARCH FROM
    SEARCH (ALL
    SEARCH ALL)
    SEARCH ()
    SEARCH NOT
    SEARCH OR
    SEARCH OR ALL
    SEARCH SINCE
    SEARCH SINCE 1-Foo-2025
    SEARCH SINCE 1-Jan-25
    SEARCH SINCE Jan-1-2025
    SEARCH UID
    SEARCH UID 0
    SEARCH UID x
    SEARCH 0
    SEARCH LARGER
    SEARCH LARGER x
    SEARCH LARGER -1
    SEARCH KEYWORD
    SEARCH HEADER
    SEARCH HEADER x
    SEARCH OLDER 0
    SEARCH OLDER x
    SEARCH CHARSET
    SEARCH CHARSET UTF-8
    SEARCH CHARSET X-NOSUCH ALL
    SEARCH FROM "unfinished`),
  ...alike(`
    LIST
    LIST ""
    LIST "" (
    LIST "" "unfinished
    LIST (NOSUCH) "" *
    LIST (RECURSIVEMATCH) "" *
    LIST "" * RETURN
    LIST "" * RETURN ()
    LIST "" * RETURN (NOSUCH)
    LIST "" * RETURN (STATUS)
    LIST "" * NOSUCH
    LIST () "" *
    LSUB
    LSUB ""
    STATUS
    STATUS INBOX
    STATUS INBOX ()
    STATUS INBOX (NOSUCH)
    STATUS INBOX MESSAGES
    STATUS Nosuch (MESSAGES)
    SELECT
    EXAMINE
    EXAMINE Nosuch
    EXAMINE ""
    EXAMINE INBOX (NOSUCH)
    EXAMINE (
    SUBSCRIBE
    UNSUBSCRIBE
    LOGIN a b
    LOGIN
    AUTHENTICATE PLAIN
    AUTHENTICATE
    ID (
    ID ()
    ID NIL`),
  ...answeredBy(
    "BAD",
    "the formal syntax of RFC 3501 §9, and of RFC 2971 §3.1 for ID, does not know it",
    `
    NOOP extra
    CAPABILITY extra
    CHECK extra
    CLOSE extra
    UNSELECT extra
    NAMESPACE extra
    EXAMINE INBOX extra
    FETCH 1 BODY[0]
    FETCH 1 BODY[]<5>
    FETCH 1 BODY[]<0.0>
    SEARCH 1,
    SEARCH SINCE 32-Jan-2025
    ID
    ID x
    ID ("a")
    ID ("a" b)`,
  ),
  ...answeredBy(
    "NO",
    "what would change mail is refused before its arguments are looked at",
    `
    UID EXPUNGE x`,
  ),
  ...answeredBy("BAD", "one word at least is to be named (RFC 5161 §3.1)", "ENABLE"),
  ...answeredBy("BAD", "one pattern at least is to be named (RFC 5258 §6)", 'LIST "" ()'),
  ...answeredBy(
    "BAD",
    "a name that is no modified UTF-7 is none (RFC 3501 §5.1.3)",
    `
    EXAMINE &AOk
    EXAMINE &
    EXAMINE &AOk-&
    EXAMINE "&Jjo!"`,
  ),
];
