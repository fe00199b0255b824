/**
 * One request and its answer, over kept connections to one place (TCP, TLS or a UNIX socket). Knows nothing of plugins: what an answer
 * means and what is tried again is the caller's.
 *
 * Failures, by what may have happened at the other end:
 *   `unreached` nothing was sent · `stale` a kept connection ended before a byte of the answer came: mostly the other end had closed
 *   it for its age while the request was under way · `broken` anything else; the request may have been worked off.
 * A deadline destroys the connection: nothing that comes late can be taken for another answer.
 */
import {
  Agent,
  type ClientRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
} from "node:http";
import { Agent as TlsAgent, request as tlsRequest } from "node:https";
import type { Duplex } from "node:stream";
import type { Deadline } from "../core/deadline.ts";
import { messageOf } from "../core/errors.ts";
import type { HttpTarget } from "../core/hook-plugin.ts";
import { MAX_ANSWER_BYTES } from "../wire/answer.ts";
import { reasonOf } from "./call-failure.ts";
import { checkedLookup, hostOf, type Resolve, refuseLiteral } from "./http-address.ts";

export interface HttpRequest {
  readonly method: "GET" | "POST";
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** Over a connection of its own. */
  readonly fresh?: boolean;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Empty unless the status is 2xx: nothing else is read. */
  readonly body: Uint8Array;
}

export interface ConnectionOptions {
  /** Most connections. */
  readonly sockets: number;
  readonly idleMs: number;
  readonly resolve: Resolve;
  /** Certificates to trust instead of the system's: for tests. */
  readonly ca?: string;
}

export class ExchangeFailure extends Error {
  readonly kind: "unreached" | "stale" | "broken";

  constructor(kind: ExchangeFailure["kind"], why: string) {
    super(why);
    this.kind = kind;
  }
}

/** What the network or a server that starts says for a while. A wrong certificate or a refused address heals by no repetition. */
const PASSING: ReadonlySet<unknown> = new Set([
  "EAGAIN",
  "EAI_AGAIN",
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOENT",
  "ENOTFOUND",
  "EPIPE",
  "ETIMEDOUT",
]);

export class HttpConnections {
  readonly #target: HttpTarget;
  readonly #agent: Agent;
  readonly #where: Readonly<Record<string, unknown>>;

  /** @throws {PluginSecurityError} `plugin_security`: the address in the URL is refused */
  constructor(target: HttpTarget, { sockets, idleMs, resolve, ca }: ConnectionOptions) {
    refuseLiteral(target);
    const { endpoint, socketPath } = target;
    const options = { keepAlive: true, maxSockets: sockets, maxFreeSockets: sockets, timeout: idleMs };
    this.#target = target;
    this.#agent = guardIdle(endpoint.protocol === "https:" ? new TlsAgent(options) : new Agent(options));
    this.#where = {
      ...(socketPath === undefined
        ? { host: hostOf(endpoint), port: endpoint.port, lookup: checkedLookup(target, resolve) }
        : { socketPath }),
      path: `${endpoint.pathname}${endpoint.search}`,
      ...(ca === undefined ? {} : { ca }),
    };
  }

  /** @throws {ExchangeFailure}; the deadline's reason */
  exchange({ method, headers, body, fresh }: HttpRequest, deadline: Deadline): Promise<HttpAnswer> {
    const send = this.#target.endpoint.protocol === "https:" ? tlsRequest : request;
    return new Promise((resolve, reject) => {
      deadline.signal.throwIfAborted();
      const sent = send({
        ...this.#where,
        method,
        agent: fresh === true ? false : this.#agent,
        headers: {
          host: this.#target.endpoint.host,
          ...headers,
          ...(body === undefined ? {} : { "content-length": String(body.byteLength) }),
        },
      });
      const progress = watch(sent);
      const end = (settle: () => void) => {
        deadline.signal.removeEventListener("abort", onAbort);
        settle();
      };
      const fail = (error: unknown) => {
        sent.destroy();
        end(() => reject(error));
      };
      const onAbort = () => fail(deadline.signal.reason);
      deadline.signal.addEventListener("abort", onAbort, { once: true });
      sent.on("error", error => fail(failureOf(error, progress())));
      sent.once("upgrade", () => fail(new ExchangeFailure("broken", "it wants to speak another protocol")));
      sent.once("response", response => {
        readAnswer(response).then(answer => end(() => resolve(answer)), fail);
      });
      sent.end(body);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** How far a request came. */
type Progress = "connecting" | "sent" | "sent on a kept connection" | "answered";

function watch(sent: ClientRequest): () => Progress {
  let progress: Progress = "connecting";
  sent.once("socket", socket => {
    const connected = () => {
      if (progress === "connecting") progress = sent.reusedSocket ? "sent on a kept connection" : "sent";
    };
    if (sent.reusedSocket) connected();
    else socket.once("encrypted" in socket ? "secureConnect" : "connect", connected);
  });
  sent.once("response", () => {
    progress = "answered";
  });
  return () => progress;
}

function failureOf(error: Error, progress: Progress): ExchangeFailure {
  const code = "code" in error ? error.code : undefined;
  if (progress === "connecting")
    return new ExchangeFailure(PASSING.has(code) ? "unreached" : "broken", whyOf(error));
  if (progress === "sent on a kept connection" && (code === "ECONNRESET" || code === "EPIPE"))
    return new ExchangeFailure("stale", "it closed a kept connection");
  return new ExchangeFailure("broken", whyOf(error));
}

/** The reason alone. Of several addresses that were tried Node makes an error without text. */
export function whyOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0)
    return error.errors.map(messageOf).join(", ");
  const why = reasonOf(error);
  return why === "socket hang up" ? "it closed the connection without an answer" : why;
}

async function readAnswer(response: IncomingMessage): Promise<HttpAnswer> {
  const { statusCode: status = 0, headers } = response;
  const chunks: Uint8Array[] = [];
  if (status < 200 || status > 299) response.destroy();
  else {
    const tooLong = () => new ExchangeFailure("broken", `its answer has more than ${MAX_ANSWER_BYTES} bytes`);
    if (Number(headers["content-length"] ?? 0) > MAX_ANSWER_BYTES) throw tooLong();
    let bytes = 0;
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) {
        bytes += chunk.byteLength;
        if (bytes > MAX_ANSWER_BYTES) throw tooLong();
        chunks.push(chunk);
      }
    } catch (error) {
      if (error instanceof ExchangeFailure) throw error;
      throw new ExchangeFailure("broken", `its answer broke off: ${messageOf(error)}`);
    }
  }
  return {
    status,
    headers,
    body: chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks),
  };
}

/**
 * Nothing is expected on a connection that nobody uses. What comes all the same would be taken for the answer to the next request,
 * so it ends the connection.
 */
function guardIdle(agent: Agent): Agent {
  const destroy = new WeakMap<Duplex, () => void>();
  const { keepSocketAlive, reuseSocket } = agent;
  agent.keepSocketAlive = socket => {
    const end = () => socket.destroy();
    destroy.set(socket, end);
    socket.on("data", end);
    return keepSocketAlive.call(agent, socket);
  };
  agent.reuseSocket = (socket, request) => {
    const end = destroy.get(socket);
    if (end !== undefined) socket.removeListener("data", end);
    reuseSocket.call(agent, socket, request);
  };
  return agent;
}
