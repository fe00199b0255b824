/**
 * Transport "http" and "unix": a plugin as an HTTP server, over TCP, TLS or a UNIX socket (step 3 of the message path).
 *
 * A call is one POST of the payload, signed; its answer is the body of a 2xx. Kept connections, at most `sockets` of them; more
 * calls wait, within their time. Redirects are failures. What is sent again, and how often: `http-retry.ts`; where it may be sent:
 * `http-address.ts`. Its server has a life of its own: that it is away now makes calls fail, not the start.
 */
import type { Deadline } from "../core/deadline.ts";
import type { PluginError } from "../core/errors.ts";
import type { HttpSpec, HttpTarget } from "../core/hook-plugin.ts";
import type { PluginTransport, TransportCall } from "../core/ports/plugin-transport.ts";
import { sleep } from "../platform/deadline.ts";
import { MAX_PAYLOAD_BYTES } from "../wire/hook-payload.ts";
import { callFailure, reasonOf } from "./call-failure.ts";
import { CallSlots, MAX_WAITING_CALLS } from "./call-slots.ts";
import { askHealth, type Health, isAnswered, reachable } from "./health.ts";
import { type Resolve, systemResolve } from "./http-address.ts";
import { ExchangeFailure, type HttpAnswer, HttpConnections } from "./http-exchange.ts";
import { type Attempt, nextStep, RETRY_LIMITS, type RetryLimits } from "./http-retry.ts";
import { signatureHeaders, traceHeaders } from "./http-signature.ts";
import type { StartProcess } from "./plugin-process.ts";
import { startPlain } from "./script-child.ts";

export interface HttpOptions {
  /** Connections of one plugin, and so calls at the same time. */
  readonly sockets: number;
  /** Calls that wait for a connection; the next one fails at once. */
  readonly waiting: number;
  /** How long a connection is kept without use. */
  readonly idleMs: number;
  readonly retry: RetryLimits;
  readonly resolve: Resolve;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Certificates to trust instead of the system's: for tests. */
  readonly ca?: string;
}

export const HTTP_OPTIONS: HttpOptions = {
  // Enough for calls that go on after their time-out: of a plugin that takes 30 s, eight messages a second.
  sockets: 256,
  waiting: MAX_WAITING_CALLS,
  idleMs: 30_000,
  retry: RETRY_LIMITS,
  resolve: systemResolve,
  now: Date.now,
};

/**
 * @returns the transport of one plugin; nothing is connected before a call
 * @throws {PluginSecurityError} `plugin_security`: the address in the endpoint is one that nobody approved
 */
export function createHttp(
  spec: HttpSpec,
  options: HttpOptions = HTTP_OPTIONS,
  startProcess: StartProcess = startPlain,
): PluginTransport {
  return new HttpTransport(spec, options, startProcess);
}

class HttpTransport implements PluginTransport {
  readonly #spec: HttpSpec;
  readonly #options: HttpOptions;
  readonly #connections: HttpConnections;
  readonly #slots: CallSlots;
  /** Of `health_cmd`. */
  readonly #startProcess: StartProcess;

  constructor(spec: HttpSpec, options: HttpOptions, startProcess: StartProcess) {
    this.#spec = spec;
    this.#options = options;
    this.#startProcess = startProcess;
    this.#connections = new HttpConnections(spec, options);
    this.#slots = new CallSlots(spec.pluginId, options.sockets, options.waiting);
  }

