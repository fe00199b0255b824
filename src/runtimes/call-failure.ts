/** The one error of a plugin call that failed. Its reason is kept apart, so that it can go into another text without its preamble. */
import { MairustError, messageOf, PluginError } from "../core/errors.ts";

/** `plugin_failed`. @param why  after a colon: "it has ended" */
export function callFailure(pluginId: string, why: string): PluginError {
  return new PluginError("plugin_failed", `Cannot call plugin "${pluginId}": ${why}`, { context: { why } });
}

/** The reason alone; of any other error its message. */
export function reasonOf(error: unknown): string {
  const why = error instanceof MairustError ? error.context.why : undefined;
  return typeof why === "string" ? why : messageOf(error);
}
