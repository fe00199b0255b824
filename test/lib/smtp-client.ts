/** A plain SMTP client for tests: sends exactly the bytes that it is given, dot-stuffed, nothing added, and shows whole replies. */
import { ReplySocket } from "./reply-socket.ts";

export class SmtpTestClient {
  readonly #socket: ReplySocket;
  #greeting = "";

  private constructor(port: number) {
    this.#socket = new ReplySocket(port);
  }

  get greeting(): string {
    return this.#greeting;
  }

  static async open(port: number): Promise<SmtpTestClient> {
    const client = new SmtpTestClient(port);
    client.#greeting = await client.#socket.reply();
    await client.command("EHLO client.test");
    return client;
  }

  command(line: string): Promise<string> {
    return this.#socket.command(line);
  }

  /** @returns the reply that refused a step, or the one to the message's end */
  async send(from: string, to: readonly string[], message: string): Promise<string> {
    const commands = [`MAIL FROM:<${from}>`, ...to.map(one => `RCPT TO:<${one}>`), "DATA"];
    for (const command of commands) {
      const reply = await this.command(command);
      if (!/^[23]/u.test(reply)) return reply;
    }
    this.#socket.content(Buffer.from(message, "latin1"));
    return this.#socket.reply();
  }

  close(): void {
    this.#socket.close();
  }

  /** Go away without a word. */
  cut(): void {
    this.#socket.cut();
  }
}
