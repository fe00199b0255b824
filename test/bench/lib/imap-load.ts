/**
 * An IMAP client that costs next to nothing: it counts the octets of an answer and looks only at its last line, so that a figure is
 * the server's. One command at a time.
 */
import { connect, type Socket } from "node:net";

/** Enough for the tagged line. */
const TAIL_OCTETS = 1024;
const READ_OCTETS = 262_144;
const ANSWER_TIMEOUT_MS = 60_000;

export interface Answer {
  /** Octets of all lines, the tagged one included. */
  readonly octets: number;
  readonly ms: number;
}

/** Who logs in: a user with a password, or a master user for another. */
export interface ImapUser {
  readonly user: string;
  readonly password: string;
  /** Whose mail is read; undefined: the user's own. */
  readonly as?: string;
}

export class ImapLoad {
  readonly #socket: Socket;
  #tail: Buffer = Buffer.alloc(0);
  #octets = 0;
  #tag = 0;
  #ended: ((tail: string) => boolean) | undefined;
  #resolve: ((tail: string) => void) | undefined;
  #reject: ((error: Error) => void) | undefined;
  #broken: Error | undefined;

  private constructor(port: number) {
    // Into one buffer again and again: a buffer for each read would keep this process busy collecting them.
    const buffer = Buffer.alloc(READ_OCTETS);
    const callback = (octets: number) => {
      this.#received(buffer.subarray(0, octets));
      return true;
    };
    this.#socket = connect({ port, host: "127.0.0.1", onread: { buffer, callback } });
    this.#socket.setNoDelay(true);
    this.#socket.setTimeout(ANSWER_TIMEOUT_MS, () => {
      if (this.#ended !== undefined)
        this.#socket.destroy(
          new Error(`no answer in time after "${this.#tail.toString("latin1").slice(-200)}"`),
        );
    });
    this.#socket.on("error", error => this.#fail(error));
    this.#socket.on("close", () => this.#fail(new Error("connection closed")));
  }

  static async open(port: number, { user, password, as }: ImapUser): Promise<ImapLoad> {
    const client = new ImapLoad(port);
    await client.#until(tail => tail.endsWith("\r\n"), "");
    const plain = Buffer.from(`${as ?? ""}\0${user}\0${password}`).toString("base64");
    await client.command(`AUTHENTICATE PLAIN ${plain}`);
    return client;
  }

  /** @throws when the answer is not OK */
  async command(text: string): Promise<Answer> {
    this.#tag += 1;
    const tag = `zq${this.#tag}`;
    const startedAt = performance.now();
    const tail = await this.#until(
      end => end.endsWith("\r\n") && lastLine(end).startsWith(`${tag} `),
      `${tag} ${text}\r\n`,
    );
    const ms = performance.now() - startedAt;
    if (!lastLine(tail).startsWith(`${tag} OK`)) throw new Error(`${text}: ${lastLine(tail)}`);
    return { octets: this.#octets, ms };
  }

  /** Go into IDLE and stay there. */
  async idle(): Promise<void> {
    await this.#until(tail => /^\+ .*\r\n/mu.test(tail), "zi IDLE\r\n");
  }

  /** LOGOUT, so that the server has let go of the mailbox afterwards. */
  async end(): Promise<void> {
    await this.command("LOGOUT");
    this.#socket.destroy();
  }

  /** Leave without a word: the only way out of IDLE. */
  cut(): void {
    this.#socket.destroy();
  }

  #until(ended: (tail: string) => boolean, send: string): Promise<string> {
    if (this.#broken !== undefined) return Promise.reject(this.#broken);
    this.#octets = 0;
    this.#tail = Buffer.alloc(0);
    return new Promise((resolve, reject) => {
      this.#ended = ended;
      this.#resolve = resolve;
      this.#reject = reject;
      if (send !== "") this.#socket.write(send);
    });
  }

  #received(chunk: Buffer): void {
    this.#octets += chunk.length;
    const last = chunk.subarray(Math.max(0, chunk.length - TAIL_OCTETS));
    this.#tail =
      last.length === TAIL_OCTETS
        ? Buffer.from(last)
        : Buffer.concat([
            this.#tail.subarray(Math.max(0, this.#tail.length - TAIL_OCTETS + last.length)),
            last,
          ]);
    const tail = this.#tail.toString("latin1");
    if (this.#ended?.(tail) !== true) return;
    this.#ended = undefined;
    this.#resolve?.(tail);
  }

  #fail(error: Error): void {
    this.#broken ??= error;
    this.#ended = undefined;
    this.#reject?.(this.#broken);
  }
}

function lastLine(tail: string): string {
  const before = tail.lastIndexOf("\r\n", tail.length - 3);
  return before < 0 ? tail : tail.slice(before + 2);
}
