/**
 * Fuzz target: the whole LMTP server on a connection in memory. The input is what a client sends. Whatever it is, in
 * whatever chunks: the server answers each command line once and each accepted recipient of a message once, in order, or
 * closes; message content is what a reader by the letter of RFC 5321 §4.5.2 finds; nothing is logged as an error.
 */
import { createLmtpServer } from "../../src/protocols/lmtp/server.ts";
import { MemoryIntake } from "../unit/protocols/lmtp/harness.ts";
import { chunkSizes } from "./lib/chunks.ts";
import { lmtpWire } from "./lib/lmtp-grammar.ts";
import { converse } from "./lib/memory-socket.ts";
import type { Random } from "./lib/random.ts";
import { recordingLog } from "./lib/recording-log.ts";
import { check, octets } from "./lib/target.ts";

export const name = "lmtp-session";
export const maxBytes = 2048;
export const words = [
  "\r\n",
  "\r\n.\r\n",
  "\n.\n",
  "\r\n.\n",
  "\n.\r\n",
  ".\r\n",
  "DATA\r\n",
  "RSET\r\n",
  "QUIT\r\n",
  "LHLO c\r\n",
  "MAIL FROM:<>\r\n",
  "RCPT TO:<user@example.com>\r\n",
  "RCPT TO:<nobody@example.com>\r\n",
  "XFORWARD IDENT=q\r\n",
  "\0",
];
const START =
  "LHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<user@example.com>\r\nRCPT TO:<again@example.com>\r\nDATA\r\n";
export const seeds = [
  `${START}Subject: x\r\n\r\nbody\r\n.\r\nQUIT\r\n`,
  `${START}x\r\n.\n.\r\n..\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<nobody@example.com>\r\nDATA\r\nNOOP\r\n`,
  `${START}x\n.\nMAIL FROM:<evil@example.com>\r\n.\r\nRSET\r\n`,
  `LHLO c\r\n${"NOOP\r\n".repeat(120)}`,
  `${START}.\r\n${START.slice(8)}.\r\n`,
  `LHLO c\r\n${"x".repeat(5000)}\r\nNOOP\r\n`,
  "LHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<nodisk@example.com>\r\nDATA\r\nNOOP\r\n",
  "LHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<writefail@example.com>\r\nDATA\r\nx\r\n.\r\nNOOP\r\n",
].map(octets);

export function generate(random: Random): Uint8Array {
  return octets(lmtpWire(random));
}

const log = recordingLog();
const intake = new MemoryIntake();
const server = createLmtpServer({
  config: {
    hostname: "mx.example.com",
    connections: 10,
    xforwardFrom: ["127.0.0.0/8"],
    chainTimeoutMs: 30_000,
    messageBytes: 1_048_576,
    dsn: true,
  },
  intake,
  log: log.log,
  metrics: { recipient() {}, duration() {}, connections() {} },
});

/** @throws {Error} an invariant does not hold */
export async function run(input: Uint8Array): Promise<void> {
  const whole = await serve(input, [input.length]);
  const cut = await serve(input, chunkSizes(input));
  check(whole.said === cut.said, "the same answers however the input is cut");
  check(whole.taken.join("\0\0") === cut.taken.join("\0\0"), "the same messages however the input is cut");
  const client = new Model(whole.said);
  client.read(Buffer.from(input).toString("latin1"));
  check(client.taken.join("\0\0") === whole.taken.join("\0\0"), "the messages that the wire holds");
}

async function serve(
  input: Uint8Array,
  sizes: readonly number[],
): Promise<{ said: string; taken: string[] }> {
  intake.taken.length = 0;
  intake.aborted.length = 0;
  const { said } = await converse(socket => server.handleConnection(socket), input, sizes);
  check(server.connections() === 0, "no connection is left over");
  check(log.errors.length === 0, `no error in the log: ${log.errors.splice(0).join("; ")}`);
  return { said: said.toString("latin1"), taken: intake.taken.map(({ content }) => content) };
}

/** A client that knows what it sent: reads the wire and takes one reply per command, one per accepted recipient. */
class Model {
  readonly #replies: string[];
  readonly taken: string[] = [];
  #accepted = 0;
  #ended = false;

  constructor(said: string) {
    check(/^(?:\d{3}[ -][\x20-\x7e]*\r\n)*$/u.test(said), "replies are clean lines");
    this.#replies = said.match(/(?:\d{3}-[^\r]*\r\n)*\d{3} [^\r]*\r\n/gu) ?? [];
    check(this.#replies.join("") === said, "replies are whole");
  }

  #reply(): string {
    const reply = this.#replies.shift() ?? "";
    check(reply !== "", "an answer to each command");
    if (/^(?:221|421)/u.test(reply)) this.#ended = true;
    return reply;
  }

  read(wire: string): void {
    check(this.#reply().startsWith("220 "), "a greeting");
    for (let rest = wire; !this.#ended; ) {
      const end = rest.indexOf("\n");
      if (end < 0) break;
      const line = rest.slice(0, end).replace(/\r$/u, "");
      const reply = this.#reply();
      rest = rest.slice(end + 1);
      if (/^rcpt/iu.test(line) && reply.startsWith("250")) this.#accepted += 1;
      else if (/^(?:rset|lhlo|mail)/iu.test(line) && reply.startsWith("250")) this.#accepted = 0;
      else if (reply.startsWith("354")) rest = this.#content(rest);
    }
    check(this.#replies.length === 0, `no answer too many: ${this.#replies[0]}`);
  }

  #content(wire: string): string {
    const end = `\r\n${wire}`.indexOf("\r\n.\r\n");
    if (end < 0) {
      this.#ended = true;
      return "";
    }
    const replies = Array.from({ length: this.#accepted }, () => this.#reply());
    this.#accepted = 0;
    check(
      replies.every(reply => /^[245]/u.test(reply)),
      "a reply for each recipient",
    );
    // "writefail" of the intake: nothing was written, so nothing is taken.
    const taken = !replies.every(reply => reply.startsWith("452 4.3.1"));
    if (taken) this.taken.push(wire.slice(0, end).replace(/(^|\r\n)\./gu, "$1"));
    return wire.slice(end + 3);
  }
}
