/** A plain LMTP client for tests: sends exactly the bytes that it is given, dot-stuffed, nothing added. */
import { ReplySocket } from "./reply-socket.ts";

export class LmtpTestClient {
  readonly #socket: ReplySocket;

  private constructor(port: number) {
    this.#socket = new ReplySocket(port);
  }

  static async open(port: number): Promise<LmtpTestClient> {
    const client = new LmtpTestClient(port);
    await client.#socket.reply();
    await client.command("LHLO test.example");
    return client;
  }

  command(line: string): Promise<string> {
    return this.#socket.command(line);
  }

  /** @returns the reply to DATA's end for each recipient */
  async deliver(to: readonly string[], message: Buffer, queueId: string): Promise<readonly string[]> {
    await this.command(`XFORWARD IDENT=${queueId}`);
    await this.command("MAIL FROM:<sender@example.org>");
    for (const one of to) await this.command(`RCPT TO:<${one}>`);
    await this.command("DATA");
    this.#socket.content(message);
    const replies: string[] = [];
    for (const _ of to) replies.push(await this.#socket.reply());
    return replies;
  }

  close(): void {
    this.#socket.close();
  }
}
