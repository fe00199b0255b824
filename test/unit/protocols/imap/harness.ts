/** An IMAP server over a memory store on a real loopback socket, and a bare client that speaks lines and literals. */
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import type { Log, LogFields } from "../../../../src/core/ports/log.ts";
import type { ImapConfig, ImapParts } from "../../../../src/protocols/imap/context.ts";
import type { ImapLimits } from "../../../../src/protocols/imap/limits.ts";
import { DOVECOT, type ListenerProfile } from "../../../../src/protocols/imap/profile.ts";
import { createImapServer, type ImapServer } from "../../../../src/protocols/imap/server.ts";
import { ImapTestClient as TestClient } from "../../../lib/imap-client.ts";
import { MemoryStore, PASSWORD } from "./memory-store.ts";

export { TestClient };

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
  /** Connections whose socket is not closed. */
  open(): number;
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
    readonly profile?: ListenerProfile;
    /** What else stands behind the server. */
    readonly parts?: (store: MemoryStore) => Partial<ImapParts>;
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
    ...options.parts?.(store),
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
    server.handleConnection(socket, options.profile ?? DOVECOT);
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
    open: () => [...sockets].filter(socket => !socket.closed).length,
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
