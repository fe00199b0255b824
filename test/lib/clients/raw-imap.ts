/** An IMAP client that says what it is told and keeps what it hears, for exact sequences. Source: RFC 3501 §2.2. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { deadlineAfter, within } from "../../../src/platform/deadline.ts";
import { ImapLines } from "./imap-lines.ts";

const ANSWER_MS = 30_000;

export interface Answer {
  /** OK, NO or BAD. */
  readonly status: string;
  /** What follows it. */
  readonly text: string;
  /** Untagged responses and continuations before it, literals as `{n}`. */
  readonly lines: readonly string[];
}

export class RawImap {
  readonly #socket: Socket;
  readonly #lines: string[] = [];
  #wake: (() => void) | undefined;
  #tag = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    const heard = new ImapLines(line => {
      this.#lines.push(line);
      this.#wake?.();
    }, false);
    socket.on("data", (chunk: Buffer) => heard.feed(chunk));
    for (const event of ["close", "error"]) socket.on(event, () => this.#wake?.());
  }

  /** Connect and read the greeting. */
  static async open(port: number): Promise<RawImap> {
    const client = new RawImap(connect(port, "127.0.0.1"));
    await client.line(/^\* OK/u);
    return client;
  }

  /** Send one command and wait for its tagged answer; `{n}` at its end is followed by `literal` after the server's `+`. */
  async command(text: string, literal?: string): Promise<Answer> {
    this.#tag += 1;
    const tag = `a${this.#tag}`;
    this.#socket.write(`${tag} ${text}\r\n`);
    const lines: string[] = [];
    for (;;) {
      const line = await this.#next();
      if (literal !== undefined && line.startsWith("+")) this.#socket.write(`${literal}\r\n`);
      if (line.startsWith(`${tag} `)) {
        const [, status = "", rest = ""] = /^\S+ (\S+) ?(.*)$/su.exec(line) ?? [];
        return { status, text: rest, lines };
      }
      lines.push(line);
    }
  }

  /** Send without waiting: IDLE and DONE. */
  send(text: string): void {
    this.#socket.write(`${text}\r\n`);
  }

  /** Wait for a line; those before it are dropped. */
  async line(pattern: RegExp): Promise<string> {
    for (;;) {
      const line = await this.#next();
      if (pattern.test(line)) return line;
    }
  }

  async close(): Promise<void> {
    if (this.#socket.destroyed) return;
    const closed = once(this.#socket, "close");
    this.#socket.destroy();
    await closed;
  }

  async #next(): Promise<string> {
    const deadline = deadlineAfter(ANSWER_MS);
    try {
      for (;;) {
        const line = this.#lines.shift();
        if (line !== undefined) return line;
        if (this.#socket.destroyed) throw new Error("the server closed the connection");
        await within(
          new Promise<void>(resolve => {
            this.#wake = resolve;
          }),
          deadline,
        );
      }
    } finally {
      deadline.dispose();
    }
  }
}
