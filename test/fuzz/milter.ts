/**
 * Fuzz target: milter packets, and a whole milter server on a connection in memory. The input is what an MTA sends. Whatever it is,
 * in whatever chunks: the answers, the messages and what is counted are the same; each end of a message has one last answer; each
 * message that was opened is decided about or given up, not both; a reply is one reply; nothing is logged as an error.
 */
import { MairustError } from "../../src/core/errors.ts";
import { decodeCommand } from "../../src/protocols/milter/codec.ts";
import { MilterProtocolError } from "../../src/protocols/milter/protocol-error.ts";
import { createMilterServer } from "../../src/protocols/milter/server.ts";
import * as p from "../lib/milter-packets.ts";
import { Counted, MemoryDecider } from "../unit/protocols/milter/harness.ts";
import { chunkSizes } from "./lib/chunks.ts";
import { converse } from "./lib/memory-socket.ts";
import { milterWire } from "./lib/milter-grammar.ts";
import type { Random } from "./lib/random.ts";
import { check } from "./lib/target.ts";

export const name = "milter";
export const maxBytes = 2048;
export const words = [
  p.optneg(),
  p.connect(),
  p.helo(),
  p.mail("<a@b>"),
  p.rcpt("<ann@example.com>"),
  p.rcpt("<edit@example.com>"),
  p.data(),
  p.header("X-MaiRust-A", " x"),
  p.eoh(),
  p.body("x"),
  p.eom(),
  p.abort(),
  p.quit(),
  p.quitNc(),
  p.macros("M", { i: "Q" }),
].map(packet => packet.toString("latin1"));

const start = (to: string) => [
  p.optneg(),
  p.connect(),
  p.helo(),
  p.mail("<a@b>"),
  p.rcpt(`<${to}@example.com>`),
];
export const seeds: readonly Uint8Array[] = [
  [...start("ann"), p.data(), p.header("Subject", " x"), p.eoh(), p.body("x"), p.eom(), p.quit()],
  [...start("edit"), p.header("X-MaiRust-A", " 1"), p.header("x-mairust-a", " 2"), p.eoh(), p.eom("x")],
  [...start("refuse"), p.eoh(), p.eom(), ...start("ann").slice(3), p.eom(), p.abort()],
  [...start("writefail"), p.eoh(), p.body("x"), p.body("y"), p.eom()],
  [...start("throw"), p.macros("E", { i: "Q" }), p.eom(), p.quitNc(), p.connect(), p.mail("<>")],
  [p.optneg(2, 0x3f, 0x7f), ...start("discard").slice(1), p.header("A", "b"), p.eoh(), p.eom()],
].map(packets => Buffer.concat(packets));

export function generate(random: Random): Uint8Array {
  return milterWire(random);
}

/** Smaller than an input, so that the limit is met. */
const PACKET_BYTES = 1024;

/** @throws {Error} an invariant does not hold */
export async function run(input: Uint8Array): Promise<void> {
  checkCodec(input);
  const whole = await serve(input, [input.length]);
  const cut = await serve(input, chunkSizes(input));
  check(whole === cut, "the same answers and messages however the input is cut");
}

/** One packet: a command or the one documented error. */
function checkCodec(input: Uint8Array): void {
  try {
    decodeCommand(Buffer.from(input));
  } catch (error) {
    check(error instanceof MilterProtocolError && error.fault === "syntax", "the codec's own error");
    check(error instanceof MairustError && error.message.length < 200, "a short text");
  }
}

async function serve(input: Uint8Array, sizes: readonly number[]): Promise<string> {
  const decider = new MemoryDecider();
  decider.edits = [
    { kind: "add_header", name: "X", value: "y" },
    { kind: "replace_body", body: [Buffer.from("new")] },
  ];
  const counted = new Counted();
  const server = createMilterServer({
    config: {
      connections: 10,
      packetBytes: PACKET_BYTES,
      chainTimeoutMs: 10_000,
      outboundDaemons: ["smtpd"],
      outboundNetworks: ["198.51.100.0/24"],
      limits: { recipients: 2, reservedFields: 2 },
    },
    decider,
    log: counted.log,
    metrics: counted.metrics,
  });
  const { said } = await converse(socket => server.handleConnection(socket), input, sizes);
  check(server.connections() === 0, "no connection is left over");
  check(counted.errors.length === 0, `no error in the log: ${counted.errors.join("; ")}`);
  check(counted.faults.length <= 1, "at most one fault");
  const answers = readAnswers(said);
  checkMessages(decider, counted, answers);
  const messages = decider.decided.map(({ envelope, content, reserved }) =>
    JSON.stringify([envelope, content, reserved]),
  );
  return [...answers, ...messages, ...counted.results, ...counted.faults].join("\n");
}

function readAnswers(said: Buffer): readonly string[] {
  const reader = new p.AnswerReader();
  const answers = reader.push(said).map(p.show);
  check(reader.left === 0, "answers are whole");
  for (const answer of answers) {
    check(/^(?:[acdprst]|[Oyhimbq+-] .*|b)$/su.test(answer), `a known answer: ${answer}`);
    if (answer.startsWith("y"))
      check(/^y (?:([45]\d\d)-[^\r\n|]+\r\n)*[45]\d\d [45][^\r\n|]+\|$/u.test(answer), answer);
  }
  return answers;
}

function checkMessages(decider: MemoryDecider, counted: Counted, answers: readonly string[]): void {
  for (const { content, reserved } of decider.decided) {
    // Without a field in front the content begins with the empty line.
    const header = `\r\n${content}`.split("\r\n\r\n")[0] ?? "";
    check(!/^x-mairust-/imu.test(header), "no reserved field is handed on");
    check(reserved.length <= 2, "reserved fields are bounded");
  }
  check(
    decider.opened.every(({ recipients }) => recipients.length > 0 && recipients.length <= 2),
    "recipients are bounded, and there is one",
  );
  const given = counted.results.filter(result => result !== "aborted").length;
  const refusals = answers.filter(answer => /^[dy]/u.test(answer)).length;
  const refused = counted.results.filter(result => !["aborted", "accepted"].includes(result)).length;
  check(refusals === refused, "one answer for each message that was not accepted");
  check(decider.decided.length <= given, "no decision without an answer");
}