  async start(): Promise<void> {
    this.#slots.open();
    // Only to connect: a secret of which nobody was told is no reason for a notice.
    const health = await reachable(this.#spec, this.#options);
    if (health.status === "error") this.#spec.onNotice(`it does not answer yet: ${health.detail ?? ""}`);
  }

  get destination(): string {
    const { endpoint, socketPath } = this.#spec;
    if (socketPath !== undefined) return `unix:${socketPath}`;
    const port = endpoint.port === "" ? (endpoint.protocol === "https:" ? "443" : "80") : endpoint.port;
    return `${endpoint.protocol}//${endpoint.hostname}:${port}`;
  }

  async call(payload: Uint8Array, call: TransportCall, deadline: Deadline): Promise<Uint8Array> {
    if (payload.byteLength > MAX_PAYLOAD_BYTES)
      throw this.#failure(`the payload has more than ${MAX_PAYLOAD_BYTES} bytes`);
    return this.#slots.run(deadline, async until => this.#bodyOf(await this.#send(payload, call, until)));
  }

  async health(): Promise<Health> {
    if (this.#slots.state !== "open") return { status: "error", detail: "it is not started" };
    const { health, secrets } = this.#spec;
    if (health === undefined) return reachable(this.#spec, this.#options);
    const { signing, staged } = secrets();
    const [said] = await Promise.all([
      askHealth(health, this.#spec, this.#startProcess, { ...this.#options, secrets: signing }),
      health.kind === "endpoint" && staged !== undefined ? this.#probe(health, staged) : undefined,
    ]);
    return said;
  }

  async stop(deadline: Deadline): Promise<void> {
    await this.#slots.close(deadline);
    this.#connections.close();
  }

  async #send(
    payload: Uint8Array,
    { callId, traceparent }: TransportCall,
    deadline: Deadline,
  ): Promise<HttpAnswer> {
    const { retry, now } = this.#options;
    for (let made = 1, fresh = false; ; made++) {
      const timestamp = Math.floor(now() / 1000);
      const signed = { pluginId: this.#spec.pluginId, callId, body: payload, timestamp };
      const headers = {
        "content-type": "application/json",
        accept: "application/json",
        "accept-encoding": "identity",
        "user-agent": "MaiRust",
        ...signatureHeaders(signed, this.#spec.secrets().signing),
        ...traceHeaders(traceparent),
      };
      const attempt = await this.#attempt({ headers, payload, fresh }, deadline);
      const next = nextStep(attempt, made, deadline.remainingMs(), retry, now());
      if (next.kind === "done") {
        if ("failure" in attempt) throw this.#failure(attempt.failure.message);
        return attempt.answer;
      }
      fresh = next.fresh;
      await sleep(next.pauseMs, deadline.signal);
    }
  }

  async #attempt(
    request: {
      readonly headers: Readonly<Record<string, string>>;
      readonly payload: Uint8Array;
      readonly fresh: boolean;
    },
    deadline: Deadline,
  ): Promise<Attempt> {
    const { headers, payload: body, fresh } = request;
    try {
      return { answer: await this.#connections.exchange({ method: "POST", headers, body, fresh }, deadline) };
    } catch (error) {
      if (error instanceof ExchangeFailure) return { failure: error };
      throw error;
    }
  }

  /** The raw answer; whether it is JSON is checked with everything else about it. */
  #bodyOf({ status, headers, body }: HttpAnswer): Uint8Array {
    if (status >= 300 && status < 400)
      throw this.#failure(`it answered ${status}: redirects are not followed`);
    if (status < 200 || status > 299) throw this.#failure(`it answered ${status}`);
    const encoding = headers["content-encoding"];
    if (encoding !== undefined && encoding.toLowerCase() !== "identity")
      throw this.#failure("its answer has a content-encoding");
    const type = headers["content-type"]?.split(";")[0]?.trim().toLowerCase();
    if (status !== 204 && type !== "application/json")
      throw this.#failure("the content-type of its answer is not application/json");
    return body;
  }

  /** Does the receiver know the staged secret? Signed with that alone, so that a 2xx proves it. */
  async #probe(health: HttpTarget, staged: Uint8Array): Promise<void> {
    if (!(await isAnswered(health, this.#spec, { ...this.#options, secrets: [staged] }))) return;
    try {
      await this.#spec.onStagedProved?.();
    } catch (error) {
      this.#spec.onNotice(`the new secret could not be activated: ${reasonOf(error)}`);
    }
  }

  #failure(why: string): PluginError {
    return callFailure(this.#spec.pluginId, why);
  }
}
