/**
 * The IMAP server as one component: takes sockets from the listeners, counts connections, drives the clock of all sessions
 * with one timer, and drains. What stands behind it comes through the ports. Message path, step 9.
 * Source: RFC 3501; Dovecot src/lib-storage/index/imapc for what the main client asks.
 */
import type { Socket } from "node:net";
import type { Deadline } from "../../core/deadline.ts";
import type { AccountId } from "../../core/ids.ts";
import type { Account } from "../../core/ports/directory.ts";
import { every, within } from "../../platform/deadline.ts";
import { Connection } from "./connection.ts";
import type { ImapParts } from "./context.ts";
import { DEFAULT_LIMITS, type ImapLimits } from "./limits.ts";
import { type PeerFacts, peerOf } from "./peer.ts";
import type { ListenerProfile } from "./profile.ts";
import { Session } from "./session.ts";

export interface ImapServerOptions extends Omit<ImapParts, "limits"> {
  /** Only what differs from {@link DEFAULT_LIMITS}. */
  readonly limits?: Partial<ImapLimits>;
}

export interface ImapServer {
  /** Serve one accepted connection. Never throws; the socket is the server's from now on. @param profile  of its listener */
  handleConnection(socket: Socket, profile: ListenerProfile): void;
  /**
   * Take no more; end each session when its commands are answered, those in IDLE last, since their clients see it as a
   * failure. What is left at the deadline is cut. @returns how many were cut
   */
  drain(deadline: Deadline): Promise<number>;
  /** Cut everything now; resolves when no session does anything any more. Safe in any state. */
  close(): Promise<void>;
  connections(): number;
}

export function createImapServer(options: ImapServerOptions): ImapServer {
  return new RunningImapServer({ ...options, limits: { ...DEFAULT_LIMITS, ...options.limits } });
}

class RunningImapServer implements ImapServer {
  readonly #parts: ImapParts;
  readonly #sessions = new Map<Session, Connection>();
  /** Sessions that still do something, be it after their connection is gone. */
  readonly #running = new Set<Promise<void>>();
  readonly #perAccount = new Map<AccountId, number>();
  readonly #stopClock: () => void;
  #draining = false;
  /** Called whenever a session ended or went into IDLE. */
  #progress: (() => void) | undefined;

  constructor(parts: ImapParts) {
    this.#parts = parts;
    this.#stopClock = every(parts.limits.sweepMs, () => this.#sweep());
  }

  connections(): number {
    return this.#sessions.size;
  }

  handleConnection(socket: Socket, profile: ListenerProfile): void {
    const refusal = this.#draining
      ? "[UNAVAILABLE] Server is shutting down"
      : this.#sessions.size >= this.#parts.config.connections
        ? "[LIMIT] Too many connections"
        : undefined;
    if (refusal !== undefined) {
      // The peer is not listened to; an error of its socket changes nothing.
      socket.on("error", () => undefined);
      socket.end(`* BYE ${refusal}\r\n`);
      socket.destroySoon();
      return;
    }
    this.#serve(new Connection(socket, this.#parts.limits), peerOf(socket), profile);
  }

  #serve(connection: Connection, facts: PeerFacts, profile: ListenerProfile): void {
    let admitted: Account | undefined;
    const admit = (account: Account) => {
      const count = this.#perAccount.get(account.id) ?? 0;
      // A peer that left while its password was checked must not be counted: nobody would take it off again.
      if (connection.gone.aborted || count >= this.#parts.config.connectionsPerUser) return false;
      this.#perAccount.set(account.id, count + 1);
      admitted = account;
      return true;
    };
    const session = new Session({ parts: this.#parts, connection, admit, profile, ...facts });
    this.#sessions.set(session, connection);
    this.#parts.metrics.connection(1);
    connection.gone.addEventListener(
      "abort",
      () => {
        if (admitted !== undefined) this.#release(admitted);
        this.#sessions.delete(session);
        this.#parts.metrics.connection(-1);
        this.#progress?.();
      },
      { once: true },
    );
    const running = session.run().finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  #release(account: Account): void {
    const count = (this.#perAccount.get(account.id) ?? 1) - 1;
    if (count > 0) this.#perAccount.set(account.id, count);
    else this.#perAccount.delete(account.id);
  }

  #sweep(): void {
    const now = performance.now();
    for (const session of this.#sessions.keys()) session.tick(now);
    this.#progress?.();
  }

  async drain(deadline: Deadline): Promise<number> {
    this.#draining = true;
    try {
      for (const session of this.#sessions.keys()) session.drain("commands");
      await within(
        this.#until(() => [...this.#sessions.keys()].every(session => session.idling)),
        deadline,
      );
      for (const session of this.#sessions.keys()) session.drain("idle");
      await within(
        this.#until(() => this.#sessions.size === 0),
        deadline,
      );
    } catch (error) {
      this.#parts.log.warn("imap sessions cut at the end of draining", {
        count: this.#sessions.size,
        reason: error instanceof Error ? error.message : String(error),
      });
    }
    const cut = this.#sessions.size;
    await this.close();
    return cut;
  }

  #until(reached: () => boolean): Promise<void> {
    return new Promise(resolve => {
      const look = () => {
        if (!reached()) return;
        this.#progress = undefined;
        resolve();
      };
      this.#progress = look;
      look();
    });
  }

  async close(): Promise<void> {
    this.#draining = true;
    this.#stopClock();
    for (const connection of this.#sessions.values()) connection.destroy();
    await Promise.all(this.#running);
    await this.#until(() => this.#sessions.size === 0);
  }
}
