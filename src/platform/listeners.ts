/**
 * Opens the listeners of one section (`lmtp.listen`, `imap.listen`, …): each address gets a server of its own from the same factory.
 * One limit holds for the connections of all of them; who comes beyond is closed without a greeting and tries again.
 * Drain: stop accepting, let connections end until the deadline, then cut them. All or none: when one address fails the others are closed.
 */
import type { Server, Socket } from "node:net";
import type { Deadline } from "../core/deadline.ts";
import { MairustError, messageOf } from "../core/errors.ts";
import { within } from "./deadline.ts";
import { type ListenAddress, parseListenSpec } from "./listen-spec.ts";
import { bindWithAccess, prepareSocketPath, type SocketAccess } from "./unix-socket.ts";

export interface ListenerOptions {
  /** The configuration key, for messages: `lmtp.listen`. */
  readonly name: string;
  /** `unix:/path`, `inet:host:port`; port 0 lets the system choose. */
  readonly specs: readonly string[];
  /** Makes a server that does not listen yet, with its connection handler. Called once per address. */
  readonly createServer: (address: ListenAddress) => Server;
  /** The handlers begin TLS by themselves where the address is `tls:`; without it such an address is refused. */
  readonly tls?: true;
  /** Mode and group of UNIX sockets. */
  readonly access: SocketAccess;
  /** Connections at a time over all addresses. */
  readonly maxConnections: number;
  /** A connection was closed because of the limit. */
  readonly onDrop?: () => void;
  /** A server failed while it was listening (out of descriptors, for one); it goes on. */
  readonly onError?: (error: Error) => void;
}

export interface ListenerSet {
  /** In the order of `specs`, with the port that the system chose. */
  readonly addresses: readonly string[];
  connectionCount(): number;
  /** Take no more connections; those that are there go on. */
  stopAccepting(): void;
  /** Stop accepting, wait for the connections to end, cut what is left at the deadline. @returns how many were cut */
  drain(deadline: Deadline): Promise<number>;
  /** Cut everything now; resolves when it is closed. Safe in any state. */
  close(): Promise<void>;
}

/**
 * @throws {MairustError} naming the listener: `already_exists` (address in use), `not_permitted`, `config_invalid`, `internal`
 */
export async function openListeners(options: ListenerOptions): Promise<ListenerSet> {
  const set = new OpenListeners(options);
  try {
    for (const spec of options.specs) await set.open(spec);
    return set;
  } catch (error) {
    await set.close();
    throw error;
  }
}

class OpenListeners implements ListenerSet {
  readonly addresses: string[] = [];
  readonly #options: ListenerOptions;
  /** Open connections of each server. */
  readonly #servers = new Map<Server, Set<Socket>>();
  readonly #closed: Promise<void>[] = [];
  #accepting = true;

  constructor(options: ListenerOptions) {
    this.#options = options;
  }

  connectionCount(): number {
    let count = 0;
    for (const sockets of this.#servers.values()) count += sockets.size;
    return count;
  }

  async open(spec: string): Promise<void> {
    const address = parseListenSpec(spec);
    const server = this.#options.createServer(address);
    try {
      if (address.kind === "tls" && this.#options.tls !== true)
        throw new MairustError("not_built", `Cannot listen on "${spec}": TLS is not built`);
      if (address.kind === "unix") await prepareSocketPath(address.path);
      await this.#listen(server, address);
    } catch (error) {
      server.close();
      throw listenError(this.#options.name, spec, error);
    }
    this.addresses.push(actualSpec(server, address));
  }

  #listen(server: Server, address: ListenAddress): Promise<void> {
    return new Promise((resolve, reject) => {
      server.once("error", reject);
      server.once("listening", () => {
        server.off("error", reject);
        server.on("error", error => this.#options.onError?.(error));
        this.#closed.push(new Promise(done => server.once("close", () => done())));
        resolve();
      });
      this.#track(server);
      if (address.kind === "unix")
        bindWithAccess(address.path, this.#options.access, () => server.listen({ path: address.path }));
      else server.listen({ host: address.host, port: address.port });
    });
  }

  #track(server: Server): void {
    const sockets = new Set<Socket>();
    this.#servers.set(server, sockets);
    this.#shareLimit();
    server.prependListener("connection", (socket: Socket) => {
      sockets.add(socket);
      this.#shareLimit();
      socket.once("close", () => {
        sockets.delete(socket);
        this.#shareLimit();
      });
    });
    server.on("drop", () => this.#options.onDrop?.());
  }

  /** Each server may hold what the others leave. Node takes 0 for "no limit", so a full set is -1. */
  #shareLimit(): void {
    const total = this.connectionCount();
    for (const [server, sockets] of this.#servers) {
      const room = this.#options.maxConnections - (total - sockets.size);
      server.maxConnections = room > 0 ? room : -1;
    }
  }

  stopAccepting(): void {
    if (!this.#accepting) return;
    this.#accepting = false;
    for (const server of this.#servers.keys()) if (server.listening) server.close();
  }

  async drain(deadline: Deadline): Promise<number> {
    this.stopAccepting();
    try {
      await within(Promise.all(this.#closed), deadline);
      return 0;
    } catch {
      // Only the deadline rejects: the promises of #closed never do.
      const cut = this.connectionCount();
      await this.close();
      return cut;
    }
  }

  async close(): Promise<void> {
    this.stopAccepting();
    for (const sockets of this.#servers.values()) for (const socket of sockets) socket.destroy();
    await Promise.all(this.#closed);
    // The servers are closed, so no socket is left; their own close events come a tick later.
    for (const sockets of this.#servers.values()) sockets.clear();
  }
}

function actualSpec(server: Server, address: ListenAddress): string {
  if (address.kind === "unix") return `unix:${address.path}`;
  const bound = server.address();
  const port = bound !== null && typeof bound === "object" ? bound.port : address.port;
  return `${address.kind}:${address.host.includes(":") ? `[${address.host}]` : address.host}:${port}`;
}

const REASONS: Readonly<
  Record<string, readonly ["already_exists" | "not_permitted" | "config_invalid", string]>
> = {
  EADDRINUSE: ["already_exists", "another process uses the address"],
  EACCES: ["not_permitted", "this process may not use the address"],
  EPERM: ["not_permitted", "this process may not use the address"],
  EADDRNOTAVAIL: ["config_invalid", "this host does not have the address"],
  ENOTFOUND: ["config_invalid", "the host name is unknown"],
};

/** Every failure names the key and the address. */
function listenError(name: string, spec: string, error: unknown): MairustError {
  if (error instanceof MairustError)
    return new MairustError(error.code, `${name}: ${error.message}`, { cause: error });
  const errno = error instanceof Error && "code" in error ? String(error.code) : "";
  const [code, reason] = REASONS[errno] ?? (["internal", messageOf(error)] as const);
  return new MairustError(code, `${name}: Cannot listen on "${spec}": ${reason}`, { cause: error });
}
