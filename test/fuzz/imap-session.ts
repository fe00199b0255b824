/**
 * Fuzz target: the whole IMAP server on a connection in memory, over a small mailbox with a multipart, a nested message
 * and broken ones. The input is what a client sends, to a listener for Dovecot and to one for other clients, with STARTTLS and
 * changes of flags, which are undone before the next run. Whatever it is, in whatever chunks: the answers are the same, they are well formed with exact literals,
 * each framed command has one tagged answer, nothing is taken over into TLS, the server closes when its peer did, and nothing
 * is logged as an error.
 */

import { changeFlags } from "../../src/core/flag-change.ts";
import type { FlagChange } from "../../src/core/ports/flag-writer.ts";
import { CommandFramer } from "../../src/protocols/imap/framer.ts";
import { DEFAULT_LIMITS } from "../../src/protocols/imap/limits.ts";
import { DOVECOT, type ListenerProfile } from "../../src/protocols/imap/profile.ts";
import { createImapServer } from "../../src/protocols/imap/server.ts";
import { MemoryStore } from "../unit/protocols/imap/memory-store.ts";
import { chunkSizes } from "./lib/chunks.ts";
import { imapWire } from "./lib/imap-grammar.ts";
import { converse } from "./lib/memory-socket.ts";
import type { Random } from "./lib/random.ts";
import { recordingLog } from "./lib/recording-log.ts";
import { check, octets } from "./lib/target.ts";

export const name = "imap-session";
export const maxBytes = 2048;
export const words = [
  "\r\n",
  "{3+}\r\n",
  "{3}\r\n",
  "{99999+}\r\n",
  "(",
  ")",
  '"',
  "\\",
  "BODY[",
  "]<1.2>",
  "1:*",
  "OR ",
  "NOT ",
  "a NOOP\r\n",
  "a SELECT INBOX\r\n",
  "a IDLE\r\nDONE\r\n",
  "UID ",
  "\0",
  "NIL",
  "HEADER.FIELDS (To)",
  "a STARTTLS\r\n",
  "a ENABLE CONDSTORE QRESYNC\r\n",
  " (CHANGEDSINCE 1 VANISHED)",
  "(UNCHANGEDSINCE 1) ",
  "RETURN (MIN MAX COUNT ALL SAVE) ",
  "SORT (REVERSE DATE) UTF-8 ",
  "THREAD REFERENCES UTF-8 ",
  "MODSEQ 1 ",
  "$",
];
const CLIENT: ListenerProfile = { kind: "client", tls: "starttls" };
const START = "a LOGIN ann@a.test secret\r\nb SELECT INBOX\r\n";
export const seeds = [
  `${START}c FETCH 1:* (FLAGS UID ENVELOPE BODYSTRUCTURE BODY[] BODY[1.MIME]<2.5>)\r\nd LOGOUT\r\n`,
  `${START}c UID SEARCH OR (SUBJECT hi NOT SEEN) BODY {3+}\r\nabc 1:3\r\nd IDLE\r\nDONE\r\n`,
  `${START}c FETCH 1 BODY[HEADER.FIELDS (Subject {2+}\r\nTo)]\r\nd STATUS INBOX (MESSAGES SIZE)\r\n`,
  'a AUTHENTICATE PLAIN\r\nAGFubkBhLnRlc3QAc2VjcmV0\r\nb LIST (SUBSCRIBED) "" ("*" INBOX) RETURN (STATUS (UNSEEN))\r\n',
  `a LOGIN {10}\r\nann@a.test {6+}\r\nsecret\r\nb APPEND INBOX {4+}\r\nabcd\r\nc NOOP\r\n`,
  `${START}${"x ?\r\n".repeat(25)}`,
  "a SELECT {99999999999+}\r\nb NOOP\r\n",
  "a CAPABILITY\r\nb STARTTLS\r\n",
  `a STARTTLS\r\n${START}`,
  `${START}c UID STORE 1:* (UNCHANGEDSINCE 3) +FLAGS.SILENT ($a \\Seen)\r\n`,
  `${START}c STORE 1:3 -FLAGS (\\Seen $A)\r\nd UID STORE 1:9 FLAGS.SILENT ()\r\ne FETCH 1:* (FLAGS MODSEQ)\r\nf SEARCH KEYWORD $a\r\n`,
  `a LOGIN ann@a.test secret\r\nb ENABLE QRESYNC\r\nc SELECT INBOX (QRESYNC (1 2 1:9 (1,3 1,5)))\r\nd FETCH 1:* (FLAGS MODSEQ) (CHANGEDSINCE 2)\r\n`,
  `${START}c UID SEARCH RETURN (SAVE COUNT) MODSEQ 2\r\nd UID SORT RETURN (ALL) (REVERSE SIZE DATE) UTF-8 $\r\ne THREAD REFERENCES UTF-8 ALL\r\n`,
].map(octets);

