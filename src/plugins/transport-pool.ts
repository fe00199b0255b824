/**
 * The transports of all plugins, shared by the hosts before and after a change: what a change does not touch keeps its processes, its
 * breaker and its health. A transport is known by everything that it is made from; it ends with the last host that has it.
 */
import type { Deadline } from "../core/deadline.ts";
import { MairustError, messageOf } from "../core/errors.ts";
import type { TransportSpec } from "../core/hook-plugin.ts";
import type { PluginTransport } from "../core/ports/plugin-transport.ts";

export type TransportHealth = Awaited<ReturnType<PluginTransport["health"]>>;

/** One host's part in a transport. */
export interface TransportLease {
  readonly transport: PluginTransport;
  /** Begin, or wait for who has begun. @throws what the transport throws; one that came up since is fine */
  start(deadline: Deadline): Promise<void>;
  /** @param maxAgeMs  a result that is not older is good enough; 0: ask */
  health(maxAgeMs: number): Promise<TransportHealth>;
  /** Once. The last one ends the transport. */
  release(deadline: Deadline): Promise<void>;
}

interface Slot {
  readonly transport: PluginTransport;
  users: number;
  starting: Promise<void> | undefined;
  health: { readonly result: Promise<TransportHealth>; readonly at: number } | undefined;
}

export class TransportPool {
  readonly #slots = new Map<string, Slot>();

  /** @param create  called when there is none of this key; what it throws is thrown */
  lease(key: string, create: () => PluginTransport): TransportLease {
    const known = this.#slots.get(key);
    const slot = known ?? { transport: create(), users: 0, starting: undefined, health: undefined };
    this.#slots.set(key, slot);
    slot.users++;
    let isReleased = false;
    return {
      transport: slot.transport,
      start: deadline => startOf(slot, deadline),
      health: maxAgeMs => healthOf(slot, maxAgeMs),
      release: async deadline => {
        if (isReleased)
          throw new MairustError("invalid_state", "Cannot release a transport: it was released");
        isReleased = true;
        slot.users--;
        if (slot.users > 0) return;
        this.#slots.delete(key);
        await slot.transport.stop(deadline);
      },
    };
  }
}

/** @param code  digest of what runs, when its place does not say it */
export function poolKey(spec: TransportSpec, code: string): string {
  // Functions are left out: they say where its words go, not what it is.
  return JSON.stringify([spec, code]);
}

async function startOf(slot: Slot, deadline: Deadline): Promise<void> {
  if (slot.starting === undefined) {
    slot.starting = slot.transport.start(deadline);
    return slot.starting;
  }
  try {
    await slot.starting;
  } catch (error) {
    // It goes on trying by itself.
    if ((await slot.transport.health()).status === "error") throw error;
  }
}

function healthOf(slot: Slot, maxAgeMs: number): Promise<TransportHealth> {
  const now = performance.now();
  if (slot.health !== undefined && now - slot.health.at < maxAgeMs) return slot.health.result;
  // One that cannot say how it is must not keep the others' health from being told.
  const result = slot.transport
    .health()
    .catch((error: unknown): TransportHealth => ({ status: "error", detail: messageOf(error) }));
  slot.health = { result, at: now };
  return result;
}
