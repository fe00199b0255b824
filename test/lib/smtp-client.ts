/** A plain SMTP client for tests: sends exactly the bytes that it is given, dot-stuffed, nothing added, and shows whole replies. */
import { connect, type Socket } from "node:net";

export class SmtpTestClient {
  readonly #socket: Socket;
  #text = "";
  #wake: (() => void) | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on("data", chunk => {
      this.#text += chunk.toString("latin1");
      this.#wake?.();
    });
    socket.on("close", () => this.#wake?.());
    socket.on("error", () => this.#wake?.());
  }

  static async open(port: number): Promise<SmtpTestClient> {
    const client = new SmtpTestClient(connect(port, "127.0.0.1"));
    await client.reply();
    await client.command("EHLO client.test");
    return client;
  }

  async command(line: string): Promise<string> {
    this.#socket.write(`${line}\r\n`);
    return this.reply();
  }

  /** @returns the reply that refused a step, or the one to the message's end */
  async send(from: string, to: readonly string[], message: string): Promise<string> {
    const commands = [`MAIL FROM:<${from}>`, ...to.map(one => `RCPT TO:<${one}>`), "DATA"];
    for (const command of commands) {
      const reply = await this.command(command);
      if (!/^[23]/u.test(reply)) return reply;
    }
    this.#socket.write(`${message.replace(/(^|\r\n)\./gu, "$1..")}.\r\n`, "latin1");
    return this.reply();
  }

  close(): void {
    this.#socket.end("QUIT\r\n");
  }

  async reply(): Promise<string> {
    for (;;) {
      const found = /^(?:\d{3}-[^\r\n]*\r\n)*\d{3} [^\r\n]*\r\n/u.exec(this.#text);
      if (found !== null) {
        this.#text = this.#text.slice(found[0].length);
        return found[0].trimEnd();
      }
      if (this.#socket.destroyed) throw new Error(`connection closed: ${this.#text}`);
      await new Promise<void>(resolve => {
        this.#wake = resolve;
      });
    }
  }
}
