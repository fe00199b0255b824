/**
 * The circuit breakers of all plugins, and the alarm: one error in the log for each opening, a metric, and the list that the health
 * of the plugins shows. A plugin whose processes a change exchanged starts with a closed circuit; one that it left alone keeps its own.
 */
import type { HookPlugin } from "../core/hook-plugin.ts";
import type { Log } from "../core/ports/log.ts";
import { Breaker, type CallVerdict, type CircuitState, type Pass } from "./breaker.ts";

/** A plugin that is not called now. */
export interface BrokenCircuit {
  readonly plugin: string;
  readonly state: Exclude<CircuitState, "closed">;
  /** The failure that opened it. */
  readonly reason: string;
}

/** For people, behind the name of the plugin. */
export function brokenText({ reason }: BrokenCircuit): string {
  return `not called, it failed too often: ${reason}`;
}

export interface CircuitsOptions {
  readonly log: Log;
  /** Milliseconds of a clock that never jumps. */
  readonly now: () => number;
  /** Hears of each change; undefined: the plugin is gone. */
  readonly onState: (plugin: string, state: CircuitState | undefined) => void;
}

interface Circuit {
  readonly breaker: Breaker;
  reason: string;
}

export class Circuits {
  readonly #options: CircuitsOptions;
  /**
   * By transport: chains of before a reload keep the plugins of before, which say nothing about those in use, unless the reload left
   * their transport alone.
   */
  readonly #circuits = new WeakMap<object, Circuit>();
  #inUse: ReadonlyMap<string, HookPlugin> = new Map();

  constructor(options: CircuitsOptions) {
    this.#options = options;
  }

  /** These plugins stand at hooks from now on. */
  use(plugins: readonly HookPlugin[]): void {
    const next = new Map(plugins.map(plugin => [plugin.id, plugin]));
    for (const id of this.#inUse.keys()) if (!next.has(id)) this.#options.onState(id, undefined);
    this.#inUse = next;
    for (const [id, plugin] of next) this.#options.onState(id, this.#of(plugin).breaker.state);
  }

  /** @returns the right to one call, or why there is none */
  admit(plugin: HookPlugin): Pass | { readonly refused: string } {
    const { breaker, reason } = this.#of(plugin);
    const before = breaker.state;
    const pass = breaker.admit();
    if (breaker.state !== before) this.#tell(plugin, breaker.state);
    return pass ?? { refused: `the circuit of the plugin is open: ${reason}` };
  }

  /** @param problem  of a failure: why the plugin's circuit is open, if this opens it */
  settle(plugin: HookPlugin, pass: Pass, verdict: CallVerdict, problem = ""): void {
    const circuit = this.#of(plugin);
    const change = circuit.breaker.settle(pass, verdict);
    if (change === undefined) return;
    const { log } = this.#options;
    if (change.to === "open") circuit.reason = problem;
    // Said loudly once: while a plugin stays away, each probe that fails is a line, not an alarm.
    if (change.from === "closed") log.error("plugin_circuit_open", { plugin: plugin.id, problem });
    else if (change.to === "open") log.warn("plugin_circuit_still_open", { plugin: plugin.id, problem });
    else log.info("plugin_circuit_closed", { plugin: plugin.id });
    this.#tell(plugin, change.to);
  }

  /** Plugins in use that are not called now. */
  broken(): readonly BrokenCircuit[] {
    return [...this.#inUse].flatMap(([id, plugin]) => {
      const { breaker, reason } = this.#of(plugin);
      return breaker.state === "closed" ? [] : [{ plugin: id, state: breaker.state, reason }];
    });
  }

  #tell(plugin: HookPlugin, state: CircuitState): void {
    const used = this.#inUse.get(plugin.id);
    if (used !== undefined && keyOf(used) === keyOf(plugin)) this.#options.onState(plugin.id, state);
  }

  #of(plugin: HookPlugin): Circuit {
    const known = this.#circuits.get(keyOf(plugin));
    if (known !== undefined) return known;
    const fresh: Circuit = { breaker: new Breaker(this.#options.now), reason: "" };
    this.#circuits.set(keyOf(plugin), fresh);
    return fresh;
  }
}

const keyOf = (plugin: HookPlugin): object => plugin.transport ?? plugin;
