/** IMAP commands by grammar, right ones and nearly right ones. */
import type { Random } from "./random.ts";

const NAMES = [
  "INBOX",
  "inbox",
  "Junk",
  "Archive/2024",
  "&ZeVnLIqe-",
  "&-",
  "nowhere",
  "*",
  "%",
  "",
  '"q"',
  "a\\b",
  "&",
  "&AGE",
];
const STRINGS = [
  "x",
  "hi",
  "ann",
  "multipart",
  "caf\xc3\xa9",
  "",
  "a b",
  'q"u',
  "\\",
  "\xe4\xbc\x9a",
  "\xff",
];
const DATES = ["1-Feb-2026", "01-Jan-1970", "29-Feb-2023", "31-Dec-9999", "1-Foo-2000", '"5-May-2026"'];
const FIELDS = ["Subject", "To", "X-Long", "RECEIVED", '"Content-Type"', "{2+}\r\nTo", "a:b"];
const NUMBERS = ["0", "1", "2", "3", "7", "40", "100000", "4294967295", "4294967296", "01"];

export function sequenceSet(random: Random): string {
  const one = () => random.pick([random.pick(NUMBERS), "*", "1", "2"]);
  return random.many(1 + random.small(4), () => (random.oneIn(2) ? one() : `${one()}:${one()}`), ",");
}

export function astring(random: Random, from: readonly string[] = STRINGS): string {
  const text = random.pick(from);
  switch (random.int(5)) {
    case 0:
      return `{${text.length}+}\r\n${text}`;
    case 1:
      return random.oneIn(6) ? `{${text.length}}\r\n${text}` : text;
    case 2:
      return text === "" ? '""' : text;
    default:
      return `"${text.replace(/(["\\])/gu, "\\$1")}"`;
  }
}

function sectionText(random: Random): string {
  const path = random.many(random.small(3), () => random.pick(["1", "2", "3", "1", "0", "99"]), ".");
  const fields = `HEADER.FIELDS${random.oneIn(2) ? ".NOT" : ""} (${random.many(1 + random.small(3), () => random.pick(FIELDS), " ")})`;
  const part = random.pick(["", "", "HEADER", "TEXT", "MIME", fields]);
  return `${path}${path !== "" && part !== "" ? "." : ""}${part}`;
}

function fetchItem(random: Random): string {
  if (random.oneIn(2)) {
    const partial = random.oneIn(3) ? `<${random.pick(NUMBERS)}.${random.pick(NUMBERS)}>` : "";
    return `BODY${random.oneIn(2) ? ".PEEK" : ""}[${sectionText(random)}]${partial}`;
  }
  return random.pick([
    "FLAGS",
    "UID",
    "INTERNALDATE",
    "RFC822.SIZE",
    "ENVELOPE",
    "BODY",
    "BODYSTRUCTURE",
    "RFC822",
    "RFC822.HEADER",
    "RFC822.TEXT",
    "ALL",
    "FAST",
    "FULL",
    "MODSEQ",
    "EMAILID",
    "THREADID",
    "PREVIEW",
    "PREVIEW (LAZY)",
    `BINARY${random.oneIn(2) ? ".PEEK" : ""}[${random.pick(["", "1", "2.1", "9"])}]${random.oneIn(3) ? `<${random.pick(NUMBERS)}.${random.pick(NUMBERS)}>` : ""}`,
    `BINARY.SIZE[${random.pick(["", "1", "2.1", "9"])}]`,
    "X",
  ]);
}

function fetchItems(random: Random): string {
  return random.oneIn(3)
    ? fetchItem(random)
    : `(${random.many(1 + random.small(5), () => fetchItem(random), " ")})`;
}

const PLAIN_KEYS = [
  "ALL",
  "ANSWERED",
  "DELETED",
  "DRAFT",
  "FLAGGED",
  "NEW",
  "OLD",
  "RECENT",
  "SEEN",
  "UNANSWERED",
  "UNDELETED",
  "UNDRAFT",
  "UNFLAGGED",
  "UNSEEN",
];
const TEXT_KEYS = ["BCC", "BODY", "CC", "FROM", "SUBJECT", "TEXT", "TO"];
const DATE_KEYS = ["BEFORE", "ON", "SINCE", "SENTBEFORE", "SENTON", "SENTSINCE"];

