import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import imapflowParser from "imapflow/lib/handler/imap-parser.js";
import { type ImapCommand, parseCommand, tagOf } from "../../../../src/protocols/imap/command.ts";
import { Lexer } from "../../../../src/protocols/imap/lexer.ts";
import { DEFAULT_LIMITS } from "../../../../src/protocols/imap/limits.ts";
import { ImapSyntaxError } from "../../../../src/protocols/imap/syntax-error.ts";

function parse(text: string): ImapCommand {
  return parseCommand(Buffer.from(`a1 ${text}`, "latin1"), DEFAULT_LIMITS).command;
}

function refused(text: string): string {
  try {
    parse(text);
  } catch (error) {
    assert.ok(error instanceof ImapSyntaxError, String(error));
    return error.publicText;
  }
  return assert.fail(`accepted: ${text}`);
}

test("parseCommand() reads the commands imapc sends", () => {
  assert.deepEqual(parse('LOGIN "us\\"er" {3+}\r\np"w'), { kind: "LOGIN", user: 'us"er', password: 'p"w' });
  assert.deepEqual(parse("authenticate PLAIN AGFiYw=="), {
    kind: "AUTHENTICATE",
    mechanism: "PLAIN",
    initial: "AGFiYw==",
  });
  const plain = { condstore: false, qresync: undefined };
  assert.deepEqual(parse('SELECT "inbox"'), { kind: "SELECT", mailbox: "INBOX", ...plain });
  assert.deepEqual(parse("EXAMINE &ZeVnLIqe-"), { kind: "EXAMINE", mailbox: "日本語", ...plain });
  assert.deepEqual(parse("STATUS inbox/x (MESSAGES UIDNEXT)"), {
    kind: "STATUS",
    mailbox: "INBOX/x",
    items: ["MESSAGES", "UIDNEXT"],
  });
  assert.deepEqual(parse("ID NIL"), { kind: "ID", fields: new Map() });
  assert.deepEqual(parse('ID ("name" "Dovecot" "x" NIL)'), {
    kind: "ID",
    fields: new Map([
      ["name", "Dovecot"],
      ["x", ""],
    ]),
  });
});

function labels(text: string): string[] {
  const command = parse(text);
  assert.equal(command.kind, "FETCH");
  return command.kind === "FETCH"
    ? command.items.map(item => (item.kind === "section" ? item.label : item.kind))
    : [];
}

test("parseCommand() reads every FETCH item of RFC 3501", () => {
  assert.deepEqual(labels("FETCH 1 ALL"), ["FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE"]);
  assert.deepEqual(labels("UID FETCH 1:* fast"), ["FLAGS", "INTERNALDATE", "RFC822.SIZE"]);
  assert.deepEqual(labels("FETCH 1 FULL").at(-1), "BODY");
  assert.deepEqual(
    labels(
      'FETCH 1 (UID BODY BODYSTRUCTURE BODY[] BODY.PEEK[TEXT]<0.100> BODY[1.2.MIME] body.peek[header.fields (to "x y")] BODY[3.HEADER.FIELDS.NOT (A B)]<7.1> RFC822 RFC822.HEADER RFC822.TEXT)',
    ),
    [
      "UID",
      "BODY",
      "BODYSTRUCTURE",
      "BODY[]",
      "BODY[TEXT]<0>",
      "BODY[1.2.MIME]",
      'BODY[HEADER.FIELDS (to "x y")]',
      "BODY[3.HEADER.FIELDS.NOT (A B)]<7>",
      "RFC822",
      "RFC822.HEADER",
      "RFC822.TEXT",
    ],
  );
});

