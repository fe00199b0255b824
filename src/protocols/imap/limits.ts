/**
 * Every number that bounds what one IMAP client can make us hold, wait or do. Nothing else in this folder
 * contains a bound; tests shrink them through {@link ImapLimits}.
 */
import type { AheadLimits } from "./read-ahead.ts";

export interface ImapLimits {
  /** Octets of one command line before login. */
  readonly loginLineBytes: number;
  /** Octets of all literals of one command before login. */
  readonly loginLiteralBytes: number;
  /** Octets of one command line after login: imapc sends comma lists without ranges. */
  readonly lineBytes: number;
  /** Octets of all literals of one command that are kept (mailbox names, search strings, passwords). */
  readonly literalBytes: number;
  /** Octets of one APPEND literal that is read only to be thrown away; a bigger one closes the connection. */
  readonly discardBytes: number;
  /** Octets of pipelined input held while a command runs; beyond it the socket is paused. */
  readonly inputQueueBytes: number;
  /** Octets queued for a client that reads slowly; beyond it the producer waits. */
  readonly outputQueueBytes: number;
  /** Unparsable commands in a row that close the connection. */
  readonly syntaxErrors: number;
  /** Failed logins that close the connection. */
  readonly loginFailures: number;
  /** First delay after a failed login; doubles with each further one on the connection. */
  readonly loginDelayMs: number;
  /** Time from connect to a successful login, TLS included. */
  readonly loginTimeoutMs: number;
  /** Connections of client listeners that are not logged in; never more than half of what these listeners may have. */
  readonly strangers: number;
  /** A stranger that has been there for so long gives its place to another when all are taken. */
  readonly strangerGraceMs: number;
  /** Connections of client listeners from one address, of IPv6 one network of 64 bits; peers on this host are not counted. */
  readonly connectionsPerNetwork: number;
  /** Of these, those that are not logged in. */
  readonly strangersPerNetwork: number;
  /** TLS handshakes begun per second, and so many at once after a quiet time: each costs a few milliseconds of the one thread. */
  readonly handshakesPerS: number;
  readonly handshakeBurst: number;
  /** Time for one TLS handshake. */
  readonly handshakeTimeoutMs: number;
  /** RFC 3501 §5.4: at least 30 minutes. */
  readonly idleTimeoutMs: number;
  /** A client that takes no octet for so long while output waits is gone. */
  readonly stallTimeoutMs: number;
  /** How long a peer has to take our last words and close. */
  readonly lingerMs: number;
  /** How often time-outs are looked at; one timer for all sessions. */
  readonly sweepMs: number;
  /** Items in one FETCH. */
  readonly fetchItems: number;
  /** Keys in one SEARCH, nested ones too. */
  readonly searchKeys: number;
  /** Nesting of parentheses, NOT and OR in one SEARCH. */
  readonly searchDepth: number;
  /** Characters of one search text: matching holds a few times as many. */
  readonly searchTextChars: number;
  /** Messages that a session keeps of a SEARCH with SAVE, four octets each. */
  readonly savedMessages: number;
  /** Patterns in one extended LIST. */
  readonly listPatterns: number;
  /** Octets of a header block that is read from the blob into memory to select fields or to search in. */
  readonly headerBytes: number;
  /** Octets of one message's answer that are in memory before it begins: headers, structures, what was decoded. */
  readonly fetchBytes: number;
  /** Decoded octets that are kept of one message; more of them are decoded once more while they are sent. */
  readonly decodedBytes: number;
  /** Messages whose blob is opened ahead of the one that is being sent, and what is read of them. */
  readonly readAhead: AheadLimits;
  /** Different keywords in one STORE. */
  readonly storeKeywords: number;
}

export const DEFAULT_LIMITS: ImapLimits = {
  loginLineBytes: 16_384,
  loginLiteralBytes: 4096,
  lineBytes: 1_048_576,
  literalBytes: 65_536,
  discardBytes: 268_435_456,
  inputQueueBytes: 65_536,
  outputQueueBytes: 196_608,
  syntaxErrors: 20,
  loginFailures: 4,
  loginDelayMs: 1000,
  loginTimeoutMs: 60_000,
  strangers: 200,
  strangerGraceMs: 5000,
  connectionsPerNetwork: 200,
  strangersPerNetwork: 20,
  handshakesPerS: 50,
  handshakeBurst: 50,
  handshakeTimeoutMs: 10_000,
  idleTimeoutMs: 1_830_000,
  stallTimeoutMs: 300_000,
  lingerMs: 5000,
  sweepMs: 1000,
  fetchItems: 200,
  searchKeys: 1000,
  searchDepth: 50,
  searchTextChars: 4096,
  savedMessages: 250_000,
  listPatterns: 20,
  headerBytes: 4_194_304,
  fetchBytes: 8_388_608,
  decodedBytes: 262_144,
  readAhead: { steps: 16, bytes: 1_048_576 },
  storeKeywords: 64,
};
