/**
 * Transport "mta-hooks": a service that was made for Stalwart's MTA hooks, called as it expects to be. Everything of the transport
 * "http" holds: signatures, retries, limits, where it may be; the header fields that are new to it are no harm. Requests are translated before
 * the ledger sees them (`encode`), answers before they are checked. Like Stalwart it does not mind the answer's content-type.
 */
import type { Deadline } from "../core/deadline.ts";
import type { HttpSpec } from "../core/hook-plugin.ts";
import type { Encoded, PluginTransport, TransportCall } from "../core/ports/plugin-transport.ts";
import { MAX_PAYLOAD_BYTES } from "../wire/hook-payload.ts";
import { callFailure } from "./call-failure.ts";
import { createHttp, HTTP_OPTIONS, type HttpOptions } from "./http.ts";
import { NotTheirs, ownAnswer } from "./mta-hooks-answer.ts";
import { mtaHooksRequest } from "./mta-hooks-request.ts";

/** @throws {PluginSecurityError} `plugin_security`: the address in the endpoint is one that nobody approved */
export function createMtaHooks(spec: HttpSpec, options: HttpOptions = HTTP_OPTIONS): PluginTransport {
  return new MtaHooksTransport(spec.pluginId, createHttp(spec, { ...options, anyType: true }));
}

class MtaHooksTransport implements PluginTransport {
  readonly #pluginId: string;
  readonly #http: PluginTransport;
  /** What {@link encode} gave: a payload that did not come that way is translated by {@link call}. */
  readonly #encoded = new WeakSet<Uint8Array>();

  constructor(pluginId: string, http: PluginTransport) {
    this.#pluginId = pluginId;
    this.#http = http;
  }

  get destination(): string {
    return this.#http.destination;
  }

  start(deadline: Deadline): Promise<void> {
    return this.#http.start(deadline);
  }

  encode(payload: Uint8Array): Encoded {
    if (payload.byteLength > MAX_PAYLOAD_BYTES)
      throw callFailure(this.#pluginId, `the payload has more than ${MAX_PAYLOAD_BYTES} bytes`);
    const encoded = mtaHooksRequest(payload);
    this.#encoded.add(encoded.payload);
    return encoded;
  }

  async call(payload: Uint8Array, call: TransportCall, deadline: Deadline): Promise<Uint8Array> {
    const request = this.#encoded.has(payload) ? payload : this.encode(payload).payload;
    const answer = await this.#http.call(request, call, deadline);
    try {
      return ownAnswer(answer);
    } catch (error) {
      if (error instanceof NotTheirs) throw callFailure(this.#pluginId, `its answer ${error.message}`);
      throw error;
    }
  }

  health() {
    return this.#http.health();
  }

  stop(deadline: Deadline): Promise<void> {
    return this.#http.stop(deadline);
  }
}
