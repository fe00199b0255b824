/**
 * The IMAP server as one component: takes sockets from the listeners, begins TLS where it is due, drives the clock of all sessions
 * with one timer, and drains. What stands behind it comes through the ports. Message path, step 9.
 * Source: RFC 3501; Dovecot src/lib-storage/index/imapc for what the main client asks.
 */
import type { Socket } from "node:net";
import type { Deadline } from "../../core/deadline.ts";
import { MairustError, messageOf } from "../../core/errors.ts";
import type { AccountId } from "../../core/ids.ts";
import type { Account } from "../../core/ports/directory.ts";
import { every, sleep, within } from "../../platform/deadline.ts";
import { Admission, type Place, REFUSAL_TEXT, type RefusalReason } from "./admission.ts";
import { Connection } from "./connection.ts";
import type { ImapParts } from "./context.ts";
import { DEFAULT_LIMITS, type ImapLimits } from "./limits.ts";
import { type PeerFacts, peerOf } from "./peer.ts";
import type { ListenerProfile } from "./profile.ts";
import { Refusals } from "./refusals.ts";
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

const ignore = (): void => undefined;

export function createImapServer(options: ImapServerOptions): ImapServer {
  return new RunningImapServer({ ...options, limits: { ...DEFAULT_LIMITS, ...options.limits } });
}

/** What a connection takes with it through its handshake. */
interface Visit {
  readonly facts: PeerFacts;
  readonly profile: ListenerProfile;
  readonly place: Place;
  /** `performance.now()` */
  readonly since: number;
}

class RunningImapServer implements ImapServer {
  readonly #parts: ImapParts;
  readonly #admission: Admission;
  readonly #refusals: Refusals;
  readonly #sessions = new Map<Session, Connection>();
  /** Sockets that wait for their handshake, or are in it. */
  readonly #handshakes = new Set<Socket>();
  /** Sessions and handshakes that still do something, be it after their connection is gone. */
  readonly #running = new Set<Promise<void>>();
  readonly #perAccount = new Map<AccountId, number>();
  readonly #stopClock: () => void;
  #draining = false;
  /** Called whenever a session ended or went into IDLE. */
  #progress: (() => void) | undefined;

  constructor(parts: ImapParts) {
    this.#parts = parts;
    this.#admission = new Admission(parts.config, parts.limits, () => performance.now());
    this.#refusals = new Refusals(parts.log);
    this.#stopClock = every(parts.limits.sweepMs, () => this.#sweep());
  }

  connections(): number {
    return this.#sessions.size + this.#handshakes.size;
  }

  handleConnection(socket: Socket, profile: ListenerProfile): void {
    const facts = peerOf(socket);
    const makeRoom = () => {
      this.#note(profile, "strangers", facts);
      socket.destroy();
    };
    const place = this.#draining ? "draining" : this.#admission.enter(profile.kind, facts.peer, makeRoom);
    if (typeof place === "string") this.#refuse(socket, profile, place, facts);
    else this.#welcome(socket, { facts, profile, place, since: performance.now() });
  }

