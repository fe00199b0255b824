/**
 * The milter listener: one instance serves any number of listening sockets, which `platform/listeners.ts` opens.
 * First step of the message path: Postfix's smtpd and cleanup → here → `MilterDecider`.
 *
 * What fails how: over the connection cap and while draining a connection is closed at once, and the MTA does what its
 * `milter_default_action` says; one that sends nonsense, is silent for too long or does not read its answers harms nobody else;
 * nothing thrown here reaches `uncaughtException`.
 *
 * Sources: mail-path.md §1; operations.md §1 [milter]
 */
import { createServer, type Server, type Socket } from "node:net";
import type { Deadline } from "../../core/deadline.ts";
import type { Log } from "../../core/ports/log.ts";
import type { MilterDecider } from "../../core/ports/milter.ts";
import { addressesIn } from "../../platform/networks.ts";
import { OpenConnections } from "../../platform/open-connections.ts";
import { MilterConnection } from "./connection.ts";
import { DEFAULT_LIMITS, type MilterLimits } from "./limits.ts";
import { type MilterMetrics, MilterSession, type SessionOptions } from "./session.ts";

/**
 * Plain values; where they come from is the configuration's business. `chainTimeoutMs` is read anew for each message, so a getter
 * makes it reloadable; the rest is read once.
 */
export interface MilterServerConfig {
  /** Most connections at once, over all listening sockets. */
  readonly connections: number;
  /** `limits.milter_packet_bytes`. */
  readonly packetBytes: number;
  /** From the end of a message to the decision. */
  readonly chainTimeoutMs: number;
  /** Values of {daemon_name} that mean submission. */
  readonly outboundDaemons: readonly string[];
  /** CIDR networks whose mail is submission. */
  readonly outboundNetworks: readonly string[];
  readonly limits?: Partial<MilterLimits>;
}

export interface MilterServer {
  /** A server for one more address, not listening yet; fits `createServer` of `platform/listeners.ts`. */
  createListener(): Server;
  /** Serve an accepted connection. */
  handleConnection(socket: Socket): void;
  /** Open connections. */
  connections(): number;
  /**
   * Take nothing new, answer messages that are under way.
   * Resolves when all connections are gone or the deadline is over; what is left then is for {@link close}.
   */
  drain(deadline: Deadline): Promise<void>;
  /** Cut every connection. */
  close(): Promise<void>;
}

export interface MilterServerParts {
  readonly config: MilterServerConfig;
  readonly decider: MilterDecider;
  readonly log: Log;
  readonly metrics: MilterMetrics;
}

/** @throws {MairustError} `config_invalid`: a bad network */
export function createMilterServer(parts: MilterServerParts): MilterServer {
  return new Connections(parts);
}

/** States: serving → draining (no way back). */
class Connections implements MilterServer {
  readonly #config: MilterServerConfig;
  readonly #log: Log;
  readonly #sessionOptions: SessionOptions;
  readonly #open: OpenConnections<MilterConnection>;

  constructor({ config, decider, log, metrics }: MilterServerParts) {
    this.#config = config;
    this.#log = log;
    this.#open = new OpenConnections(open => metrics.connections(open));
    this.#sessionOptions = {
      get chainTimeoutMs() {
        return config.chainTimeoutMs;
      },
      limits: { ...DEFAULT_LIMITS, ...config.limits },
      outbound: { daemons: config.outboundDaemons, isInNetwork: addressesIn(config.outboundNetworks) },
      decider,
      log,
      metrics,
    };
  }

  createListener(): Server {
    return createServer({ noDelay: true }, socket => this.handleConnection(socket));
  }

  handleConnection(socket: Socket): void {
    if (socket.destroyed) return;
    if (this.#open.draining || this.#open.size >= this.#config.connections) {
      if (!this.#open.draining)
        this.#log.warn("milter.too_many_connections", { connections: this.#open.size });
      socket.on("error", error => this.#log.debug("milter.socket", { reason: error.message }));
      socket.destroy();
      return;
    }
    const connection: MilterConnection = new MilterConnection(socket, {
      packetBytes: this.#config.packetBytes,
      idleMs: this.#sessionOptions.limits.idleMs,
      lingerMs: this.#sessionOptions.limits.lingerMs,
      log: this.#log,
      onClosed: () => this.#open.forget(connection),
      createSession: (port, kind) => new MilterSession(port, kind, this.#sessionOptions),
    });
    this.#open.add(connection);
    connection.start();
  }

  connections(): number {
    return this.#open.size;
  }

  async drain(deadline: Deadline): Promise<void> {
    if (!(await this.#open.drain(deadline)))
      this.#log.warn("milter.drain_incomplete", { connections: this.#open.size });
  }

  close(): Promise<void> {
    return this.#open.close();
  }
}