export function generate(random: Random): Uint8Array {
  return octets(imapWire(random));
}

/** Small, so that inputs reach them. */
const LIMITS = {
  ...DEFAULT_LIMITS,
  lineBytes: 1500,
  literalBytes: 512,
  discardBytes: 1024,
  loginLineBytes: 600,
  loginLiteralBytes: 200,
  loginDelayMs: 0,
  fetchItems: 12,
  searchKeys: 30,
  searchDepth: 8,
  inputQueueBytes: 700,
  outputQueueBytes: 4096,
  sweepMs: 60_000,
  handshakesPerS: 1_000_000_000,
};

const MESSAGES = [
  "Subject: hi\r\nTo: ann@a.test\r\nX-Long: a\r\n b\r\n\r\nbody abc\r\n",
  'Content-Type: multipart/mixed; boundary="b"\r\nSubject: =?utf-8?q?caf=C3=A9?=\r\n\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\ninner\r\n--b--\r\n',
  "",
  "\r\n",
  " folded\r\nFrom: \xff\0\r\n\r\n\0\r\n.\n",
];

const log = recordingLog();
const store = new MemoryStore();
for (const [index, message] of MESSAGES.entries()) {
  store.inbox.deliver(message, {
    prefix: "Return-Path: <>\r\n",
    uid: index * 2 + 1,
    flags: { system: index, keywords: index === 1 ? ["$a"] : [] },
  });
}
store.add("Junk", "\\Junk");
store.add("Archive/2024");
const parts = {
  config: { hostname: "mail.test", connections: 10, connectionsPerUser: 10 },
  limits: LIMITS,
  reader: store,
  blobs: store.blobs,
  authenticator: store,
  log: log.log,
  metrics: { command() {}, connection() {}, unreadable() {}, loginFailed() {} },
};
const asDelivered = {
  modseq: store.inbox.modseq,
  flags: store.inbox.stored.map(({ flags, modseq }) => ({ flags, modseq })),
};

/** Each run is on the same mail: what the one before changed is undone. */
function undoChanges(): void {
  if (store.inbox.modseq === asDelivered.modseq) return;
  for (const [index, stored] of store.inbox.stored.entries()) Object.assign(stored, asDelivered.flags[index]);
  store.inbox.rewind(asDelivered.modseq);
}

/** As the store's writer does it: messages that change get the same MODSEQ. */
function changeInbox({ uids, op, flags, unchangedSince = Number.POSITIVE_INFINITY }: FlagChange) {
  const named = store.inbox.stored.filter(({ row }) => uids.includes(row.uid));
  const modseq = store.inbox.modseq + 1;
  const conflicts = named.filter(each => each.modseq > unchangedSince);
  for (const each of named) {
    const after = changeFlags(each.flags, op, flags);
    if (conflicts.includes(each) || after === each.flags) continue;
    Object.assign(each, { flags: after, modseq });
    store.inbox.modseq = modseq;
  }
  if (store.inbox.modseq === modseq) store.inbox.changed();
  return { conflicts: conflicts.map(({ row }) => row.uid), missing: [] };
}

const servers = [
  { profile: DOVECOT, server: createImapServer(parts) },
  {
    profile: CLIENT,
    server: createImapServer({
      ...parts,
      tls: {
        available: true,
        // The same octets, taken for protected from here on.
        upgrade: async socket => Object.defineProperty(socket, "encrypted", { value: true }),
      },
      writer: { change: async change => changeInbox(change) },
    }),
  },
];
type Served = (typeof servers)[number];

