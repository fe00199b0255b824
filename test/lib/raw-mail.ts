/** A raw SMTP or LMTP dialogue for tests: octets as they are, in the chunks that the test chooses. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";

export class RawMail {
  readonly #socket: Socket;
  #text = "";
  #ended = false;
  #wake: (() => void) | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    const wake = () => this.#wake?.();
    socket.on("data", chunk => {
      this.#text += chunk.toString("latin1");
      wake();
    });
    for (const event of ["end", "close", "error"]) {
      socket.on(event, () => {
        this.#ended = true;
        wake();
      });
    }
  }

  /** Connect and read the greeting. */
  static async open(port: number): Promise<RawMail> {
    const mail = new RawMail(connect(port, "127.0.0.1"));
    await mail.reply();
    return mail;
  }

  /** Send octets in one write, and wait until they left this process. @param text  one character per octet */
  async send(text: string): Promise<void> {
    if (this.#socket.write(text, "latin1")) return;
    await once(this.#socket, "drain");
  }

  /** The next whole reply without its line end; "" when the server closed. */
  async reply(): Promise<string> {
    for (;;) {
      const found = /^(?:\d{3}-[^\n]*\n)*\d{3} [^\n]*\n/u.exec(this.#text)?.[0];
      if (found !== undefined) {
        this.#text = this.#text.slice(found.length);
        return found.trimEnd();
      }
      if (this.#ended) return "";
      await new Promise<void>(resolve => {
        this.#wake = resolve;
      });
    }
  }

  async command(line: string): Promise<string> {
    await this.send(`${line}\r\n`);
    return this.reply();
  }

  /** Everything that is answered until the server closes. */
  async rest(): Promise<readonly string[]> {
    const replies: string[] = [];
    for (let reply = await this.reply(); reply !== ""; reply = await this.reply()) replies.push(reply);
    return replies;
  }

  close(): void {
    this.#socket.destroy();
  }
}
