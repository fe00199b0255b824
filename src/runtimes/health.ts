/**
 * How a plugin is: by its `health_cmd`, by its `health_endpoint`, or by whether its endpoint can be connected to. Nothing here holds
 * anything of a message. Never rejects.
 */
import { randomUUID } from "node:crypto";
import { connect } from "node:net";
import type { Deadline } from "../core/deadline.ts";
import type { HealthSpec, HttpTarget, TransportSpec } from "../core/hook-plugin.ts";
import type { PluginTransport } from "../core/ports/plugin-transport.ts";
import { deadlineAfter, within } from "../platform/deadline.ts";
import { checkedLookup, hostOf, type Resolve, refuseLiteral, systemResolve } from "./http-address.ts";
import { HttpConnections, whyOf } from "./http-exchange.ts";
import { signatureHeaders } from "./http-signature.ts";
import type { StartProcess } from "./plugin-process.ts";
import { runCommand } from "./script-command.ts";
import { readHealth } from "./script-hello.ts";

export type Health = Awaited<ReturnType<PluginTransport["health"]>>;

/** How long a plugin may take to say how it is. */
export const HEALTH_TIMEOUT_MS = 2000;

export interface HealthOptions {
  readonly resolve: Resolve;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** The request is signed with these; none: it is not signed. */
  readonly secrets: readonly Uint8Array[];
  readonly ca?: string;
}

export const HEALTH_OPTIONS: HealthOptions = { resolve: systemResolve, now: Date.now, secrets: [] };

/** Says what the command or resource says; where that says nothing, success is `ok`. */
export async function askHealth(
  health: HealthSpec,
  spec: TransportSpec,
  start: StartProcess,
  options: HealthOptions = HEALTH_OPTIONS,
): Promise<Health> {
  const deadline = deadlineAfter(HEALTH_TIMEOUT_MS);
  try {
    const said =
      health.kind === "command"
        ? // Its exit code is what it says: no crash of the plugin.
          await runCommand({ ...spec, ...health, onCrash: undefined }, new Uint8Array(), deadline, start)
        : await getHealth(health, spec, options, deadline);
    return Buffer.from(said).toString("utf8").trim() === "" ? { status: "ok" } : readHealth(said);
  } catch (error) {
    return { status: "error", detail: whyOf(error) };
  } finally {
    deadline.dispose();
  }
}

/** @returns whether a request that `options.secrets` signed was answered 2xx, whatever the answer says */
export async function isAnswered(
  target: HttpTarget,
  spec: TransportSpec,
  options: HealthOptions,
): Promise<boolean> {
  const deadline = deadlineAfter(HEALTH_TIMEOUT_MS);
  try {
    await getHealth(target, spec, options, deadline);
    return true;
  } catch {
    // Why not is told by the health itself.
    return false;
  } finally {
    deadline.dispose();
  }
}

/** Over a connection of its own: a kept one would prove nothing about new ones. */
async function getHealth(
  target: HttpTarget,
  { pluginId }: TransportSpec,
  options: HealthOptions,
  deadline: Deadline,
): Promise<Uint8Array> {
  const connections = new HttpConnections(target, { ...options, sockets: 1, idleMs: HEALTH_TIMEOUT_MS });
  try {
    const signed = {
      pluginId,
      callId: randomUUID(),
      body: new Uint8Array(),
      timestamp: Math.floor(options.now() / 1000),
    };
    const headers = {
      accept: "application/json",
      "user-agent": "MaiRust",
      "x-mairust-plugin-id": pluginId,
      ...(options.secrets.length === 0 ? {} : signatureHeaders(signed, options.secrets)),
    };
    const { status, body } = await connections.exchange({ method: "GET", headers, fresh: true }, deadline);
    if (status < 200 || status > 299) throw new Error(`health_endpoint answered ${status}`);
    return body;
  } finally {
    connections.close();
  }
}

/** Where the manifest names nothing to ask, being connected to is all there is to know. */
export async function reachable(
  target: HttpTarget,
  { resolve }: { readonly resolve: Resolve },
): Promise<Health> {
  const deadline = deadlineAfter(HEALTH_TIMEOUT_MS);
  try {
    refuseLiteral(target);
    const { endpoint, socketPath } = target;
    const port = Number(endpoint.port || (endpoint.protocol === "https:" ? 443 : 80));
    const socket =
      socketPath === undefined
        ? connect({ host: hostOf(endpoint), port, lookup: checkedLookup(target, resolve) })
        : connect(socketPath);
    try {
      await within(
        new Promise<void>((done, failed) => {
          socket.once("connect", done).once("error", failed);
        }),
        deadline,
      );
    } finally {
      socket.on("error", () => {}).destroy();
    }
    return { status: "ok" };
  } catch (error) {
    return { status: "error", detail: whyOf(error) };
  } finally {
    deadline.dispose();
  }
}