export function searchKey(random: Random, depth = 4): string {
  const inner = () => searchKey(random, depth - 1);
  switch (depth <= 0 ? random.int(5) : random.int(9)) {
    case 0:
      return random.pick(PLAIN_KEYS);
    case 1:
      return `${random.pick(TEXT_KEYS)} ${astring(random)}`;
    case 2:
      return `${random.pick(DATE_KEYS)} ${random.pick(DATES)}`;
    case 3:
      return `${random.pick(["LARGER", "SMALLER", "OLDER", "YOUNGER"])} ${random.pick(NUMBERS)}`;
    case 4:
      return random.pick([
        sequenceSet(random),
        random.pick([
          "$",
          `MODSEQ ${random.pick(NUMBERS)}`,
          `MODSEQ "/flags/\\\\seen" all ${random.pick(NUMBERS)}`,
        ]),
        `${random.pick(["EMAILID", "THREADID", "SAVEDBEFORE"])} ${random.pick(["M1", "T1", "1-Feb-2026"])}`,
        `UID ${sequenceSet(random)}`,
        `KEYWORD ${random.pick(["$a", "x", "\\Seen"])}`,
      ]);
    case 5:
      return `NOT ${inner()}`;
    case 6:
      return `OR ${inner()} ${inner()}`;
    case 7:
      return `(${random.many(1 + random.small(3), inner, " ")})`;
    default:
      return `HEADER ${random.pick(FIELDS)} ${astring(random)}`;
  }
}

function listCommand(random: Random): string {
  const select = random.oneIn(4)
    ? `(${random.many(random.small(2), () => random.pick(["SUBSCRIBED", "REMOTE", "RECURSIVEMATCH", "SPECIAL-USE", "X"]), " ")}) `
    : "";
  const patterns = random.oneIn(4)
    ? `(${random.many(1 + random.small(3), () => astring(random, NAMES), " ")})`
    : astring(random, NAMES);
  const status = `STATUS (${statusItems(random)})`;
  const back = random.oneIn(4)
    ? ` RETURN (${random.many(random.small(3), () => random.pick(["CHILDREN", "SUBSCRIBED", "SPECIAL-USE", status]), " ")})`
    : "";
  return `LIST ${select}${random.oneIn(4) ? astring(random, NAMES) : '""'} ${patterns}${back}`;
}

function statusItems(random: Random): string {
  return random.many(
    1 + random.small(4),
    () =>
      random.pick([
        "MESSAGES",
        "RECENT",
        "UIDNEXT",
        "UIDVALIDITY",
        "UNSEEN",
        "SIZE",
        "HIGHESTMODSEQ",
        "MAILBOXID",
        "DELETED",
        "X",
      ]),
    " ",
  );
}

const SIMPLE = [
  "CAPABILITY",
  "NOOP",
  "NAMESPACE",
  "CLOSE",
  "UNSELECT",
  "CHECK",
  "LOGOUT",
  'ID ("name" "x")',
  "ID NIL",
  "IDLE\r\nDONE",
  "IDLE\r\nx",
  "EXPUNGE",
  "COPY 1 INBOX",
  "CREATE x",
  "ENABLE CONDSTORE",
  "ENABLE QRESYNC",
  "ENABLE IMAP4rev2 X",
  "ENABLE",
  "STARTTLS",
  "X",
  "",
];

/** SELECT with what RFC 7162 adds. */
function selectCommand(random: Random): string {
  const known = random.oneIn(2) ? ` ${sequenceSet(random)}` : "";
  const matched = random.oneIn(2) ? ` (${sequenceSet(random)} ${sequenceSet(random)})` : "";
  const qresync = `QRESYNC (${random.pick(NUMBERS)} ${random.pick(NUMBERS)}${known}${matched})`;
  const parameters = random.oneIn(2) ? "" : ` (${random.pick(["CONDSTORE", qresync, qresync, "X", ""])})`;
  return `${random.pick(["SELECT", "EXAMINE"])} ${astring(random, NAMES)}${parameters}`;
}

