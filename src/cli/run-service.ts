/**
 * A service from its start to its end: signals reload it (SIGHUP), end it after draining (SIGTERM, SIGINT), or end it at once
 * (the same a second time). Nothing is lost in any case: what was not answered stays with Postfix.
 */
import type { LoadedConfig } from "../platform/config/load.ts";
import { deadlineAfter } from "../platform/deadline.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";
import type { ServiceHandle, Signals } from "./standalone.ts";

export interface RunOptions {
  readonly reread: () => Promise<LoadedConfig>;
  /** `drain_timeout_s` in milliseconds. */
  readonly drainMs: number;
  readonly onStarted: () => Promise<void> | void;
}

/** @throws what `start()` throws: nothing runs then */
export async function runService(
  service: ServiceHandle,
  signals: Signals,
  options: RunOptions,
): Promise<ExitCode> {
  const startedAt = performance.now();
  // A signal while the service starts ends it as soon as it can be ended.
  await service.start();
  for (const { name, address } of service.addresses())
    service.log.info("listening", { service: name, on: address });
  service.log.info("started", { ms: Math.round(performance.now() - startedAt) });
  await options.onStarted();
  for (;;) {
    const signal = await signals.next();
    if (signal !== "SIGHUP") return stop(service, signals, options.drainMs, signal);
    await reload(service, options.reread);
  }
}

async function reload(service: ServiceHandle, reread: () => Promise<LoadedConfig>): Promise<void> {
  try {
    await service.reload(await reread());
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    service.log.error("reload refused, the old configuration stays", { reason });
  }
}

async function stop(
  service: ServiceHandle,
  signals: Signals,
  drainMs: number,
  signal: string,
): Promise<ExitCode> {
  service.log.info("stopping", { signal, drain_ms: drainMs });
  const deadline = deadlineAfter(drainMs);
  const second = nextEnd(signals).then(() => "cut" as const);
  try {
    const how = await Promise.race([service.stop(deadline).then(() => "stopped" as const), second]);
    service.log.info(how === "cut" ? "ended at once" : "stopped", {});
    return how === "cut" ? EXIT.failed : EXIT.ok;
  } finally {
    deadline.dispose();
  }
}

/** The next signal that ends the service: SIGHUP does not while it stops. */
async function nextEnd(signals: Signals): Promise<void> {
  while ((await signals.next()) === "SIGHUP");
}
