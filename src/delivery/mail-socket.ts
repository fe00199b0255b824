/**
 * A connection to a server that answers commands with numbered replies: SMTP to the MTA, LMTP to a next hop. Whole replies in, bytes
 * with back-pressure out. Source: RFC 5321 §4.2.
 */
import { connect, type Socket } from "node:net";
import { parseListenSpec } from "../platform/listen-spec.ts";

/** Octets of one reply, all its lines. */
const MAX_REPLY_BYTES = 65_536;
const WHOLE_REPLY = /^(?:\d{3}-[^\n]*\n)*(\d{3})(?: [^\n]*)?\r?\n/u;

export interface ServerReply {
  readonly code: number;
  /** As they came, without line ends. */
  readonly lines: readonly string[];
}

export class MailSocket {
  readonly #socket: Socket;
  /** Why the connection is over. A promise that everybody races with would keep what each of them left at it, as long as it is open. */
  #broken: Error | undefined;
  #text = "";
  /** Who waits for a change: bytes came, there is room for more, it is over. */
  #waiting: (() => void)[] = [];

  /** @param server  `inet:host:port` or `unix:/path` */
  constructor(server: string) {
    const address = parseListenSpec(server);
    this.#socket =
      address.kind === "unix"
        ? connect({ path: address.path })
        : connect({ host: address.host, port: address.port, noDelay: true });
    this.#socket.on("error", error => this.#over(error));
    this.#socket.on("close", () => this.#over(closed()));
    this.#socket.on("end", () => this.#over(closed()));
    this.#socket.on("drain", () => this.#wake());
    this.#socket.on("data", chunk => {
      this.#text += chunk.toString("latin1");
      if (this.#text.length > MAX_REPLY_BYTES) this.#socket.destroy(new Error("a reply without end"));
      this.#wake();
    });
  }

  get isClosed(): boolean {
    return this.#socket.destroyed;
  }

  /** Nothing can be sent any more, or something was said that nobody asked for: mostly that it closes. */
  get isStale(): boolean {
    return this.#socket.destroyed || this.#socket.readableEnded || this.#text !== "";
  }

  /** @throws the connection is over */
  async write(bytes: Uint8Array | string): Promise<void> {
    if (this.#socket.destroyed) throw this.#broken ?? closed();
    const data = typeof bytes === "string" ? Buffer.from(bytes, "utf8") : bytes;
    if (this.#socket.write(data)) return;
    while (this.#socket.writableNeedDrain || this.#socket.destroyed) await this.#change();
  }

  /** The next whole reply. @throws the connection is over */
  async reply(): Promise<ServerReply> {
    for (;;) {
      const found = WHOLE_REPLY.exec(this.#text);
      if (found !== null) {
        this.#text = this.#text.slice(found[0].length);
        const lines = found[0].replace(/\r/gu, "").trimEnd().split("\n");
        return { code: Number(found[1]), lines };
      }
      await this.#change();
    }
  }

  /** Say goodbye; the rest is the server's. */
  end(): void {
    this.#socket.end("QUIT\r\n");
    this.#socket.unref();
  }

  close(): void {
    this.#socket.destroy();
  }

  /** A kept connection must not keep the process alive; one that works does. */
  idle(isIdle: boolean): void {
    if (isIdle) this.#socket.unref();
    else this.#socket.ref();
  }

  /** @throws the connection is over */
  async #change(): Promise<void> {
    if (this.#broken === undefined)
      await new Promise<void>(resolve => {
        this.#waiting.push(resolve);
      });
    else throw this.#broken;
  }

  #over(reason: Error): void {
    this.#broken ??= reason;
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

const closed = () => new Error("the connection was closed");