test("parseCommand() refuses broken FETCH items", () => {
  for (const item of [
    "",
    "()",
    "(ALL)",
    "BODY[",
    "BODY[MIME]",
    "BODY[0]",
    "BODY[1.]",
    "BODY[1.FOO]",
    "BODY[HEADER.FIELDS]",
    "BODY[HEADER.FIELDS ()]",
    "BODY[]<1>",
    "BODY[]<1.0>",
    "BODY[]<1.2.3>",
    "(FLAGS",
    "FLAGS)",
    "(FLAGS  ",
    "MODSEQS",
    "BINARY[1.HEADER]",
    "BINARY[0]",
    "BINARY.SIZE[1]<0.5>",
    "BINARY[1]<0.0>",
    "PREVIEW (EAGER)",
  ]) {
    refused(`FETCH 1 ${item}`);
  }
  refused(`FETCH 1 (${"UID ".repeat(201)}UID)`);
});

test("parseCommand() reads every SEARCH key of RFC 3501 and WITHIN", () => {
  for (const key of [
    "ALL",
    "ANSWERED",
    "BCC x",
    "BEFORE 1-Feb-1994",
    'BODY "a b"',
    "CC x",
    "DELETED",
    "DRAFT",
    "FLAGGED",
    "FROM x",
    "HEADER X-Y {3}\r\na\r\n",
    "KEYWORD $Forwarded",
    "LARGER 5",
    "NEW",
    "NOT SEEN",
    "OLD",
    'ON "1-Feb-1994"',
    "OR SEEN (FLAGGED 1:*)",
    "RECENT",
    "SEEN",
    "SENTBEFORE 01-Feb-1994",
    "SENTON 1-Feb-1994",
    "SENTSINCE 1-Feb-1994",
    "SINCE 1-Feb-1994",
    "SMALLER 5",
    "SUBJECT x",
    "TEXT x",
    "TO x",
    "UID 1,2:*",
    "UNANSWERED",
    "UNDELETED",
    "UNDRAFT",
    "UNFLAGGED",
    "UNKEYWORD x",
    "UNSEEN",
    "OLDER 60",
    "YOUNGER 60",
    "1,3:*",
    "*",
  ]) {
    for (const text of [
      `SEARCH ${key}`,
      `UID SEARCH CHARSET UTF-8 ${key} SEEN`,
      `SEARCH (${key}) NOT (${key})`,
    ]) {
      assert.equal(parse(text).kind, "SEARCH", text);
    }
  }
});

test("parseCommand() refuses broken SEARCH keys", () => {
  for (const key of [
    "",
    "FOO",
    "OR SEEN",
    "NOT",
    "()",
    "(SEEN",
    "BEFORE 32-Feb-1994",
    "BEFORE 1-Foo-1994",
    "LARGER x",
    "OLDER 0",
    "UNALL",
    "SEEN SEEN)",
    "RETURN (ALL)",
    "RETURN (FOO) SEEN",
    "HEADER x",
    "KEYWORD \\Seen",
    "UID x",
  ]) {
    refused(`SEARCH ${key}`);
  }
});

test("parseCommand() bounds depth, number and size of SEARCH keys", () => {
  assert.match(refused(`SEARCH ${"NOT ".repeat(60)}SEEN`), /deeply/u);
  assert.match(refused(`SEARCH ${"(".repeat(60)}SEEN${")".repeat(60)}`), /deeply/u);
  assert.match(refused(`SEARCH${" SEEN".repeat(1002)}`), /too many/u);
  assert.match(refused(`SEARCH BODY ${"x".repeat(5000)}`), /too long/u);
});

test("parseCommand() reads plain and extended LIST", () => {
  const list = (text: string) => {
    const command = parse(text);
    return command.kind === "LIST" || command.kind === "LSUB" ? command.request : assert.fail();
  };
  assert.deepEqual(list('LIST "" ""').patterns, []);
  assert.deepEqual(list("LIST a/ %*").patterns, ["a/%*"]);
  assert.deepEqual(list('LIST "" ("INBOX" %)').patterns, ["INBOX", "%"]);
  assert.deepEqual(list('LIST (SUBSCRIBED RECURSIVEMATCH) "" *').select, {
    subscribed: true,
    specialUse: false,
    recursive: true,
  });
  assert.deepEqual(list('LIST "" % RETURN (CHILDREN SPECIAL-USE SUBSCRIBED STATUS (UNSEEN SIZE))').returns, {
    subscribed: true,
    status: ["UNSEEN", "SIZE"],
  });
  for (const broken of [
    'LIST ""',
    'LIST "" ()',
    'LIST "" x RETURN',
    'LIST "" x RETURN (FOO)',
    'LIST (RECURSIVEMATCH) "" x',
    'LIST (FOO) "" x',
    `LIST "" ${"x".repeat(1001)}`,
    `LIST "" (${"x ".repeat(21)}x)`,
    "LSUB x",
  ]) {
    refused(broken);
  }
});

