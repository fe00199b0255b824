/**
 * Transport "script, mode spawn": a process for each call, the payload on its stdin until EOF, the answer on its stdout until EOF
 * (step 3 of the message path). For a few lines of shell; a worker is hundreds of times faster.
 *
 * At most `workers` processes at once; more calls wait, within their time. When the time is over, the process and all it started are
 * killed. Nothing is kept between calls, so there is nothing to restart.
 */
import type { Deadline } from "../core/deadline.ts";
import type { ScriptSpec } from "../core/hook-plugin.ts";
import type { PluginTransport, TransportCall } from "../core/ports/plugin-transport.ts";
import { MAX_PAYLOAD_BYTES } from "../wire/hook-payload.ts";
import { callFailure } from "./call-failure.ts";
import { CallSlots, MAX_WAITING_CALLS } from "./call-slots.ts";
import { askHealth, type Health } from "./health.ts";
import type { StartProcess } from "./plugin-process.ts";
import { programProblem, startPlain } from "./script-child.ts";
import { runCommand } from "./script-command.ts";

/** @returns the transport of one plugin. @param waiting  calls that wait for their turn; the next one fails at once */
export function createScriptSpawn(
  spec: ScriptSpec,
  waiting: number = MAX_WAITING_CALLS,
  startProcess: StartProcess = startPlain,
): PluginTransport {
  return new ScriptSpawn(spec, waiting, startProcess);
}

class ScriptSpawn implements PluginTransport {
  readonly #spec: ScriptSpec;
  readonly #slots: CallSlots;
  readonly #startProcess: StartProcess;

  constructor(spec: ScriptSpec, waiting: number, startProcess: StartProcess) {
    this.#spec = spec;
    this.#startProcess = startProcess;
    this.#slots = new CallSlots(spec.pluginId, spec.workers, waiting);
  }

  /** @throws {PluginError} `plugin_failed`: there is no such program. It may come: calls try all the same */
  async start(): Promise<void> {
    this.#slots.open();
    const problem = programProblem(this.#spec);
    if (problem !== undefined) throw callFailure(this.#spec.pluginId, problem);
  }

  get destination(): string {
    return `script:${this.#spec.command[0] ?? ""}`;
  }

  async call(payload: Uint8Array, _call: TransportCall, deadline: Deadline): Promise<Uint8Array> {
    const { pluginId } = this.#spec;
    if (payload.byteLength > MAX_PAYLOAD_BYTES)
      throw callFailure(pluginId, `the payload has more than ${MAX_PAYLOAD_BYTES} bytes`);
    return this.#slots.run(deadline, until => runCommand(this.#spec, payload, until, this.#startProcess));
  }

  async health(): Promise<Health> {
    if (this.#slots.state !== "open") return { status: "error", detail: "it is not started" };
    const problem = programProblem(this.#spec);
    if (problem !== undefined) return { status: "error", detail: problem };
    return this.#spec.health === undefined
      ? { status: "ok" }
      : askHealth(this.#spec.health, this.#spec, this.#startProcess);
  }

  async stop(deadline: Deadline): Promise<void> {
    await this.#slots.close(deadline);
  }
}
