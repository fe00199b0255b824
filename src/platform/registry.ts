/**
 * Holds all components of the process; starts them in the order of their registration and stops them in the reverse.
 * Whatever fails while others are stopped, all are stopped.
 *
 * Draining never takes the whole deadline of a stop: a peer that does not finish would else leave no time to end the database cleanly.
 */
import type { Deadline } from "../core/deadline.ts";
import {
  AlreadyRegistered,
  InvalidState,
  MairustError,
  messageOf,
  NotFound,
  StopFailed,
} from "../core/errors.ts";
import type { Component, ComponentInfo, ComponentState } from "./component.ts";
import { deadlineAfter } from "./deadline.ts";
import { collectReadiness, type Readiness } from "./health.ts";

/** Kept of a stop's deadline for stopping, after everything drained: so long, but at most this share of what is left. */
const STOP_RESERVE_MS = 5_000;
const STOP_RESERVE_SHARE = 0.25;

/** One line of `/admin/components`. */
export interface ComponentStatus extends ComponentInfo {
  readonly state: ComponentState;
}

interface Failure {
  readonly name: string;
  readonly error: unknown;
}

export class ComponentRegistry {
  /** In the order of registration. */
  readonly #components = new Map<string, Component>();

  /** @throws {AlreadyRegistered} */
  register(component: Component): void {
    const { name } = component.info;
    if (this.#components.has(name)) throw new AlreadyRegistered(name);
    this.#components.set(name, component);
  }

  /** @throws {NotFound} @throws {InvalidState} when it is initialized or running: stop it first */
  unregister(name: string): void {
    const { state } = this.get(name);
    if (state === "initialized" || state === "running")
      throw new InvalidState(name, state, 'created" or "stopped" or "failed');
    this.#components.delete(name);
  }

  find(name: string): Component | undefined {
    return this.#components.get(name);
  }

  /** @throws {NotFound} */
  get(name: string): Component {
    const component = this.find(name);
    if (component === undefined) throw new NotFound("component", name);
    return component;
  }

  list(): readonly ComponentStatus[] {
    return [...this.#components.values()].map(({ info, state }) => ({ ...info, state }));
  }

  count(): number {
    return this.#components.size;
  }

  /** Ask every component. Never rejects; who does not answer by the deadline is an `error`. */
  healthAll(deadline: Deadline): Promise<Readiness> {
    const checks = new Map(
      [...this.#components].map(([name, component]) => [name, () => component.health()]),
    );
    return collectReadiness(checks, deadline);
  }

  /**
   * `init()` one after the other.
   * @param deadline  for stopping again after a failure
   * @throws the first failure, after what was initialized is stopped again
   */
  async initAll(deadline: Deadline): Promise<void> {
    await this.#forward(component => component.init(), deadline);
  }

  /** `start()` one after the other; as {@link initAll}. */
  async startAll(deadline: Deadline): Promise<void> {
    await this.#forward(component => component.start(), deadline);
  }

  async #forward(step: (component: Component) => Promise<void>, deadline: Deadline): Promise<void> {
    for (const component of this.#components.values()) {
      try {
        await step(component);
      } catch (error) {
        const failures = await this.#stopEach(deadline);
        if (failures.length === 0) throw error;
        const rest = new StopFailed(failures).message;
        throw new MairustError("internal", `${messageOf(error)}; then: ${rest}`, { cause: error });
      }
    }
  }

  /**
   * Listeners drain first, all at the same time; then each component drains and stops, in the reverse order of the start.
   * All draining ends early enough to leave {@link STOP_RESERVE_MS} for stopping.
   * @throws {StopFailed} listing every failure, after all were stopped
   */
  async stopAll(deadline: Deadline): Promise<void> {
    const failures = await this.#stopEach(deadline);
    if (failures.length > 0) throw new StopFailed(failures);
  }

  async #stopEach(deadline: Deadline): Promise<readonly Failure[]> {
    const failures: Failure[] = [];
    const attempt = async (component: Component, work: () => Promise<void>) => {
      try {
        await work();
      } catch (error) {
        failures.push({ name: component.info.name, error });
      }
    };
    const isRunning = (component: Component) => component.state === "running";
    const backwards = [...this.#components.values()].reverse();
    const listeners = backwards.filter(component => component.info.type === "listener");
    const remainingMs = deadline.remainingMs();
    const reserveMs = Math.min(STOP_RESERVE_MS, remainingMs * STOP_RESERVE_SHARE);
    const drained = deadlineAfter(remainingMs - reserveMs, deadline);
    await Promise.all(listeners.filter(isRunning).map(one => attempt(one, () => one.drain(drained))));
    for (const one of backwards) {
      if (isRunning(one) && one.info.type !== "listener") await attempt(one, () => one.drain(drained));
      if (one.state !== "created" && one.state !== "stopped") await attempt(one, () => one.stop(deadline));
    }
    drained.dispose();
    return failures;
  }
}
