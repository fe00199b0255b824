/** An IMAP server over a memory store on a real loopback socket, and a bare client that speaks lines and literals. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import type { Log, LogFields } from "../../../../src/core/ports/log.ts";
import type { ImapConfig } from "../../../../src/protocols/imap/context.ts";
import type { ImapLimits } from "../../../../src/protocols/imap/limits.ts";
import { createImapServer, type ImapServer } from "../../../../src/protocols/imap/server.ts";
import { MemoryStore, PASSWORD } from "./memory-store.ts";

export interface Recorded {
  readonly commands: string[];
  readonly logs: string[];
  readonly unreadable: string[];
  connections: number;
  loginFailures: number;
}

export interface TestServer {
  readonly store: MemoryStore;
  readonly server: ImapServer;
  readonly recorded: Recorded;
  readonly port: number;
  /** Octets that wait in this process for clients to read them. */
  queued(): number;
  /** Octets read from clients so far. */
  received(): number;
  client(): Promise<TestClient>;
  /** A client that is logged in. */
  user(): Promise<TestClient>;
  close(): Promise<void>;
}

export async function startTestServer(
  options: {
    readonly limits?: Partial<ImapLimits>;
    readonly config?: Partial<ImapConfig>;
    readonly store?: MemoryStore;
  } = {},
): Promise<TestServer> {
  const store = options.store ?? new MemoryStore();
  const recorded: Recorded = { commands: [], logs: [], unreadable: [], connections: 0, loginFailures: 0 };
  const server = createImapServer({
    config: { hostname: "mail.test", connections: 2000, connectionsPerUser: 2000, ...options.config },
    limits: { loginDelayMs: 1, sweepMs: 20, ...options.limits },
    reader: store,
    blobs: store.blobs,
    authenticator: store,
    log: recordingLog(recorded.logs),
    metrics: {
      command: (name, result) => recorded.commands.push(`${name} ${result}`),
      connection: change => {
        recorded.connections += change;
      },
      unreadable: outcome => recorded.unreadable.push(outcome),
      loginFailed: () => {
        recorded.loginFailures += 1;
      },
    },
  });
  const sockets = new Set<Socket>();
  const listener = createServer({ noDelay: true }, socket => {
    sockets.add(socket);
    server.handleConnection(socket);
  });
  const port = await listen(listener);
  const clients: TestClient[] = [];
  const client = async () => {
    const opened = new TestClient(port);
    clients.push(opened);
    await opened.line();
    return opened;
  };
  return {
    store,
    server,
    recorded,
    port,
    queued: () => [...sockets].reduce((sum, socket) => sum + socket.writableLength, 0),
    received: () => [...sockets].reduce((sum, socket) => sum + socket.bytesRead, 0),
    client,
    user: async () => {
      const opened = await client();
      await opened.command(`LOGIN ${store.account.address} ${PASSWORD}`);
      return opened;
    },
    close: async () => {
      for (const each of clients) each.close();
      await server.close();
      listener.close();
    },
  };
}

async function listen(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

function recordingLog(lines: string[]): Log {
  const record = (level: string) => (event: string, fields?: LogFields) => {
    lines.push(`${level} ${event} ${JSON.stringify(fields ?? {})}`);
  };
  const log: Log = {
    debug: record("debug"),
    info: record("info"),
    warn: record("warn"),
    error: record("error"),
    child: () => log,
  };
  return log;
}

/** Text is latin1: one character per octet. */
export class TestClient {
  readonly socket: Socket;
  #buffer = Buffer.alloc(0);
  #chunks: Buffer[] = [];
  #received = 0;
  /** Octets to collect before the reader is woken: joining them each time would be quadratic. */
  #wanted = 1;
  #ended = false;
  #wake: (() => void) | undefined;
  #tags = 0;

  constructor(port: number) {
    this.socket = connect({ port, host: "127.0.0.1", noDelay: true });
    this.socket.on("data", chunk => {
      this.#chunks.push(chunk);
      this.#received += chunk.length;
      if (this.#received >= this.#wanted) this.#wake?.();
    });
    const end = () => {
      this.#ended = true;
      this.#wake?.();
    };
    this.socket.on("close", end);
    this.socket.on("end", end);
    this.socket.on("error", end);
  }

  send(text: string | Uint8Array): void {
    this.socket.write(typeof text === "string" ? Buffer.from(text, "latin1") : text);
  }

  /** The next line without CRLF; "" when the server closed. Literals are not looked at. */
  async line(): Promise<string> {
    for (;;) {
      const end = this.#buffer.indexOf("\r\n");
      if (end >= 0) {
        const line = this.#buffer.toString("latin1", 0, end);
        this.#buffer = this.#buffer.subarray(end + 2);
        return line;
      }
      if (this.#ended && this.#received === 0) return "";
      await this.#more();
    }
  }

  async octets(count: number): Promise<Buffer> {
    while (this.#buffer.length < count && !this.#ended) await this.#more(count - this.#buffer.length);
    const octets = this.#buffer.subarray(0, count);
    this.#buffer = this.#buffer.subarray(octets.length);
    return octets;
  }

  /** One response line with its literals inside, as `{n}CRLF` + octets. */
  async response(): Promise<string> {
    let text = await this.line();
    for (;;) {
      const literal = /\{(\d+)\}$/u.exec(text);
      if (literal === null) return text;
      const octets = await this.octets(Number(literal[1]));
      text += `\r\n${octets.toString("latin1")}${await this.line()}`;
    }
  }

  /** Send a command and read up to its tagged answer; the tag is taken off the last line. */
  async command(text: string): Promise<string[]> {
    this.#tags += 1;
    const tag = `a${this.#tags}`;
    this.send(`${tag} ${text}\r\n`);
    const responses: string[] = [];
    for (;;) {
      const response = await this.response();
      if (response.startsWith(`${tag} `)) return [...responses, response.slice(tag.length + 1)];
      responses.push(response);
      if (response === "" && this.#ended) return responses;
    }
  }

  async rest(): Promise<string> {
    while (!this.#ended) await this.#more(Number.POSITIVE_INFINITY);
    this.#join();
    const rest = this.#buffer.toString("latin1");
    this.#buffer = Buffer.alloc(0);
    return rest;
  }

  close(): void {
    this.socket.destroy();
  }

  async #more(wanted = 1): Promise<void> {
    this.#wanted = wanted;
    if (this.#received < wanted && !this.#ended) {
      await new Promise<void>(resolve => {
        this.#wake = resolve;
      });
    }
    this.#join();
  }

  #join(): void {
    this.#buffer = Buffer.concat([this.#buffer, ...this.#chunks]);
    this.#chunks = [];
    this.#received = 0;
  }
}
