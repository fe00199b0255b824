/** A plain LMTP client for tests: sends exactly the bytes that it is given, dot-stuffed, nothing added. */
import { connect, type Socket } from "node:net";

export class LmtpTestClient {
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

  static async open(port: number): Promise<LmtpTestClient> {
    const client = new LmtpTestClient(connect(port, "127.0.0.1"));
    await client.#reply();
    await client.command("LHLO test.example");
    return client;
  }

  async command(line: string): Promise<string> {
    this.#socket.write(`${line}\r\n`);
    return this.#reply();
  }

  /** @returns the reply to DATA's end for each recipient */
  async deliver(to: readonly string[], message: Buffer, queueId: string): Promise<readonly string[]> {
    await this.command(`XFORWARD IDENT=${queueId}`);
    await this.command("MAIL FROM:<sender@example.org>");
    for (const one of to) await this.command(`RCPT TO:<${one}>`);
    await this.command("DATA");
    this.#socket.write(stuffed(message));
    const replies: string[] = [];
    for (const _ of to) replies.push(await this.#reply());
    return replies;
  }

  close(): void {
    this.#socket.end("QUIT\r\n");
  }

  async #reply(): Promise<string> {
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

/** RFC 5321 §4.5.2, with the end. A message without a line break at its end gets one, as every client must. */
function stuffed(message: Buffer): Buffer {
  const text = message.toString("latin1").replace(/(^|\r\n)\./gu, "$1..");
  return Buffer.from(`${text}${text.endsWith("\r\n") || text === "" ? "" : "\r\n"}.\r\n`, "latin1");
}
