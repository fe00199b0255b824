/** `mairust serve`: the service in the foreground, until a signal ends it. */
import { loadConfig } from "../../platform/config/load.ts";
import type { CommandContext } from "../command.ts";
import { EXIT, exitCodeOf } from "../exit-codes.ts";
import { runService } from "../run-service.ts";

/** `--roles` and `--no-plugins` are the highest layer of the configuration: a reload keeps them. */
export async function serve({ options, load, standalone }: CommandContext): Promise<number> {
  const roles = options.text("roles");
  const overrides = [
    ...(load.overrides ?? []),
    ...(roles === undefined ? [] : [`roles=${JSON.stringify(roles.split(",").map(role => role.trim()))}`]),
    ...(options.isOff("plugins") ? ["plugins.enabled=false"] : []),
  ];
  const reread = () => loadConfig({ ...load, overrides });
  const loaded = await reread();
  const service = await standalone.compose(loaded, { reread });
  const signals = standalone.signals();
  try {
    return await runService(service, signals, {
      reread,
      drainMs: loaded.config.drain_timeout_s * 1000,
      onStarted: () => undefined,
    });
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    service.log.error("service failed", { reason: error instanceof Error ? error.message : String(error) });
    const exitCode = exitCodeOf(code);
    if (exitCode === EXIT.bug) throw error;
    return exitCode;
  } finally {
    signals.release();
  }
}
