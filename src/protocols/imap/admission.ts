/**
 * Who may come in: counts connections of all listeners together. Peers of a client listener may be strangers, so they have less than
 * all (Dovecot always finds room), few that are not logged in, few from one network, and handshakes at a pace that leaves the
 * processor to mail. Pure but for the clock. Source: RFC 3501 §11 says nothing of it; OpenSSH's MaxStartups is the model.
 */
import { customerNetwork, isThisHost } from "../../platform/networks.ts";
import type { ImapLimits } from "./limits.ts";
import type { ListenerProfile } from "./profile.ts";

/** Why a connection is refused; also a label of metrics. */
export type RefusalReason = "draining" | "total" | "clients" | "strangers" | "address";

/** Behind `* BYE`. */
export const REFUSAL_TEXT: Readonly<Record<RefusalReason, string>> = {
  draining: "[UNAVAILABLE] Server is shutting down",
  total: "[LIMIT] Too many connections",
  clients: "[LIMIT] Too many connections",
  strangers: "[LIMIT] Too many connections that are not logged in",
  address: "[LIMIT] Too many connections from your network",
};

interface FromNetwork {
  open: number;
  strangers: number;
}

/** The place of one connection, from accept to close. */
export interface Place {
  /** It is a stranger's no more. */
  loggedIn(): void;
  /** As often as it is called, it counts once. */
  leave(): void;
}

interface Stranger {
  readonly since: number;
  readonly makeRoom: () => void;
}

type Limits = Pick<
  ImapLimits,
  | "strangers"
  | "strangerGraceMs"
  | "connectionsPerNetwork"
  | "strangersPerNetwork"
  | "handshakesPerS"
  | "handshakeBurst"
>;

export class Admission {
  readonly #limits: Limits;
  readonly #total: number;
  /** Of client listeners. The other half is Dovecot's, whatever comes here. */
  readonly #clients: number;
  /** Strangers alone never fill what clients have. */
  readonly #maxStrangers: number;
  readonly #now: () => number;
  readonly #open = { dovecot: 0, client: 0 };
  /** Of client listeners, the oldest first. */
  readonly #strangers = new Set<Stranger>();
  /** Of client listeners; only networks with open connections. */
  readonly #networks = new Map<string, FromNetwork>();
  /** When the next handshake may begin. */
  #handshakeAt = Number.NEGATIVE_INFINITY;

  constructor(config: { readonly connections: number }, limits: Limits, now: () => number) {
    this.#limits = limits;
    this.#total = config.connections;
    this.#clients = Math.floor(config.connections / 2);
    this.#maxStrangers = Math.min(limits.strangers, Math.ceil(this.#clients / 2));
    this.#now = now;
  }

  get open(): number {
    return this.#open.dovecot + this.#open.client;
  }

  /**
   * @param makeRoom  ends the connection if it is still a stranger's when others want its place
   * @returns the place taken, or why there is none
   */
  enter(kind: ListenerProfile["kind"], peer: string, makeRoom: () => void): Place | RefusalReason {
    if (this.open >= this.#total) return "total";
    if (kind === "dovecot") return this.#take(kind, undefined, undefined);
    if (this.#open.client >= this.#clients) return "clients";
    const network = isThisHost(peer) ? undefined : customerNetwork(peer);
    if (network !== undefined && this.#isFull(network)) return "address";
    if (this.#strangers.size >= this.#maxStrangers && !this.#oldestLeaves()) return "strangers";
    return this.#take(kind, network, { since: this.#now(), makeRoom });
  }

  /** Take a turn. @returns milliseconds until a handshake may begin; bounded, since strangers are few */
  handshakeWaitMs(): number {
    const now = this.#now();
    const stepMs = 1000 / this.#limits.handshakesPerS;
    const at = Math.max(this.#handshakeAt, now - stepMs * this.#limits.handshakeBurst);
    this.#handshakeAt = at + stepMs;
    return Math.max(0, at - now);
  }

  #isFull(network: string): boolean {
    const from = this.#networks.get(network);
    if (from === undefined) return false;
    return (
      from.open >= this.#limits.connectionsPerNetwork || from.strangers >= this.#limits.strangersPerNetwork
    );
  }

  /** Who is slow to log in leaves first; who has just come keeps its place. */
  #oldestLeaves(): boolean {
    const [oldest] = this.#strangers;
    if (oldest === undefined || this.#now() - oldest.since < this.#limits.strangerGraceMs) return false;
    this.#strangers.delete(oldest);
    oldest.makeRoom();
    return true;
  }

  #take(kind: ListenerProfile["kind"], network: string | undefined, stranger: Stranger | undefined): Place {
    const from = network === undefined ? undefined : this.#from(network);
    this.#open[kind] += 1;
    if (from !== undefined) from.open += 1;
    if (from !== undefined) from.strangers += 1;
    if (stranger !== undefined) this.#strangers.add(stranger);
    const state = { stranger: true, open: true };
    const known = () => {
      if (!state.stranger) return;
      state.stranger = false;
      if (from !== undefined) from.strangers -= 1;
      if (stranger !== undefined) this.#strangers.delete(stranger);
    };
    return {
      loggedIn: known,
      leave: () => {
        if (!state.open) return;
        state.open = false;
        known();
        this.#open[kind] -= 1;
        if (from === undefined || network === undefined) return;
        from.open -= 1;
        if (from.open === 0) this.#networks.delete(network);
      },
    };
  }

  #from(network: string): FromNetwork {
    const known = this.#networks.get(network) ?? { open: 0, strangers: 0 };
    this.#networks.set(network, known);
    return known;
  }
}