test("parseCommand() refuses what is no command", () => {
  for (const text of [
    "",
    "FOO",
    "NOOP x",
    "LOGIN a",
    'LOGIN "a b',
    "LOGIN a b c",
    "UID",
    "UID NOOP",
    "UID FETCH",
    "SELECT",
    "STATUS x ()",
    "STATUS x (FOO)",
    'LOGIN "a\\b" c',
    "ID (x)",
    "LOGIN {3}\r\nab c",
    "SEARCH BEFORE 31-Feb-2020",
    "SEARCH SENTON 29-Feb-2023",
    "SEARCH SINCE 31-Apr-2020",
    "SEARCH ON 0-Jan-2020",
  ]) {
    refused(text);
  }
  for (const bytes of ["", " ", "a", "+ NOOP", "a\0 NOOP", "(a NOOP", "\xff NOOP"]) {
    assert.throws(() => parseCommand(Buffer.from(bytes, "latin1"), DEFAULT_LIMITS), ImapSyntaxError, bytes);
  }
});

test("tagOf() finds the tag of anything that has one", () => {
  assert.equal(tagOf(Buffer.from("a.1 (((")), "a.1");
  assert.equal(tagOf(Buffer.from("\r")), "*");
});

test("parseCommand() takes a UID list of 100 000 numbers", () => {
  const list = Array.from({ length: 100_000 }, (_, i) => i * 7 + 1).join(",");
  const command = parse(`UID FETCH ${list} (UID BODY.PEEK[])`);
  assert.equal(command.kind === "FETCH" && command.set.ranges.length, 200_000);
});

const wireString = fc.oneof(
  fc.string({ unit: fc.constantFrom(..."abcXYZ019.-+/'!?$#&;=@^_~"), minLength: 1 }),
  fc.string({ unit: "grapheme-ascii" }).map(text => `"${text.replace(/["\\]/gu, "\\$&")}"`),
  fc
    .string({ unit: fc.constantFrom("\0", "\r", "\n", '"', "\\", "{", "a", "\xff") })
    .map(text => `{${text.length}}\r\n${text}`),
);

test("the lexer reads strings as imapflow's parser does", async () => {
  const cases = fc.sample(fc.array(wireString, { minLength: 1, maxLength: 5 }), { numRuns: 150, seed: 7 });
  for (const words of cases) {
    const text = `t1 XTEST ${words.join(" ")}`;
    const lexer = new Lexer(Buffer.from(text, "latin1"));
    assert.equal(lexer.tag(), "t1");
    lexer.space();
    assert.equal(lexer.keyword(), "XTEST");
    const mine = words.map(() => {
      lexer.space();
      return lexer.astring().toString("latin1");
    });
    lexer.end();
    const literals = words
      .filter(word => word.startsWith("{"))
      .map(word => Buffer.from(word.slice(word.indexOf("\n") + 1), "latin1"));
    const withoutLiterals = words
      .map(word => (word.startsWith("{") ? word.slice(0, word.indexOf("\n") + 1) : word))
      .join(" ");
    const theirs = await imapflowParser(`t1 XTEST ${withoutLiterals}`, { literals });
    const values = (theirs.attributes ?? []).map(each => {
      const value = Array.isArray(each) || each === null ? undefined : each.value;
      return Buffer.isBuffer(value) ? value.toString("latin1") : (value ?? "NIL");
    });
    assert.deepEqual(
      values,
      mine.map(each => (each.toUpperCase() === "NIL" ? "NIL" : each)),
      JSON.stringify(text),
    );
  }
});
