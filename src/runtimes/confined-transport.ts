/**
 * A transport whose processes are held by the sandbox: when it starts it is admitted first, and what it starts from then on is started
 * there. One that is not admitted never runs anything; its health says why.
 */
import type { Deadline } from "../core/deadline.ts";
import type { TransportSpec } from "../core/hook-plugin.ts";
import type { PluginTransport, TransportCall } from "../core/ports/plugin-transport.ts";
import type { LimitReport } from "../core/ports/sandbox.ts";
import { callFailure, reasonOf } from "./call-failure.ts";
import type { StartProcess } from "./plugin-process.ts";
import type { Admitted, Sandbox } from "./sandbox/sandbox.ts";

/** Hears what holds a plugin from its start on, and at its end. */
export interface ConfinedListener {
  started(pluginId: string, admitted: Admitted): void;
  stopped(pluginId: string, admitted: Admitted): void;
}

/**
 * @param spec  with `confinement`
 * @param make  the transport, of which all processes come from what it is given
 */
export function confinedTransport(
  spec: TransportSpec,
  sandbox: Sandbox,
  make: (start: StartProcess) => PluginTransport,
  listener?: ConfinedListener,
): PluginTransport {
  return new ConfinedTransport(spec, sandbox, make, listener);
}

class ConfinedTransport implements PluginTransport {
  readonly #spec: TransportSpec;
  readonly #sandbox: Sandbox;
  readonly #inner: PluginTransport;
  readonly #listener: ConfinedListener | undefined;
  #admitted: Admitted | undefined;
  #refusal = "it is not started";

  constructor(
    spec: TransportSpec,
    sandbox: Sandbox,
    make: (start: StartProcess) => PluginTransport,
    listener: ConfinedListener | undefined,
  ) {
    this.#spec = spec;
    this.#sandbox = sandbox;
    this.#listener = listener;
    this.#inner = make(one => {
      const admitted = this.#admitted;
      if (admitted === undefined) throw callFailure(spec.pluginId, this.#refusal);
      return admitted.start(one);
    });
  }

  get destination(): string {
    return this.#inner.destination;
  }

  /** @throws {PluginSecurityError} `plugin_security`: nothing holds it, or not what is required */
  async start(deadline: Deadline): Promise<void> {
    const { pluginId, confinement } = this.#spec;
    if (confinement === undefined) throw callFailure(pluginId, "nobody says how much it may use");
    try {
      this.#admitted = await this.#sandbox.admit({ pluginId, ...commandOf(this.#spec) }, confinement);
    } catch (error) {
      this.#refusal = reasonOf(error);
      throw error;
    }
    this.#listener?.started(pluginId, this.#admitted);
    await this.#inner.start(deadline);
  }

  async call(payload: Uint8Array, call: TransportCall, deadline: Deadline): Promise<Uint8Array> {
    if (this.#admitted === undefined) throw callFailure(this.#spec.pluginId, this.#refusal);
    return this.#inner.call(payload, call, deadline);
  }

  async health(): ReturnType<PluginTransport["health"]> {
    return this.#admitted === undefined ? { status: "error", detail: this.#refusal } : this.#inner.health();
  }

  limits(): readonly LimitReport[] {
    return this.#admitted?.limits ?? [];
  }

  async stop(deadline: Deadline): Promise<void> {
    await this.#inner.stop(deadline);
    const admitted = this.#admitted;
    if (admitted === undefined) return;
    this.#listener?.stopped(this.#spec.pluginId, admitted);
    await admitted.release();
  }
}

/** Of one that is called by HTTP, its `health_cmd` is all that runs here. */
function commandOf(spec: TransportSpec): { readonly folder: string; readonly command: readonly string[] } {
  if (spec.kind === "script") return spec;
  if (spec.health?.kind === "command") return spec.health;
  return { folder: "/", command: [] };
}
