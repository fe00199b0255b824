/** Inputs that once broke something, made small and written as code; every one is run by the unit tests. */
import type { TargetName } from "./targets.ts";

export interface Regression {
  readonly target: TargetName;
  /** What went wrong. */
  readonly what: string;
  readonly input: Uint8Array;
}

function latin1(text: string): Uint8Array {
  return Buffer.from(text, "latin1");
}

/** `levels` nested nodes in a stored structure. */
function deepStructure(levels: number): Uint8Array {
  const table = Buffer.concat(Array.from({ length: levels }, () => Buffer.from([1, 1, 0, 0, 0, 0, 0, 0])));
  const length = [(table.length & 0x7f) | 0x80, ((table.length >> 7) & 0x7f) | 0x80, table.length >> 14];
  return Buffer.concat([Buffer.from([1, 0, 0, 0, 0, ...length]), table]);
}

export const REGRESSIONS: readonly Regression[] = [
  {
    target: "manifest",
    what: "a byte order mark was a SyntaxError of the parser with positions",
    input: Buffer.from("\ufeff"),
  },
  { target: "config-toml", what: "the same in a configuration file", input: Buffer.from("\ufeffx = 1\n") },
  { target: "search-grammar", what: "a size that no bigint holds", input: latin1("-smaller:9999999g") },
  {
    target: "config-toml",
    what: "what only the lenient TOML parser takes was an error without a place",
    input: Buffer.from("a=1979-05- 7\n"),
  },
  {
    target: "manifest",
    what: "the same in a manifest was no manifest error",
    input: Buffer.from("a=1979-05- 7\n"),
  },
  {
    target: "search-grammar",
    what: "a year that PostgreSQL does not know",
    input: latin1("before:0000-01-01"),
  },
  {
    target: "packed-structure",
    what: "200 000 nested nodes exhausted the stack",
    input: deepStructure(200_000),
  },
  {
    target: "mime-decoders",
    what: "groups without members were not counted as addresses",
    input: latin1("a:;".repeat(80)),
  },
  {
    target: "imap-session",
    what: "an answer above the bound of a queue that took it at once waited for ever",
    input: latin1(`a LOGIN ann@a.test secret\r\n${"b SELECT INBOX\r\n".repeat(30)}`),
  },
  {
    target: "imap-session",
    what: "a client that ended its side in IDLE lost the answers before it",
    input: latin1("a LOGIN ann@a.test secret\r\na SELECT INBOX\r\na SEARCH BODY a\r\na IDLE\r\n"),
  },
  {
    target: "imap-session",
    what: "and in AUTHENTICATE too",
    input: latin1("a LOGIN ann@a.test wrong\r\nb AUTHENTICATE PLAIN\r\n"),
  },
  {
    target: "imap-session",
    what: "a peer that had closed its side before STARTTLS was answered was waited for under TLS",
    input: latin1("a LOGIN a a\na STaRTTLS\n"),
  },
  {
    target: "imap-session",
    what: "a command in the clear behind STARTTLS must not be the first one of the session under TLS",
    input: latin1("a STARTTLS\r\nb LOGIN ann@a.test secret\r\nc SELECT INBOX\r\n"),
  },
  {
    target: "lmtp-session",
    what: "a message whose write failed",
    input: latin1("LHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<writefail@a>\r\nDATA\r\n\r\n.\r\nNOOP\r\n"),
  },
];
