/**
 * Looks after what a tree of processes uses, and says when it is too much. While a call runs it looks every 25 ms; between calls every
 * few seconds, since what happens there is nobody's call and must not be free. Of a call it costs one small read at its start.
 */
import type { LimitName } from "../../core/ports/sandbox.ts";
import { every } from "../../platform/deadline.ts";
import type { Meter } from "./meter.ts";

/** A limit is passed by what one core does in this time, at the most, for each core. */
const POLL_MS = 25;
const IDLE_MS = 5000;
/** A look at a tree of many processes takes long, and the service waits for it: it rests so many times as long afterwards. */
const REST = 20;

export interface WatchedLimits {
  /** Of one call; also of what is done between the calls of {@link IDLE_MS}. */
  readonly cpuMs: number;
  readonly memoryBytes: number;
}

export interface Excess {
  readonly limit: LimitName;
  readonly text: string;
}

export class LimitWatch {
  readonly #meter: Meter;
  readonly #limits: WatchedLimits;
  /** The kernel ended one of the tree for want of memory; absent: it keeps no limit of the tree. */
  readonly #isOutOfMemory: (() => boolean) | undefined;
  readonly #onExcess: (excess: Excess) => void;
  readonly #stopIdle: () => void;
  #excess: Excess | undefined;
  /** What had been used when the call that runs began. */
  #before: number | undefined;
  #calls = 0;
  #running = 0;
  #restsUntil = 0;
  #idle: { readonly calls: number; readonly cpuMs: number } | undefined;

  constructor(
    meter: Meter,
    limits: WatchedLimits,
    isOutOfMemory: (() => boolean) | undefined,
    onExcess: (excess: Excess) => void,
  ) {
    this.#meter = meter;
    this.#limits = limits;
    this.#isOutOfMemory = isOutOfMemory;
    this.#onExcess = onExcess;
    this.#stopIdle = every(IDLE_MS, () => this.#lookWhileIdle());
  }

  get excess(): Excess | undefined {
    return this.#excess;
  }

  /** Processor time of its life so far, as of the start of its last call. */
  get spentMs(): number {
    return this.#before ?? 0;
  }

  beginCall(): () => void {
    this.#calls++;
    this.#running++;
    const before = this.#meter.cpuMs(true) ?? 0;
    this.#before = before;
    const stop = every(POLL_MS, () => {
      const now = performance.now();
      if (now < this.#restsUntil) return;
      this.#look(before);
      const ended = performance.now();
      this.#restsUntil = ended + (ended - now) * REST;
    });
    let isOver = false;
    return () => {
      if (!isOver) this.#running--;
      isOver = true;
      stop();
    };
  }

  close(): void {
    this.#stopIdle();
  }

  #look(before: number): void {
    const { cpuMs } = this.#limits;
    const spent = (this.#meter.cpuMs() ?? before) - before;
    if (spent > cpuMs) this.#tell({ limit: "cpu", text: `cpu limit: ${cpuMs} ms` });
    this.#lookAtMemory();
  }

  #lookWhileIdle(): void {
    const { cpuMs } = this.#limits;
    const spent = this.#meter.cpuMs() ?? 0;
    const idle = this.#idle;
    // Calls account for as much as they may use at the most: what is more was done between them.
    const calls = this.#calls - (idle?.calls ?? 0) + this.#running;
    if (idle !== undefined && spent - idle.cpuMs > cpuMs * (calls + 1))
      this.#tell({ limit: "cpu", text: `cpu limit: ${cpuMs} ms, between calls` });
    this.#idle = { calls: this.#calls, cpuMs: spent };
    this.#lookAtMemory();
  }

  #lookAtMemory(): void {
    if (this.isOverMemory())
      this.#tell({ limit: "memory", text: `memory limit: ${this.#limits.memoryBytes / 1_048_576} MiB` });
  }

  isOverMemory(): boolean {
    if (this.#isOutOfMemory !== undefined) return this.#isOutOfMemory();
    const { memoryBytes } = this.#limits;
    return (
      (this.#meter.memoryBytes() ?? 0) > memoryBytes && (this.#meter.exactMemoryBytes() ?? 0) > memoryBytes
    );
  }

  #tell(excess: Excess): void {
    if (this.#excess !== undefined) return;
    this.#excess = excess;
    this.#onExcess(excess);
  }
}
