/** A TCP gate before a mail server: open, shut, or open but for the answer to the end of a message, which it keeps back. */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

export interface SmtpGate {
  readonly port: number;
  /** Connections of clients so far. */
  readonly connections: number;
  /** To this port on loopback. */
  leadTo(port: number): void;
  open(): void;
  /** Connections are cut at once. */
  shut(): void;
  /** What the server says to the next message's end does not come through. @returns when it has said it: its reply */
  keepNextAnswer(): Promise<string>;
  close(): Promise<void>;
}

export async function startSmtpGate(): Promise<SmtpGate> {
  const sockets = new Set<Socket>();
  const state = {
    port: 0,
    isShut: false,
    connections: 0,
    kept: undefined as ((reply: string) => void) | undefined,
  };
  const server = createServer(client => {
    state.connections += 1;
    if (state.isShut) {
      client.destroy();
      return;
    }
    const upstream = connect({ port: state.port, host: "127.0.0.1" });
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(one);
      one.on("error", () => other.destroy());
      one.on("close", () => {
        sockets.delete(one);
        other.destroy();
      });
    }
    let isContent = false;
    let isKept = false;
    client.on("data", chunk => upstream.write(chunk));
    upstream.on("data", (chunk: Buffer) => {
      const text = chunk.toString("latin1");
      if (isContent && state.kept !== undefined) {
        isKept = true;
        state.kept(text);
        state.kept = undefined;
      }
      isContent = text.startsWith("354");
      if (!isKept) client.write(chunk);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    get connections() {
      return state.connections;
    },
    leadTo(port) {
      state.port = port;
    },
    open() {
      state.isShut = false;
    },
    shut() {
      state.isShut = true;
    },
    keepNextAnswer: () =>
      new Promise(resolve => {
        state.kept = resolve;
      }),
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
