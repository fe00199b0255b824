/**
 * The next hop of a mail server under test: takes mail by SMTP or LMTP, keeps it, and gives the replies that the test wants.
 * It speaks to servers that behave, so it checks nothing.
 */
import { createServer, type Server, type Socket } from "node:net";

export interface SunkMessage {
  /** With angle brackets and parameters, as in MAIL. */
  readonly from: string;
  /** Addresses whose RCPT was answered 2xx. */
  readonly to: readonly string[];
  /** latin1, so that every octet is a character; without dot stuffing, lines end with CRLF. */
  readonly content: string;
}

export interface MailSinkOptions {
  readonly protocol: "smtp" | "lmtp";
  /** The reply to RCPT. */
  readonly rcpt?: (address: string) => string;
  /** The reply behind the final dot for this recipient (SMTP: the first one); undefined: none comes, ever. */
  readonly data?: (address: string) => string | undefined;
}

export interface MailSink {
  readonly port: number;
  /** Connections so far. */
  readonly connections: number;
  /** In the order of their final dots. */
  readonly messages: readonly SunkMessage[];
  close(): Promise<void>;
}

const OK = () => "250 2.0.0 taken";

/** @param port  of loopback; default: a free one */
export async function openMailSink(options: MailSinkOptions, port = 0): Promise<MailSink> {
  const messages: SunkMessage[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer({ noDelay: true }, socket => {
    connections += 1;
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    new SinkSession(socket, options, message => messages.push(message)).start();
  });
  return {
    port: await listen(server, port),
    get connections() {
      return connections;
    },
    messages,
    close: () =>
      new Promise<void>(resolve => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : 0);
    });
  });
}

/** States: commands; content, from DATA to its final dot; silent, for good. */
class SinkSession {
  readonly #socket: Socket;
  readonly #options: MailSinkOptions;
  readonly #keep: (message: SunkMessage) => void;
  #input = "";
  #inContent = false;
  #isSilent = false;
  #from = "";
  #to: string[] = [];

  constructor(socket: Socket, options: MailSinkOptions, keep: (message: SunkMessage) => void) {
    this.#socket = socket;
    this.#options = options;
    this.#keep = keep;
  }

  start(): void {
    this.#socket.setEncoding("latin1");
    this.#socket.on("data", (text: string) => {
      this.#input += text;
      while (!this.#isSilent && (this.#inContent ? this.#takeContent() : this.#takeCommand()));
    });
    this.#say("220 sink.test ready");
  }

  #say(...lines: readonly string[]): void {
    this.#socket.write(lines.map(line => `${line}\r\n`).join(""), "latin1");
  }

  #takeCommand(): boolean {
    const end = this.#input.indexOf("\r\n");
    if (end < 0) return false;
    const line = this.#input.slice(0, end);
    this.#input = this.#input.slice(end + 2);
    this.#command(line);
    return true;
  }

  #command(line: string): void {
    const verb = line.slice(0, 4).toUpperCase();
    if (verb === "EHLO" || verb === "LHLO") {
      this.#say("250-sink.test", "250-PIPELINING", "250-8BITMIME", "250 ENHANCEDSTATUSCODES");
    } else if (verb === "MAIL") {
      this.#from = line.slice("MAIL FROM:".length);
      this.#to = [];
      this.#say("250 2.1.0 ok");
    } else if (verb === "RCPT") {
      const address = /<(.*?)>/u.exec(line)?.[1] ?? "";
      const reply = (this.#options.rcpt ?? OK)(address);
      if (reply.startsWith("2")) this.#to.push(address);
      this.#say(reply);
    } else if (verb === "DATA") {
      this.#inContent = this.#to.length > 0;
      this.#say(this.#inContent ? "354 go on" : "503 5.5.1 no recipients");
    } else if (verb === "QUIT") {
      this.#socket.end("221 2.0.0 bye\r\n");
    } else {
      if (verb === "RSET") this.#to = [];
      this.#say("250 2.0.0 ok");
    }
  }

  #takeContent(): boolean {
    const end = this.#input.startsWith(".\r\n") ? 0 : this.#input.indexOf("\r\n.\r\n") + 2;
    if (end === 1) return false;
    const content = this.#input.slice(0, end).replace(/^\.\./gmu, ".");
    this.#input = this.#input.slice(end + 3);
    this.#inContent = false;
    this.#keep({ from: this.#from, to: this.#to, content });
    const answered = this.#options.protocol === "lmtp" ? this.#to : this.#to.slice(0, 1);
    const replies = answered.map(this.#options.data ?? OK);
    if (replies.every(reply => reply !== undefined)) this.#say(...replies);
    // Postfix sends QUIT with the dot, and would take its reply for the missing one.
    else this.#isSilent = true;
    return true;
  }
}
