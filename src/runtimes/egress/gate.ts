/**
 * The place where one plugin's processes connect: a UNIX socket that only its uid may open, so that who asks is known by where.
 * At most {@link GateLimits.tunnels} connections are served at a time; a few more wait a moment for one of them to end and are told
 * when none does, the rest is closed at once.
 */
import { chownSync, unlinkSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import type { EgressGate } from "../../core/ports/egress.ts";
import { deadlineAfter, within } from "../../platform/deadline.ts";
import { bindWithAccess, prepareSocketPath } from "../../platform/unix-socket.ts";
import { Refusal } from "./refusal.ts";
import { refuseClient, serveTunnel, type TunnelContext } from "./tunnel.ts";

export interface GateLimits {
  readonly tunnels: number;
  /** Connections that wait for a place. */
  readonly waiting: number;
  /** How long: a client that ends one and begins the next must not meet its own old one. */
  readonly waitMs: number;
}

export const GATE_LIMITS: GateLimits = { tunnels: 16, waiting: 16, waitMs: 1000 };

export interface GateOptions {
  readonly path: string;
  /** Whose processes may connect; undefined: those of our own. */
  readonly uid: number | undefined;
  readonly context: Omit<TunnelContext, "signal">;
  readonly limits: GateLimits;
  /** The server failed while it was listening; it goes on. */
  readonly onError: (error: Error) => void;
}

/** @throws {MairustError} `already_exists`: somebody listens there; what the system said about the socket */
export async function openGate(options: GateOptions): Promise<EgressGate> {
  await prepareSocketPath(options.path);
  const gate = new Gate(options);
  await gate.listen();
  return gate;
}

class Gate implements EgressGate {
  readonly socketPath: string;
  readonly #options: GateOptions;
  readonly #server: Server;
  readonly #end = new AbortController();
  readonly #clients = new Set<Socket>();
  /** Those that wait for a place, longest first; each is told when it has one. */
  readonly #waiting = new Set<() => void>();
  #serving = 0;

  constructor(options: GateOptions) {
    this.socketPath = options.path;
    this.#options = options;
    this.#server = createServer({ allowHalfOpen: true }, client => void this.#serve(client));
    this.#server.maxConnections = options.limits.tunnels + options.limits.waiting;
  }

  async listen(): Promise<void> {
    const { path, uid } = this.#options;
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject).once("listening", resolve);
      bindWithAccess(path, { mode: "0600", group: "" }, () => this.#server.listen(path));
    });
    this.#server.on("error", this.#options.onError);
    try {
      if (uid !== undefined) chownSync(path, uid, -1);
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#end.abort(new Error("the gate is closed"));
    const closed = new Promise<void>(resolve => this.#server.close(() => resolve()));
    for (const client of this.#clients) client.destroy();
    await closed;
    try {
      unlinkSync(this.socketPath);
    } catch {
      // The server has taken it away.
    }
  }

  async #serve(client: Socket): Promise<void> {
    this.#clients.add(client);
    // Ends show as "close"; an error that nobody hears ends the process.
    client.on("error", () => {});
    client.once("close", () => this.#clients.delete(client));
    const context = { ...this.#options.context, signal: this.#end.signal };
    if (!(await this.#place())) {
      const text = `the plugin has ${this.#options.limits.tunnels} connections, more are not served`;
      return refuseClient(client, new Refusal("too_many", text), context);
    }
    try {
      await serveTunnel(client, context);
    } finally {
      this.#leave();
    }
  }

  /** @returns false: none came free in time */
  async #place(): Promise<boolean> {
    const { tunnels, waitMs } = this.#options.limits;
    if (this.#serving < tunnels) {
      this.#serving++;
      return true;
    }
    const deadline = deadlineAfter(waitMs, this.#end.signal);
    let tell = () => {};
    const turn = new Promise<void>(resolve => {
      tell = resolve;
      this.#waiting.add(tell);
    });
    try {
      await within(turn, deadline);
      return true;
    } catch {
      // Given in the same moment: then it is there to be used.
      return !this.#waiting.delete(tell);
    } finally {
      deadline.dispose();
    }
  }

  /** The place goes to whoever waits longest. */
  #leave(): void {
    for (const tell of this.#waiting) {
      this.#waiting.delete(tell);
      tell();
      return;
    }
    this.#serving--;
  }
}
