/** What SMTP and LMTP test clients share: lines out, whole replies in, a message dot-stuffed and ended. */
import { connect, type Socket } from "node:net";

const WHOLE_REPLY = /^(?:\d{3}-[^\r\n]*\r\n)*\d{3} [^\r\n]*\r\n/u;

export class ReplySocket {
  readonly #socket: Socket;
  #text = "";
  #wake: (() => void) | undefined;

  constructor(port: number) {
    this.#socket = connect(port, "127.0.0.1");
    this.#socket.setNoDelay(true);
    this.#socket.on("data", chunk => {
      this.#text += chunk.toString("latin1");
      this.#wake?.();
    });
    // Whoever waits for a reply then hears that there is none.
    this.#socket.on("close", () => this.#wake?.());
    this.#socket.on("error", () => this.#wake?.());
  }

  async command(line: string): Promise<string> {
    this.#socket.write(`${line}\r\n`);
    return this.reply();
  }

  /** The content after DATA. RFC 5321 §4.5.2; one without a line break at its end gets one, as every client must. */
  content(message: Buffer): void {
    const text = message.toString("latin1").replace(/(^|\r\n)\./gu, "$1..");
    const end = text.endsWith("\r\n") || text === "" ? "" : "\r\n";
    this.#socket.write(`${text}${end}.\r\n`, "latin1");
  }

  /** The next reply, all its lines. @throws {Error} the connection is closed */
  async reply(): Promise<string> {
    for (;;) {
      const found = WHOLE_REPLY.exec(this.#text);
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

  close(): void {
    this.#socket.end("QUIT\r\n");
  }

  cut(): void {
    this.#socket.destroy();
  }
}
