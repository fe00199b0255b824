/**
 * An LMTP server for tests of the relay: takes what it is sent, octet for octet, and answers as a test says. Speaks PIPELINING and
 * CHUNKING unless told otherwise.
 */
import { createServer, type Server, type Socket } from "node:net";

export interface HopMessage {
  /** MAIL and each RCPT, as sent. */
  readonly commands: readonly string[];
  readonly bytes: Buffer;
}

export interface HopBehaviour {
  greeting: string;
  extensions: readonly string[];
  /** @returns the reply to a command; undefined: as always; "close": closes the connection; "silent": says nothing */
  onCommand: (line: string, connection: number) => string | undefined;
  /** @returns the replies to a message, one for each accepted RCPT; undefined: 250 for each; "close" in it closes there */
  onMessage: (message: HopMessage, accepted: readonly string[]) => readonly string[] | undefined;
}

export const PIPELINED = ["PIPELINING", "8BITMIME", "CHUNKING", "ENHANCEDSTATUSCODES"] as const;

export class LmtpHop {
  readonly messages: HopMessage[] = [];
  /** All lines of all connections. */
  readonly lines: string[] = [];
  connections = 0;
  readonly behaviour: HopBehaviour = {
    greeting: "220 hop ready",
    extensions: PIPELINED,
    onCommand: () => undefined,
    onMessage: () => undefined,
  };
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  port = 0;

  private constructor() {
    this.#server = createServer({ noDelay: true }, socket => this.#serve(socket));
  }

  static async start(port = 0): Promise<LmtpHop> {
    const hop = new LmtpHop();
    await hop.listen(port);
    return hop;
  }

  async listen(port = this.port): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(port, "127.0.0.1", resolve);
    });
    const address = this.#server.address();
    this.port = typeof address === "object" && address !== null ? address.port : 0;
  }

  get server(): string {
    return `inet:127.0.0.1:${this.port}`;
  }

  /** Say it on every open connection, where a reply was held back. */
  answer(text: string): void {
    for (const socket of this.#sockets) socket.write(`${text}\r\n`);
  }

  /** Close every open connection. */
  hangUp(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    const closed = new Promise<void>(resolve => this.#server.close(() => resolve()));
    this.hangUp();
    await closed;
  }

  #serve(socket: Socket): void {
    this.connections += 1;
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => undefined);
    const session = new HopSession(this, socket, this.connections);
    socket.on("data", chunk => session.take(chunk));
  }
}

class HopSession {
  readonly #hop: LmtpHop;
  readonly #socket: Socket;
  readonly #number: number;
  #input = Buffer.alloc(0);
  #commands: string[] = [];
  #accepted: string[] = [];
  /** Octets of BDAT that are still to come; -1: the dot ends it; undefined: commands. */
  #content: number | undefined;

  constructor(hop: LmtpHop, socket: Socket, number: number) {
    this.#hop = hop;
    this.#socket = socket;
    this.#number = number;
    this.#say(hop.behaviour.greeting);
  }

  take(chunk: Buffer): void {
    this.#input = Buffer.concat([this.#input, chunk]);
    while (this.#next());
  }

  #next(): boolean {
    if (this.#content === undefined) return this.#nextCommand();
    if (this.#content < 0) {
      const end = `\r\n${this.#input.toString("latin1")}`.indexOf("\r\n.\r\n");
      if (end < 0) return false;
      const bytes = this.#input.subarray(0, end);
      this.#input = this.#input.subarray(end + 3);
      this.#message(Buffer.from(bytes.toString("latin1").replace(/(^|\r\n)\./gu, "$1"), "latin1"));
      return true;
    }
    if (this.#input.length < this.#content) return false;
    const bytes = this.#input.subarray(0, this.#content);
    this.#input = this.#input.subarray(this.#content);
    this.#message(Buffer.from(bytes));
    return true;
  }

  #nextCommand(): boolean {
    const end = this.#input.indexOf("\r\n");
    if (end < 0) return false;
    const line = this.#input.subarray(0, end).toString("utf8");
    this.#input = this.#input.subarray(end + 2);
    this.#hop.lines.push(line);
    const said = this.#hop.behaviour.onCommand(line, this.#number);
    this.#command(line, said);
    return true;
  }

  #command(line: string, said: string | undefined): void {
    const verb = line.split(" ")[0]?.toUpperCase() ?? "";
    if (verb === "MAIL" || verb === "RSET") {
      this.#commands = [];
      this.#accepted = [];
    }
    if (verb === "MAIL" || verb === "RCPT") this.#commands.push(line);
    if (verb === "RCPT" && (said === undefined || said.startsWith("2"))) this.#accepted.push(line);
    if (verb === "DATA" && said === undefined) this.#content = -1;
    if (verb === "BDAT") this.#content = Number(line.split(" ")[1]);
    const { extensions } = this.#hop.behaviour;
    const lhlo = ["hop", ...extensions]
      .map((text, i, all) => `250${i < all.length - 1 ? "-" : " "}${text}`)
      .join("\r\n");
    if (verb === "BDAT") return;
    this.#say(said ?? (verb === "LHLO" ? lhlo : verb === "DATA" ? "354 go on" : "250 2.1.0 ok"));
  }

  #message(bytes: Buffer): void {
    this.#content = undefined;
    const message = { commands: this.#commands, bytes };
    const replies =
      this.#hop.behaviour.onMessage(message, this.#accepted) ?? this.#accepted.map(() => "250 2.0.0 saved");
    this.#hop.messages.push(message);
    for (const reply of replies) this.#say(reply);
    this.#commands = [];
    this.#accepted = [];
  }

  #say(text: string): void {
    if (text === "silent") return;
    if (text === "close") this.#socket.end();
    else if (text === "reset") this.#socket.destroy();
    else if (this.#socket.writable) this.#socket.write(`${text}\r\n`);
  }
}
