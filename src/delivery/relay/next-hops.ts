/**
 * Next hops with their kept connections (message path, step 7). `relay.lmtp` names a server; to each there are a few connections at a
 * time, kept open for a while between transactions, and who finds them all busy waits.
 *
 * A server closes kept connections when it likes. When one turns out to be closed before the end of the message was sent, nobody
 * can have the message, and it is tried once more by a new connection; a new one that fails is a failure.
 * What fails how: `store_unavailable` (no connection, or the server does not speak LMTP), `deadline`, `too_many` (too many wait).
 */
import type { Deadline } from "../../core/deadline.ts";
import { MairustError, messageOf } from "../../core/errors.ts";
import type { NextHops, RelayMessage, RelayPause, RelayReply } from "../../core/ports/relay.ts";
import { every, within } from "../../platform/deadline.ts";
import { LmtpConnection } from "./lmtp-connection.ts";
import { RelayGate } from "./relay-gate.ts";

export interface HopLimits {
  /** Open connections to one server: Postfix's default for one destination, which Dovecot is used to; each costs it a process. Others wait. */
  readonly connections: number;
  /** How long a connection that nobody uses is kept. */
  readonly idleMs: number;
  /** Transactions that may wait for a connection to one server. */
  readonly waiting: number;
}

export const HOP_LIMITS: HopLimits = { connections: 20, idleMs: 60_000, waiting: 1_000 };
const SWEEP_MS = 5_000;

interface Kept {
  readonly connection: LmtpConnection;
  readonly since: number;
}

interface Hop {
  readonly idle: Kept[];
  open: number;
  readonly waiting: (() => void)[];
}

export interface NextHopOptions {
  /** For LHLO. */
  readonly hostname: string;
  readonly limits?: HopLimits;
  readonly now?: () => number;
}

/** `close`: end the connections that nobody uses, and keep none from now on. */
export type ClosableHops = NextHops & RelayPause & { close(): void };

export function createNextHops(options: NextHopOptions): ClosableHops {
  return new Hops(options);
}

class Hops implements ClosableHops {
  readonly #hostname: string;
  readonly #limits: HopLimits;
  readonly #now: () => number;
  readonly #hops = new Map<string, Hop>();
  readonly #gate: RelayGate;
  #endSweep: (() => void) | undefined;
  #isClosed = false;

  constructor({ hostname, limits = HOP_LIMITS, now = () => performance.now() }: NextHopOptions) {
    this.#hostname = hostname;
    this.#limits = limits;
    this.#now = now;
    this.#gate = new RelayGate(limits.waiting);
  }

  async deliver(
    server: string,
    message: RelayMessage,
    deadline: Deadline,
  ): Promise<readonly (RelayReply | undefined)[]> {
    const hop = this.#hop(server);
    await this.#turn(server, hop, deadline);
    let leave: () => void = () => undefined;
    try {
      leave = await this.#gate.enter(deadline);
      const kept = this.#takeKept(hop);
      if (kept !== undefined) {
        const replies = await this.#byKept(hop, kept, message, deadline);
        if (replies !== undefined) return replies;
      }
      return await this.#byNew(server, hop, message, deadline);
    } catch (error) {
      throw failure(server, error);
    } finally {
      leave();
      hop.open -= 1;
      hop.waiting.shift()?.();
    }
  }

  async probe(server: string, deadline: Deadline): Promise<string> {
    let connection: LmtpConnection | undefined;
    try {
      connection = new LmtpConnection(server);
      await connection.greet(deadline);
      connection.end();
      return connection.greeting;
    } catch (error) {
      connection?.close();
      throw failure(server, error);
    }
  }

  async pause(forMs: number, deadline: Deadline): Promise<boolean> {
    const isQuiet = await this.#gate.close(forMs, deadline);
    // A server that begins anew ends them, in the midst of a later message perhaps.
    this.#endKept();
    return isQuiet;
  }

  resume(): void {
    this.#gate.open();
  }

  close(): void {
    this.#isClosed = true;
    this.#endSweep?.();
    this.#endKept();
    this.#gate.open();
  }

  #endKept(): void {
    for (const { idle } of this.#hops.values()) for (const { connection } of idle.splice(0)) connection.end();
  }

  #hop(server: string): Hop {
    const hop = this.#hops.get(server) ?? { idle: [], open: 0, waiting: [] };
    this.#hops.set(server, hop);
    return hop;
  }

  /** One of the places for a connection; the caller gives it back. */
  async #turn(server: string, hop: Hop, deadline: Deadline): Promise<void> {
    while (hop.open >= this.#limits.connections) {
      if (hop.waiting.length >= this.#limits.waiting)
        throw new MairustError("too_many", `Cannot relay to "${server}": ${hop.waiting.length} wait already`);
      let wake: () => void = () => undefined;
      const turn = new Promise<void>(resolve => {
        wake = resolve;
        hop.waiting.push(wake);
      });
      try {
        await within(turn, deadline);
      } catch (error) {
        const at = hop.waiting.indexOf(wake);
        if (at >= 0) hop.waiting.splice(at, 1);
        // It was this one's turn already: the next one's now.
        else hop.waiting.shift()?.();
        throw error;
      }
    }
    hop.open += 1;
  }

  #takeKept(hop: Hop): LmtpConnection | undefined {
    for (let kept = hop.idle.pop(); kept !== undefined; kept = hop.idle.pop()) {
      const isFresh = this.#now() - kept.since < this.#limits.idleMs;
      if (isFresh && kept.connection.isUsable) {
        kept.connection.idle(false);
        return kept.connection;
      }
      kept.connection.close();
    }
    return undefined;
  }

  /** @returns undefined: it was closed, and nobody can have the message */
  async #byKept(hop: Hop, connection: LmtpConnection, message: RelayMessage, deadline: Deadline) {
    try {
      const replies = await connection.transact(message, deadline);
      this.#keep(hop, connection);
      return replies;
    } catch (error) {
      connection.close();
      if (connection.mayHaveTaken || deadline.signal.aborted) throw error;
      return undefined;
    }
  }

  async #byNew(server: string, hop: Hop, message: RelayMessage, deadline: Deadline) {
    const connection = new LmtpConnection(server);
    try {
      await connection.open(this.#hostname, deadline);
      const replies = await connection.transact(message, deadline);
      this.#keep(hop, connection);
      return replies;
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  #keep(hop: Hop, connection: LmtpConnection): void {
    if (!connection.isUsable) {
      connection.close();
      return;
    }
    if (this.#isClosed) {
      connection.end();
      return;
    }
    connection.idle(true);
    hop.idle.push({ connection, since: this.#now() });
    this.#endSweep ??= every(SWEEP_MS, () => this.#sweep());
  }

  #sweep(): void {
    for (const { idle } of this.#hops.values()) {
      const old = idle.filter(
        ({ since, connection }) => this.#now() - since >= this.#limits.idleMs || !connection.isUsable,
      );
      for (const kept of old) {
        idle.splice(idle.indexOf(kept), 1);
        kept.connection.end();
      }
    }
  }
}

function failure(server: string, error: unknown): MairustError {
  if (error instanceof MairustError) return error;
  return new MairustError("store_unavailable", `Cannot relay to "${server}": ${messageOf(error)}`, {
    cause: error,
    publicText: "the next hop cannot be reached",
  });
}