function fetchModifiers(random: Random): string {
  if (!random.oneIn(4)) return "";
  return ` (${random.pick(["CHANGEDSINCE", "changedsince", "X"])} ${random.pick(NUMBERS)}${random.oneIn(2) ? " VANISHED" : ""})`;
}

function storeCommand(random: Random): string {
  const modifier = random.oneIn(3) ? `(UNCHANGEDSINCE ${random.pick(NUMBERS)}) ` : "";
  const item = `${random.pick(["+", "-", ""])}FLAGS${random.oneIn(2) ? ".SILENT" : ""}`;
  const one = () =>
    random.pick(["\\Seen", "\\Flagged", "\\Deleted", "\\Recent", "\\X", "$a", "$a", "é", "]", "*"]);
  const flags = random.many(random.small(4), one, " ");
  return `STORE ${sequenceSet(random)} ${modifier}${item} ${random.oneIn(3) ? flags : `(${flags})`}`;
}

function returnOptions(random: Random): string {
  if (!random.oneIn(3)) return "";
  const one = () => random.pick(["MIN", "MAX", "ALL", "COUNT", "SAVE", "X"]);
  return `RETURN (${random.many(random.small(4), one, " ")}) `;
}

function sortCommand(random: Random): string {
  const key = () =>
    `${random.oneIn(3) ? "REVERSE " : ""}${random.pick(["ARRIVAL", "CC", "DATE", "FROM", "SIZE", "SUBJECT", "TO", "X"])}`;
  const charset = random.pick(["UTF-8", "US-ASCII", "KOI8-R"]);
  if (random.oneIn(2))
    return `THREAD ${random.pick(["REFERENCES", "ORDEREDSUBJECT"])} ${charset} ${searchKey(random)}`;
  return `SORT ${returnOptions(random)}(${random.many(random.small(3), key, " ")}) ${charset} ${searchKey(random)}`;
}

export function imapCommand(random: Random): string {
  const uid = random.oneIn(3) ? "UID " : "";
  switch (random.int(13)) {
    case 0:
      return random.pick(SIMPLE);
    case 1:
      return listCommand(random);
    case 2:
      return `LSUB "" ${astring(random, NAMES)}`;
    case 3:
      return `${random.pick(["SUBSCRIBE", "UNSUBSCRIBE"])} ${astring(random, NAMES)}`;
    case 4:
      return `STATUS ${astring(random, NAMES)} (${statusItems(random)})`;
    case 5:
    case 6:
      return `${uid}SEARCH ${returnOptions(random)}${random.oneIn(5) ? `CHARSET ${random.pick(["UTF-8", "US-ASCII", "KOI8-R"])} ` : ""}${random.many(1 + random.small(3), () => searchKey(random), " ")}`;
    case 7:
      return `APPEND INBOX {${random.pick(["0", "4", "3"])}+}\r\nabcd`;
    case 8:
      return selectCommand(random);
    case 9:
      return `${uid}${storeCommand(random)}`;
    case 10:
      return `${uid}${sortCommand(random)}`;
    default:
      return `${uid}FETCH ${sequenceSet(random)} ${fetchItems(random)}${fetchModifiers(random)}`;
  }
}

const LOGINS = [
  "LOGIN ann@a.test secret",
  'LOGIN "ann@a.test" {6+}\r\nsecret',
  "AUTHENTICATE PLAIN AGFubkBhLnRlc3QAc2VjcmV0",
  "AUTHENTICATE PLAIN\r\nAGFubkBhLnRlc3QAc2VjcmV0",
  "AUTHENTICATE PLAIN\r\n*",
  "LOGIN ann@a.test wrong",
  "AUTHENTICATE PLAIN =",
  "",
];

/** A whole session: mostly logged in and with a mailbox selected. */
export function imapWire(random: Random): string {
  let tag = 0;
  const line = (command: string) => `a${++tag} ${command}${random.oneIn(30) ? "\n" : "\r\n"}`;
  let wire = random.oneIn(20) ? line("STARTTLS") : "";
  wire += line(random.oneIn(6) ? random.pick(LOGINS) : "LOGIN ann@a.test secret");
  if (!random.oneIn(6)) wire += line("SELECT INBOX");
  for (let left = 1 + random.small(8); left > 0; left--) wire += line(imapCommand(random));
  return wire;
}
