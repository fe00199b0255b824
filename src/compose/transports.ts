/** Which runtime calls a plugin. */
import { MairustError } from "../core/errors.ts";
import type { CreateTransport } from "../core/hook-plugin.ts";
import { createScriptWorker } from "../runtimes/script-worker.ts";

/** @throws {MairustError} `not_built` */
export const createTransport: CreateTransport = spec => {
  if (spec.kind === "script" && spec.mode === "worker") return createScriptWorker(spec);
  const how = spec.kind === "script" ? `script, mode ${spec.mode}` : spec.kind;
  throw new MairustError("not_built", `Cannot call plugin "${spec.pluginId}": transport ${how} is not built`);
};
