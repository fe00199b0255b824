/**
 * The LMTP listener: one instance serves any number of listening sockets, which `platform/listeners.ts` opens.
 * Step 6 of the message path: Postfix → here → `MessageIntake`.
 *
 * What fails how: over the connection cap and while draining a peer gets `421 4.3.2` and is closed; a peer that breaks
 * off harms nobody else; nothing thrown here reaches `uncaughtException`.
 *
 * Sources: RFC 2033; operations.md §1 [lmtp], §2; mail-path.md §2
 */
import { createServer, type Server, type Socket } from "node:net";
import type { Deadline } from "../../core/deadline.ts";
import { toMairustError } from "../../core/errors.ts";
import type { MessageIntake } from "../../core/ports/intake.ts";
import type { Log } from "../../core/ports/log.ts";
import { OpenConnections } from "../../platform/open-connections.ts";
import { createLibraryServer, type LibraryServer, LmtpConnection } from "./library-overrides.ts";
import { DEFAULT_LIMITS, type LmtpLimits } from "./limits.ts";
import { DRAINING, type Reply, renderReply, TOO_MANY_CONNECTIONS } from "./reply.ts";
import { type LmtpMetrics, LmtpSession, type SessionOptions } from "./session.ts";
import { peerName, trustedPeers } from "./trust.ts";

/**
 * Plain values; where they come from is the configuration's business. `chainTimeoutMs` and `messageBytes` are read anew
 * for each transaction, so a getter makes them reloadable; the rest is read once.
 */
export interface LmtpServerConfig {
  /** Name in the greeting. */
  readonly hostname: string;
  /** Most connections at once, over all listening sockets. */
  readonly connections: number;
  /** CIDR networks that may send XFORWARD; peers on UNIX sockets always may. */
  readonly xforwardFrom: readonly string[];
  /** Announce DSN. Only for a service that sends the SUCCESS notices itself: Postfix then leaves them to us. Default false. */
  readonly dsn?: boolean;
  /** From the final dot to the replies. */
  readonly chainTimeoutMs: number;
  /** Largest message taken. */
  readonly messageBytes: number;
  /** PEM; absent: no STARTTLS. */
  readonly tls?: { readonly key: string | Buffer; readonly cert: string | Buffer } | undefined;
  readonly limits?: Partial<LmtpLimits>;
}

export interface LmtpServer {
  /** A server for one more address, not listening yet; fits `createServer` of `platform/listeners.ts`. */
  createListener(): Server;
  /** Serve an accepted connection: plain, or a TLS socket after its handshake. */
  handleConnection(socket: Socket): void;
  /** Open connections. */
  connections(): number;
  /**
   * Take nothing new, finish messages whose content is under way, close with 421.
   * Resolves when all connections are gone or the deadline is over; what is left then is for {@link close}.
   */
  drain(deadline: Deadline): Promise<void>;
  /** Cut every connection. A message past its final dot is finished by the intake all the same. */
  close(): Promise<void>;
  /** Use another certificate for STARTTLS from now on. */
  reloadTls(tls: { readonly key: string | Buffer; readonly cert: string | Buffer }): void;
}

export interface LmtpServerParts {
  readonly config: LmtpServerConfig;
  readonly intake: MessageIntake;
  readonly log: Log;
  readonly metrics: LmtpMetrics;
}

/** @throws {MairustError} `config_invalid`: a bad network, or a library that is not the one this was written for */
export function createLmtpServer(parts: LmtpServerParts): LmtpServer {
  return new Connections(parts);
}

/** All connections of one instance, and the few that are being refused. States: serving → draining (no way back). */
class Connections implements LmtpServer {
  readonly #config: LmtpServerConfig;
  readonly #limits: LmtpLimits;
  readonly #log: Log;
  readonly #library: LibraryServer;
  readonly #isTrusted: (peer: string) => boolean;
  readonly #sessionOptions: SessionOptions;
  readonly #open: OpenConnections<LmtpConnection>;
  readonly #refused = new Set<Socket>();

  constructor({ config, intake, log, metrics }: LmtpServerParts) {
    this.#config = config;
    this.#log = log;
    this.#open = new OpenConnections(open => metrics.connections(open));
    const limits: LmtpLimits = { ...DEFAULT_LIMITS, ...config.limits };
    this.#limits = limits;
    this.#library = createLibraryServer({ hostname: config.hostname, limits, tls: config.tls }, log);
    this.#isTrusted = trustedPeers(config.xforwardFrom);
    this.#sessionOptions = {
      hostname: config.hostname,
      dsn: config.dsn ?? false,
      get messageBytes() {
        return config.messageBytes;
      },
      get chainTimeoutMs() {
        return config.chainTimeoutMs;
      },
      finishGraceMs: limits.finishGraceMs,
      uploadMs: limits.uploadMs,
      limits,
      intake,
      log,
      metrics,
    };
  }

  createListener(): Server {
    // Half-open is for peers that end their side behind the last command and still read our replies.
    return createServer({ noDelay: true, allowHalfOpen: true }, socket => this.handleConnection(socket));
  }

  handleConnection(socket: Socket): void {
    if (socket.destroyed) return;
    if (this.#open.draining) {
      this.#refuse(socket, DRAINING);
      return;
    }
    if (this.#open.size >= this.#config.connections) {
      this.#log.warn("lmtp.too_many_connections", { connections: this.#open.size });
      this.#refuse(socket, TOO_MANY_CONNECTIONS);
      return;
    }
    try {
      this.#serve(socket);
    } catch (error) {
      this.#log.error("lmtp.connection", { error: toMairustError(error, "serve connection") });
      socket.destroy();
    }
  }

  connections(): number {
    return this.#open.size;
  }

  async drain(deadline: Deadline): Promise<void> {
    if (!(await this.#open.drain(deadline)))
      this.#log.warn("lmtp.drain_incomplete", { connections: this.#open.size });
  }

  async close(): Promise<void> {
    const closed = this.#open.close();
    for (const socket of [...this.#refused]) socket.destroy();
    await closed;
  }

  reloadTls(tls: { readonly key: string | Buffer; readonly cert: string | Buffer }): void {
    this.#library.updateSecureContext({ key: tls.key, cert: tls.cert });
  }

  #serve(socket: Socket): void {
    const name = peerName(socket);
    const peer = { name, trusted: this.#isTrusted(name) };
    const connection: LmtpConnection = new LmtpConnection(this.#library, socket, {
      limits: this.#limits,
      log: this.#log,
      onClosed: () => this.#open.forget(connection),
      createSession: port => new LmtpSession(port, peer, this.#sessionOptions),
    });
    this.#open.add(connection);
    connection.init();
  }

  /** Say why and close, without letting refused peers pile up. */
  #refuse(socket: Socket, reply: Reply): void {
    socket.on("error", error => this.#log.debug("lmtp.socket", { reason: error.message }));
    if (this.#refused.size >= this.#limits.refusedSockets) {
      socket.destroy();
      return;
    }
    this.#refused.add(socket);
    socket.once("close", () => this.#refused.delete(socket));
    socket.setTimeout(this.#limits.refusedLingerMs, () => socket.destroy());
    socket.resume();
    socket.end(renderReply(reply));
  }
}
