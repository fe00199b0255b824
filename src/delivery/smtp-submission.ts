/**
 * Hands one message to the MTA by SMTP: a mail that was held and is released, a bounce. A client of its own, because what counts here is
 * what general libraries do not give: a reply for each recipient, ORCPT for each, and bytes that are streamed and not rewritten (but
 * for a bare LF, which no MTA takes any more and which becomes a line break).
 *
 * Failures: a refusal is a reply of the recipients it is for; no connection, or none any more, is `store_unavailable`; with
 * `context.unknown` the message's end had been sent and nobody knows whether it was taken.
 * Sources: RFC 5321 §3.3, §4.5.2 (transparency), RFC 3461 §4 (DSN), RFC 6531 §3.4 (SMTPUTF8).
 */
import type { Deadline } from "../core/deadline.ts";
import { MairustError, messageOf } from "../core/errors.ts";
import type { HeldRecipient, HeldSession } from "../core/ports/holds.ts";
import { within } from "../platform/deadline.ts";
import { type Extensions, extensionsOf, inCommand, rcptCommand, xtext } from "./mail-commands.ts";
import { MailSocket } from "./mail-socket.ts";

export interface SmtpServer {
  /** `outbound.smtp`: `inet:host:port` or `unix:/path`. */
  readonly server: string;
  /** For EHLO. */
  readonly hostname: string;
}

export interface SmtpMessage {
  readonly mailFrom: string;
  readonly recipients: readonly HeldRecipient[];
  readonly dsn?: HeldSession["dsn"];
  /** Header fields to put on top, with CRLF. */
  readonly top: string;
  readonly content: AsyncIterable<Uint8Array>;
}

export interface SmtpReply {
  /** The message was taken for this recipient. */
  readonly taken: boolean;
  /** All lines, joined. */
  readonly text: string;
  /** It was said before the sender was named, so it is about the server, not about the message. */
  readonly isEarly?: true;
}

/**
 * @returns what was said about each recipient, in their order
 * @throws {MairustError} `store_unavailable`, `deadline`, and what reading the content threw: nothing was taken, unless
 *         `context.unknown` is true
 */
export async function submitBySmtp(
  { server, hostname }: SmtpServer,
  message: SmtpMessage,
  deadline: Deadline,
): Promise<readonly SmtpReply[]> {
  const session = new Session(server);
  try {
    return await within(session.send(hostname, message), deadline);
  } catch (error) {
    // Why it was cut off may be an error of ours too: past the message's end only that counts.
    const isOurs = error instanceof MairustError && error.code !== "deadline" && !session.isEndSent;
    if (isOurs) throw error;
    const what = session.isEndSent
      ? "no answer to the end of the message: it may have been taken"
      : deadline.signal.aborted
        ? "no answer in time"
        : messageOf(error);
    throw new MairustError("store_unavailable", `Cannot submit mail to "${server}": ${what}`, {
      cause: error,
      publicText: `the mail server at ${server}: ${what}`,
      context: { unknown: session.isEndSent },
    });
  } finally {
    session.close();
  }
}

class Session {
  readonly #socket: MailSocket;
  /** The final dot has been sent, and no reply to it has come. */
  isEndSent = false;

  constructor(server: string) {
    this.#socket = new MailSocket(server);
  }

  async send(hostname: string, message: SmtpMessage): Promise<readonly SmtpReply[]> {
    const all = (reply: SmtpReply) => message.recipients.map(() => reply);
    const greeting = await this.#reply();
    if (!greeting.taken) return all({ ...greeting, isEarly: true });
    const offered = await this.#command(`EHLO ${hostname}`);
    if (!offered.taken) return all({ ...offered, isEarly: true });
    const extensions = extensionsOf(offered.text.split("\n").map(line => line.slice(4)));
    const mail = await this.#command(mailCommand(message, extensions));
    if (!mail.taken) return all(mail);
    const replies: SmtpReply[] = [];
    for (const recipient of message.recipients)
      replies.push(await this.#command(rcptCommand(recipient, extensions.has("DSN"))));
    if (!replies.some(reply => reply.taken)) return replies;
    const data = await this.#command("DATA");
    // Whatever else it says, it has not got the message.
    const end = data.text.startsWith("354") ? await this.#content(message) : { ...data, taken: false };
    this.#socket.end();
    return replies.map(reply => (reply.taken ? end : reply));
  }

  close(): void {
    this.#socket.close();
  }

  async #content(message: SmtpMessage): Promise<SmtpReply> {
    const stuffer = new DotStuffer();
    await this.#socket.write(stuffer.chunk(Buffer.from(message.top, "utf8")));
    for await (const chunk of message.content) await this.#socket.write(stuffer.chunk(chunk));
    this.isEndSent = true;
    await this.#socket.write(stuffer.end());
    const reply = await this.#reply();
    this.isEndSent = false;
    return reply;
  }

  async #command(line: string): Promise<SmtpReply> {
    await this.#socket.write(`${line}\r\n`);
    return this.#reply();
  }

  async #reply(): Promise<SmtpReply> {
    const { code, lines } = await this.#socket.reply();
    return { taken: code >= 200 && code < 300, text: lines.join("\n") };
  }
}

function mailCommand({ mailFrom, recipients, dsn }: SmtpMessage, extensions: Extensions): string {
  const isAscii = [mailFrom, ...recipients.map(one => one.address.raw)].every(text =>
    /^[\x20-\x7e]*$/u.test(text),
  );
  return [
    `MAIL FROM:<${inCommand(mailFrom)}>`,
    ...(extensions.has("8BITMIME") ? ["BODY=8BITMIME"] : []),
    // Whether the header needs it is not known; Postfix, which took the message once, takes it so as well.
    ...(!isAscii && extensions.has("SMTPUTF8") ? ["SMTPUTF8"] : []),
    ...(extensions.has("DSN") && dsn?.ret !== undefined ? [`RET=${dsn.ret}`] : []),
    ...(extensions.has("DSN") && dsn?.envid !== undefined ? [`ENVID=${xtext(dsn.envid)}`] : []),
  ].join(" ");
}

const CR = 0x0d;
const LF = 0x0a;
const DOT = 0x2e;

/** RFC 5321 §4.5.2 over chunks: dots at line starts are doubled, the end is a line of its own. A bare LF becomes CRLF. */
export class DotStuffer {
  /** A message begins as after a line break. */
  #last = LF;

  chunk(bytes: Uint8Array): Buffer {
    // At most one octet more for each.
    const out = Buffer.allocUnsafe(bytes.length * 2);
    let length = 0;
    for (const octet of bytes) {
      if (octet === DOT && this.#last === LF) out[length++] = DOT;
      if (octet === LF && this.#last !== CR) out[length++] = CR;
      out[length++] = octet;
      this.#last = octet;
    }
    return out.subarray(0, length);
  }

  end(): Buffer {
    return Buffer.from(this.#last === LF ? ".\r\n" : "\r\n.\r\n", "latin1");
  }
}
