/**
 * A TCP proxy between a client (or Dovecot) and an IMAP server that changes nothing and keeps the commands, how many octets went
 * each way, and how many whole bodies were sent. Bounded: the last {@link KEPT_COMMANDS} commands and responses.
 */
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { ImapLines } from "./imap-lines.ts";

export const KEPT_COMMANDS = 4096;
/** Responses are for error texts only. */
const KEPT_RESPONSES = 200;

export interface WireCommand {
  /** Connections in the order in which they came, from 1. */
  readonly connection: number;
  /** Without its tag; literals as `{n}`. `DONE` and lines of AUTHENTICATE too. */
  readonly text: string;
}

export interface WireCounts {
  readonly connections: number;
  readonly commands: number;
  readonly bytesToServer: number;
  readonly bytesToClient: number;
  /** Literals of `BODY[]`, `RFC822` and `BODY[TEXT]`: messages whose text was sent. */
  readonly bodies: number;
}

export interface WireProxy {
  readonly port: number;
  /** Since the last `reset()`. */
  counts(): WireCounts;
  /** Since the last `reset()`; at most {@link KEPT_COMMANDS}, the last ones. */
  commands(): readonly WireCommand[];
  responses(): readonly string[];
  reset(): void;
  /** Open now. */
  open(): number;
  /** Break all connections, and go on listening. */
  cut(): void;
  stop(): Promise<void>;
}

const ZERO: WireCounts = { connections: 0, commands: 0, bytesToServer: 0, bytesToClient: 0, bodies: 0 };
const WHOLE_BODY = /\b(?:BODY\[(?:TEXT)?\]|RFC822) \{\d+\}/giu;

class Recorder {
  counts = ZERO;
  readonly commands: WireCommand[] = [];
  readonly responses: string[] = [];
  /** Over all resets, so that a connection keeps its number. */
  connectionNumber = 0;

  add(more: Partial<WireCounts>): void {
    const sum = { ...this.counts };
    for (const key of Object.keys(ZERO) as (keyof WireCounts)[]) sum[key] += more[key] ?? 0;
    this.counts = sum;
  }

  command(connection: number, text: string): void {
    this.commands.push({ connection, text });
    if (this.commands.length > KEPT_COMMANDS) this.commands.shift();
    this.add({ commands: 1 });
  }

  response(line: string): void {
    this.responses.push(line);
    if (this.responses.length > KEPT_RESPONSES) this.responses.shift();
    this.add({ bodies: line.match(WHOLE_BODY)?.length ?? 0 });
  }

  reset(): void {
    this.counts = ZERO;
    this.commands.length = 0;
    this.responses.length = 0;
  }
}

/** @param target  port on 127.0.0.1 */
export async function startWireProxy(target: number): Promise<WireProxy> {
  const recorder = new Recorder();
  const open = new Set<Socket>();
  const server = createServer({ noDelay: true }, client => relay(client, target, recorder, open));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: portOf(server),
    counts: () => recorder.counts,
    commands: () => [...recorder.commands],
    responses: () => [...recorder.responses],
    reset: () => recorder.reset(),
    open: () => open.size,
    cut() {
      for (const socket of open) socket.destroy();
    },
    async stop() {
      const closed = once(server, "close");
      server.close();
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}

function relay(client: Socket, target: number, recorder: Recorder, open: Set<Socket>): void {
  const upstream = connect({ port: target, host: "127.0.0.1", noDelay: true });
  recorder.connectionNumber += 1;
  const connection = recorder.connectionNumber;
  recorder.add({ connections: 1 });
  const asked = new ImapLines(line => recorder.command(connection, untagged(line)), true);
  const told = new ImapLines(line => {
    if (line.startsWith("+")) asked.go();
    else if (!line.startsWith("*")) asked.answered(line);
    recorder.response(line);
  }, false);
  client.on("data", (chunk: Buffer) => {
    recorder.add({ bytesToServer: chunk.length });
    asked.feed(chunk);
  });
  upstream.on("data", (chunk: Buffer) => {
    recorder.add({ bytesToClient: chunk.length });
    told.feed(chunk);
  });
  client.pipe(upstream);
  upstream.pipe(client);
  for (const [socket, other] of [
    [client, upstream],
    [upstream, client],
  ] as const) {
    open.add(socket);
    // A reset or a refused connection at one end is the end of the other.
    socket.on("error", () => other.destroy());
    socket.on("close", () => {
      open.delete(socket);
      other.end();
    });
  }
}

/** A tag is followed by a command's name; DONE and base64 stand alone. */
function untagged(line: string): string {
  return /^\S+ (?=[A-Za-z])/u.test(line) ? line.replace(/^\S+ /u, "") : line;
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the proxy has no port");
  return address.port;
}