  #welcome(socket: Socket, visit: Visit): void {
    const { place, profile } = visit;
    const { metrics } = this.#parts;
    metrics.connection(1, profile.kind);
    socket.once("close", () => {
      place.leave();
      metrics.connection(-1, profile.kind);
      this.#progress?.();
    });
    if (profile.tls === "implicit") this.#run(this.#secure(socket, visit, true));
    else this.#run(this.#serve(socket, visit, true));
  }

  #refuse(socket: Socket, profile: ListenerProfile, reason: RefusalReason, facts: PeerFacts): void {
    this.#note(profile, reason, facts);
    // The peer is not listened to; an error of its socket changes nothing.
    socket.on("error", () => undefined);
    // Who expects TLS could not read it.
    if (profile.tls !== "implicit") socket.end(`* BYE ${REFUSAL_TEXT[reason]}\r\n`);
    socket.destroySoon();
  }

  #note({ kind }: ListenerProfile, reason: RefusalReason, { peer }: PeerFacts): void {
    this.#parts.metrics.refused?.(kind, reason);
    this.#refusals.note(kind, reason, peer, performance.now());
  }

  #run(work: Promise<void>): void {
    const running = work.finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** Begin TLS, then serve. Never rejects. @param greets  the peer has not heard anything yet */
  async #secure(socket: Socket, visit: Visit, greets: boolean): Promise<void> {
    const { tls, limits, metrics } = this.#parts;
    this.#handshakes.add(socket);
    const gone = new AbortController();
    const onClose = () => gone.abort();
    socket.once("close", onClose).on("error", ignore);
    // A client may close its sending side and still wait for answers.
    socket.allowHalfOpen = true;
    try {
      const waitMs = this.#admission.handshakeWaitMs();
      if (waitMs > 0) await sleep(waitMs, gone.signal);
      if (tls === undefined) throw new MairustError("internal", "Cannot begin TLS: there is no certificate");
      const secured = await tls.upgrade(socket, limits.handshakeTimeoutMs);
      metrics.handshake?.("ok");
      if (this.#draining) secured.destroy();
      else this.#run(this.#serve(secured, { ...visit, facts: { ...visit.facts, secure: true } }, greets));
    } catch (error) {
      socket.destroy();
      metrics.handshake?.("failed");
      const { facts, profile } = visit;
      this.#parts.log.debug("imap handshake failed", {
        ...{ peer: facts.peer, listener: profile.kind, reason: messageOf(error) },
      });
    } finally {
      socket.off("close", onClose);
      this.#handshakes.delete(socket);
      this.#progress?.();
    }
  }

  /** Never rejects. */
  async #serve(socket: Socket, visit: Visit, greets: boolean): Promise<void> {
    const { facts, profile, place, since } = visit;
    const connection = new Connection(socket, this.#parts.limits);
    let admitted: Account | undefined;
    const admit = (account: Account) => {
      const count = this.#perAccount.get(account.id) ?? 0;
      // A peer that left while its password was checked must not be counted: nobody would take it off again.
      if (connection.gone.aborted || count >= this.#parts.config.connectionsPerUser) return false;
      this.#perAccount.set(account.id, count + 1);
      admitted = account;
      place.loggedIn();
      return true;
    };
    const isEncrypted = "encrypted" in socket && socket.encrypted === true;
    const offersTls = profile.tls === "starttls" && !isEncrypted && this.#parts.tls?.available === true;
    const session = new Session({
      ...{ parts: this.#parts, connection, admit, profile, since, greets, offersTls },
      ...facts,
    });
    this.#sessions.set(session, connection);
    connection.gone.addEventListener(
      "abort",
      () => {
        if (admitted !== undefined) this.#release(admitted);
        this.#sessions.delete(session);
        this.#progress?.();
      },
      { once: true },
    );
    const onwards = await session.run();
    if (onwards !== undefined) this.#run(this.#secure(onwards, visit, false));
  }

  #release(account: Account): void {
    const count = (this.#perAccount.get(account.id) ?? 1) - 1;
    if (count > 0) this.#perAccount.set(account.id, count);
    else this.#perAccount.delete(account.id);
  }

  #sweep(): void {
    const now = performance.now();
    for (const session of this.#sessions.keys()) session.tick(now);
    this.#refusals.sweep(now);
    this.#progress?.();
  }

  async drain(deadline: Deadline): Promise<number> {
    this.#draining = true;
    for (const socket of this.#handshakes) socket.destroy();
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
    for (const socket of this.#handshakes) socket.destroy();
    // Who ends may begin something else: a session becomes a handshake.
    while (this.#running.size > 0) await Promise.all(this.#running);
    await this.#until(() => this.#sessions.size === 0 && this.#admission.open === 0);
  }
}
