/**
 * Sends one message to one recipient by LMTP (RFC 2033) or SMTP (RFC 5321), for `selftest`. The command line may not import the protocol folders, and a
 * client for one transaction needs no library.
 */
import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { deadlineAfter, within } from "../platform/deadline.ts";
import { parseListenSpec } from "../platform/listen-spec.ts";
import { CommandError, EXIT, serviceAway } from "./exit-codes.ts";
import { printable } from "./text.ts";

export interface LmtpMessage {
  /** "" is the null sender. */
  readonly from: string;
  readonly to: string;
  /** With CRLF line ends and one at its end. */
  readonly content: Buffer;
  readonly timeoutMs: number;
}

/** RFC 3463 §3.2: bad destination mailbox address, bad destination system address. */
const NO_USER = /^5\d\d 5\.1\.[12] /u;

/** Longest reply, in lines. */
const MAX_REPLY_LINES = 100;

/**
 * @param listener  as in `lmtp.listen`
 * @returns the reply after the message: 2xx
 * @throws {CommandError} 69 nobody listens, 75 a 4xx reply or the time is over, 67 there is no such recipient, 1 another 5xx reply
 */
export function sendByLmtp(listener: string, message: LmtpMessage): Promise<string> {
  return send(listener, message, "LHLO localhost");
}

/** As {@link sendByLmtp}, to an MTA. @param server  as `outbound.smtp` */
export function sendBySmtp(server: string, message: LmtpMessage): Promise<string> {
  return send(server, message, "EHLO localhost");
}

async function send(listener: string, message: LmtpMessage, hello: string): Promise<string> {
  const address = parseListenSpec(listener);
  const socket =
    address.kind === "unix"
      ? connect({ path: address.path })
      : connect({ host: address.host, port: address.port, noDelay: true });
  const deadline = deadlineAfter(message.timeoutMs);
  try {
    return await within(transaction(socket, message, hello), deadline);
  } catch (error) {
    if (error instanceof CommandError) throw error;
    if (deadline.signal.aborted)
      throw new CommandError(EXIT.tryLater, `${listener} gave no answer in time`, error);
    throw serviceAway(address.kind === "unix" ? address.path : listener, error);
  } finally {
    deadline.dispose();
    socket.destroy();
  }
}

async function transaction(socket: Socket, message: LmtpMessage, hello: string): Promise<string> {
  const broken = new Promise<never>((_, reject) => {
    socket.once("error", reject);
    socket.once("close", () => reject(new Error("the connection was closed")));
  });
  broken.catch(() => undefined);
  const lines = createInterface({ input: socket, crlfDelay: Number.POSITIVE_INFINITY })[
    Symbol.asyncIterator
  ]();
  const reply = () => Promise.race([readReply(lines), broken]);
  const ask = async (line: string) => {
    socket.write(`${line}\r\n`);
    return expectPositive(line.split(":")[0] ?? "", await reply());
  };
  expectPositive("greeting", await reply());
  await ask(hello);
  await ask(`MAIL FROM:<${message.from}>`);
  await ask(`RCPT TO:<${message.to}>`);
  await ask("DATA");
  // RFC 5321 §4.5.2: a dot at the start of a line is doubled.
  socket.write(message.content.toString("latin1").replace(/^\./gmu, ".."), "latin1");
  const answer = await ask(".");
  socket.end("QUIT\r\n");
  return answer;
}

/** One reply: the last line has a space after its code (RFC 5321 §4.2.1). */
async function readReply(lines: AsyncIterator<string>): Promise<string> {
  for (let n = 0; n < MAX_REPLY_LINES; n += 1) {
    const { value, done } = await lines.next();
    if (done === true) throw new Error("the connection was closed");
    if (!/^\d{3}-/u.test(value)) return value;
  }
  throw new Error(`a reply of more than ${MAX_REPLY_LINES} lines`);
}

function expectPositive(step: string, reply: string): string {
  if (/^[23]\d\d/u.test(reply)) return reply;
  const exitCode = reply.startsWith("4") ? EXIT.tryLater : NO_USER.test(reply) ? EXIT.noUser : EXIT.failed;
  throw new CommandError(exitCode, `the server refused at ${step}: ${printable(reply)}`);
}
