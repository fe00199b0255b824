/**
 * The life of everything that runs: database, store, listeners, workers.
 *
 * States and what is allowed in each (anything else is `InvalidState`):
 *
 *     created ──init──► initialized ──start──► running ──stop──► stopped
 *                            └───────────────stop──────────────────┘
 *     any ──failure──► failed ──stop──► stopped
 *
 * `drain` is allowed while running and changes nothing; `health` always is. One call runs at a time.
 */
import type { Deadline } from "../core/deadline.ts";
import { InvalidState, messageOf } from "../core/errors.ts";
import type { Health } from "./health.ts";

export type ComponentState = "created" | "initialized" | "running" | "stopped" | "failed";

/** Listeners drain before all others when the service stops. */
export type ComponentType = "listener" | "plugin_host" | "service" | "store" | "worker";

export interface ComponentInfo {
  /** Unique in the registry. */
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly type: ComponentType;
}

export interface Component {
  readonly info: ComponentInfo;
  readonly state: ComponentState;
  /** Make ready what can fail without others noticing. @throws {InvalidState} unless created */
  init(): Promise<void>;
  /** Begin to work. @throws {InvalidState} unless initialized */
  start(): Promise<void>;
  /** Take no new work and finish what runs, until the deadline. @throws {InvalidState} unless running */
  drain(deadline: Deadline): Promise<void>;
  /** Release everything. From `failed` it always ends in `stopped`. @throws {InvalidState} when created or stopped */
  stop(deadline: Deadline): Promise<void>;
  /** Never rejects. */
  health(): Promise<Health>;
}

/** What a component does in each step; what is left out does nothing. */
export interface ComponentParts {
  readonly info: ComponentInfo;
  readonly init?: () => Promise<void> | void;
  readonly start?: () => Promise<void> | void;
  readonly drain?: (deadline: Deadline) => Promise<void> | void;
  /** Also called after a failed `init` or `start`: releases whatever there is. */
  readonly stop?: (deadline: Deadline) => Promise<void> | void;
  /** Asked only while running. */
  readonly health?: () => Promise<Health> | Health;
}

/** @returns a component with the state machine around plain functions */
export function component(parts: ComponentParts): Component {
  return new StatefulComponent(parts);
}

class StatefulComponent implements Component {
  readonly info: ComponentInfo;
  readonly #parts: ComponentParts;
  #state: ComponentState = "created";
  /** The call that runs now. */
  #busy: string | undefined;

  constructor(parts: ComponentParts) {
    this.info = parts.info;
    this.#parts = parts;
  }

  get state(): ComponentState {
    return this.#state;
  }

  init(): Promise<void> {
    return this.#step("init", ["created"], "initialized", () => this.#parts.init?.());
  }

  start(): Promise<void> {
    return this.#step("start", ["initialized"], "running", () => this.#parts.start?.());
  }

  drain(deadline: Deadline): Promise<void> {
    return this.#step("drain", ["running"], "running", () => this.#parts.drain?.(deadline));
  }

  async stop(deadline: Deadline): Promise<void> {
    const wasFailed = this.#state === "failed";
    const allowed: readonly ComponentState[] = ["initialized", "running", "failed"];
    try {
      await this.#step("stop", allowed, "stopped", () => this.#parts.stop?.(deadline));
    } finally {
      // A second failure leaves nothing more to try.
      if (wasFailed) this.#state = "stopped";
    }
  }

  async health(): Promise<Health> {
    if (this.#state !== "running") return { status: "error", detail: `state is "${this.#state}"` };
    try {
      return (await this.#parts.health?.()) ?? { status: "ok" };
    } catch (error) {
      return { status: "error", detail: messageOf(error) };
    }
  }

  async #step(
    call: string,
    allowed: readonly ComponentState[],
    next: ComponentState,
    work: () => Promise<void> | void,
  ): Promise<void> {
    if (this.#busy !== undefined || !allowed.includes(this.#state)) {
      const current = this.#busy === undefined ? this.#state : `${this.#state}, ${this.#busy}() runs`;
      throw new InvalidState(this.info.name, current, allowed.join('" or "'));
    }
    this.#busy = call;
    try {
      await work();
      this.#state = next;
    } catch (error) {
      this.#state = "failed";
      throw error;
    } finally {
      this.#busy = undefined;
    }
  }
}