/** @throws {Error} an invariant does not hold */
export async function run(input: Uint8Array): Promise<void> {
  for (const served of servers) await runOn(served, input);
}

async function runOn(served: Served, input: Uint8Array): Promise<void> {
  const whole = await serve(served, input, [Math.max(1, input.length)]);
  const cut = await serve(served, input, chunkSizes(input));
  // What comes in the same chunk as STARTTLS was sent in the clear; what comes later may be TLS.
  check(!/ OK Begin TLS [^\r]*\r\n./su.test(whole), "nothing in the clear behind STARTTLS is executed");
  check(/starttls/iu.test(octetsOf(input)) || whole === cut, "the same answers however the input is cut");
  const answers = new Answers(whole);
  if (!answers.closing) {
    const commands = framedCommands(input);
    check(
      commands === undefined || answers.completions === commands,
      `${commands} commands, ${answers.completions} answers`,
    );
  }
}

const octetsOf = (input: Uint8Array) => Buffer.from(input).toString("latin1");

async function serve(
  { server, profile }: Served,
  input: Uint8Array,
  sizes: readonly number[],
): Promise<string> {
  undoChanges();
  for (const mailbox of store.mailboxes.keys()) store.subscribed.add(mailbox);
  for (const mailbox of store.subscribed) if (!store.mailboxes.has(mailbox)) store.subscribed.delete(mailbox);
  store.logins.length = store.rowRequests.length = 0;
  const { said } = await converse(socket => server.handleConnection(socket, profile), input, sizes);
  check(server.connections() === 0, "no connection is left over");
  check(store.inbox.holders === 0 && store.inbox.listeners.size === 0, "no mailbox stays open");
  check(log.errors.length === 0, `no error in the log: ${log.errors.splice(0).join("; ")}`);
  return said.toString("latin1");
}

/** Commands in the input, or undefined when a command reads lines of its own. */
function framedCommands(input: Uint8Array): number | undefined {
  if (/idle|authenticate|login/iu.test(Buffer.from(input).toString("latin1").replace(START, "")))
    return undefined;
  const framer = new CommandFramer(LIMITS.discardBytes);
  framer.push(Buffer.from(input));
  let commands = 0;
  let limits: { lineBytes: number; literalBytes: number } = {
    lineBytes: LIMITS.loginLineBytes,
    literalBytes: LIMITS.loginLiteralBytes,
  };
  for (let event = framer.next(limits); event !== undefined; event = framer.next(limits)) {
    if (event.kind === "overflow") return undefined;
    if (event.kind === "continue") continue;
    commands += 1;
    limits = LIMITS;
  }
  return Buffer.from(input).toString("latin1").startsWith(START) ? commands : undefined;
}

/** An independent reader of what a server says: lines with literals inside. */
class Answers {
  completions = 0;
  closing = false;

  constructor(said: string) {
    for (let at = 0; at < said.length; ) {
      let line = "";
      for (;;) {
        const end = said.indexOf("\r\n", at);
        check(end >= 0, "answers end with a line end");
        const piece = said.slice(at, end);
        check(!/[\r\n\0]/u.test(piece), "no bare line end and no NUL in an answer");
        line += piece;
        at = end + 2;
        const literal = /\{(\d+)\}$/u.exec(piece);
        if (literal === null) break;
        const size = Number(literal[1]);
        check(at + size <= said.length, "a literal is whole");
        at += size;
      }
      this.#take(line);
    }
  }

  #take(line: string): void {
    check(
      /^(?:\* |\+ |[^ (){%*"\\+\x00-\x1f\x7f-\xff]+ (?:OK|NO|BAD) )/u.test(line),
      `an answer: ${JSON.stringify(line.slice(0, 100))}`,
    );
    if (line.startsWith("* BYE")) this.closing = true;
    else if (line.startsWith("* BAD") || !/^[*+]/u.test(line)) this.completions += 1;
  }
}
