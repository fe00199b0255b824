/**
 * The HTTP listeners of `api.listen` and `metrics.listen` around one application. UNIX sockets are for the administrator of the
 * host (mode 0600); addresses of the network give health and metrics only.
 * Failures: `already_exists`, `not_permitted`, `config_invalid` naming the address that cannot be listened on.
 */
import { createServer, type Server } from "node:http";
import type { Socket } from "node:net";
import type { Deadline } from "../core/deadline.ts";
import type { Log } from "../core/ports/log.ts";
import { type ListenerSet, openListeners } from "../platform/listeners.ts";
import type { ServicePorts } from "../services/ports.ts";
import { type Access, buildApp } from "./app.ts";
import type { App } from "./app-type.ts";

export interface ApiOptions {
  readonly ports: ServicePorts;
  readonly log: Log;
  /** Called once per answered request, for `http_request_duration_seconds{route}`. */
  readonly observeRequest: (route: string, seconds: number) => void;
  /** `api.listen`. */
  readonly listen: readonly string[];
  /** `metrics.listen`; empty: `/metrics` is on the API's listeners. */
  readonly metricsListen: readonly string[];
}

export interface ApiServer {
  /** With the ports that the system chose. */
  readonly addresses: readonly string[];
  /** Take no more connections and finish what runs. @returns how many were cut at the deadline */
  drain(deadline: Deadline): Promise<number>;
  /** Cut everything. Safe in any state. */
  close(): Promise<void>;
}

/** Connections at a time, all API listeners together. */
const MAX_CONNECTIONS = 256;
/** A message of 50 MiB over a slow pipe has this long to arrive. */
const REQUEST_TIMEOUT_MS = 300_000;
const HEADERS_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 5_000;
/** Octets of all header fields of a request. */
const MAX_HEADER_BYTES = 32_768;

export async function startApi(options: ApiOptions): Promise<ApiServer> {
  const accessBySocket = new WeakMap<Socket, Access>();
  const app = await buildApp({
    ports: options.ports,
    log: options.log,
    observeRequest: options.observeRequest,
    // A socket that no listener of ours accepted may do nothing.
    accessOf: socket => accessBySocket.get(socket) ?? "metrics",
    metricsApart: options.metricsListen.length > 0,
  });
  const groups: readonly (readonly [name: string, access: Access, specs: readonly string[]])[] = [
    ["api.listen", "admin", options.listen.filter(spec => spec.startsWith("unix:"))],
    ["api.listen", "health", options.listen.filter(spec => !spec.startsWith("unix:"))],
    ["metrics.listen", "metrics", options.metricsListen],
  ];
  const sets: ListenerSet[] = [];
  const close = async () => {
    await Promise.all(sets.map(set => set.close()));
    await app.close();
  };
  try {
    for (const [name, access, specs] of groups)
      sets.push(await open(options, app, accessBySocket, name, access, specs));
  } catch (error) {
    await close();
    throw error;
  }
  return {
    addresses: sets.flatMap(set => set.addresses),
    drain: async deadline => {
      const cut = await Promise.all(sets.map(set => set.drain(deadline)));
      return cut.reduce((sum, n) => sum + n, 0);
    },
    close,
  };
}

function open(
  options: ApiOptions,
  app: App,
  accessBySocket: WeakMap<Socket, Access>,
  name: string,
  access: Access,
  specs: readonly string[],
): Promise<ListenerSet> {
  return openListeners({
    name,
    specs,
    createServer: () => makeServer(app, socket => accessBySocket.set(socket, access)),
    access: { mode: access === "metrics" ? "0660" : "0600", group: "" },
    maxConnections: MAX_CONNECTIONS,
    onDrop: () => options.log.warn("connection refused", { listener: name, reason: "too many connections" }),
    onError: error => options.log.error("listener failed", { listener: name, error }),
  });
}

function makeServer(app: App, onSocket: (socket: Socket) => void): Server {
  const server = createServer(
    {
      requestTimeout: REQUEST_TIMEOUT_MS,
      headersTimeout: HEADERS_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
    },
    (request, response) => {
      // A drain waits for connections to end: none may stay open for a next request.
      if (!server.listening) response.setHeader("connection", "close");
      app.routing(request, response);
    },
  );
  server.on("connection", onSocket);
  return server;
}
