/**
 * Between a service and its PostgreSQL: passes everything on, until it is told to cut a connection in the middle of the statement that
 * stores mail, or to let nobody through.
 */
import { connect, createServer, type Server, type Socket } from "node:net";
import { PostgresWire } from "./pg-wire.ts";

/** The statement that stores a batch: `store/deliver-rows.ts`. */
const STORES = /\bstore_deliveries\(/u;
/** Longest time from passing the statement on to a cut while it runs. */
const RUNNING_MS = 12;

/**
 * Where the connection is cut. `unsent`: the server got nothing of the statement; `torn`: half of it; `running`: all of it, and some
 * milliseconds: before, in or after the commit; `answered`: the commit is done, and its answer is not passed on.
 */
export const CUTS = ["unsent", "torn", "running", "answered"] as const;
export type Cut = (typeof CUTS)[number];

export interface PostgresProxy {
  readonly port: number;
  /** At the next statement that stores mail. Resolves when it was done. */
  cut(how: Cut): Promise<void>;
  /** False: every connection is ended, and new ones at once. */
  pass(on: boolean): void;
  close(): Promise<void>;
}

interface Pending {
  readonly how: Cut;
  readonly done: () => void;
}

/** @param target  the server's socket now: it may be another one after a restart */
export async function startPostgresProxy(target: () => string): Promise<PostgresProxy> {
  const sockets = new Set<Socket>();
  const state: { pending: Pending | undefined; passes: boolean } = { pending: undefined, passes: true };
  const server: Server = createServer({ noDelay: true }, client => {
    if (!state.passes) return void client.destroy();
    const upstream = connect({ path: target() });
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
    new Connection(client, upstream, () => {
      const { pending } = state;
      state.pending = undefined;
      return pending;
    }).start();
  });
  await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    cut: how =>
      new Promise(done => {
        state.pending = { how, done };
      }),
    pass(on) {
      state.passes = on;
      if (!on) for (const socket of sockets) socket.destroy();
    },
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

class Connection {
  readonly #client: Socket;
  readonly #upstream: Socket;
  readonly #take: () => Pending | undefined;
  readonly #wire = new PostgresWire();
  #rest = Buffer.alloc(0);
  #isStarted = false;
  /** Its answer is not passed on. */
  #muted: Pending | undefined;

  constructor(client: Socket, upstream: Socket, take: () => Pending | undefined) {
    this.#client = client;
    this.#upstream = upstream;
    this.#take = take;
  }

  start(): void {
    this.#client.on("data", (chunk: Buffer) => this.#sent(chunk));
    this.#upstream.on("data", (chunk: Buffer) => this.#received(chunk));
  }

  #sent(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    const whole = this.#rest.subarray(0, this.#wholeBytes());
    this.#rest = Buffer.from(this.#rest.subarray(whole.length));
    if (whole.length === 0) return;
    if (!this.#isStarted) {
      this.#isStarted = true;
      this.#upstream.write(whole);
      return;
    }
    const stores = this.#wire.sent(whole).some(statement => STORES.test(statement));
    const pending = stores ? this.#take() : undefined;
    if (pending === undefined) this.#upstream.write(whole);
    else this.#cut(pending, whole);
  }

  #cut(pending: Pending, whole: Buffer): void {
    if (pending.how === "unsent") this.#end(pending);
    else if (pending.how === "torn")
      this.#upstream.write(whole.subarray(0, Math.ceil(whole.length / 2)), () => this.#end(pending));
    else {
      this.#muted = pending;
      this.#upstream.write(whole, () => {
        if (pending.how === "running") setTimeout(() => this.#end(pending), Math.random() * RUNNING_MS);
      });
    }
  }

  #received(chunk: Buffer): void {
    const answered = this.#wire.received(chunk);
    const muted = this.#muted;
    if (muted === undefined) this.#client.write(chunk);
    else if (muted.how === "answered" && answered.some(statement => STORES.test(statement))) this.#end(muted);
  }

  #end({ done }: Pending): void {
    this.#client.destroy();
    this.#upstream.destroy();
    done();
  }

  /** Octets of whole messages at the front; the first message has no type octet (PostgreSQL manual §54.7). */
  #wholeBytes(): number {
    const rest = this.#rest;
    if (!this.#isStarted)
      return rest.length >= 4 && rest.length >= rest.readInt32BE(0) ? rest.readInt32BE(0) : 0;
    let at = 0;
    while (at + 5 <= rest.length) {
      const end = at + 1 + rest.readInt32BE(at + 1);
      if (end > rest.length) break;
      at = end;
    }
    return at;
  }
}
