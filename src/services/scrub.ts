/** Use case: does everything that is stored agree? */
import type { ScrubStep } from "../core/ports/scrub.ts";
import type { ServicePorts } from "./ports.ts";

/** @throws {MairustError} `too_many` (one runs already), `store_unavailable` */
export function scrub(
  ports: ServicePorts,
  options: { readonly quick: boolean; readonly signal: AbortSignal },
): AsyncIterable<ScrubStep> {
  return ports.scrub.run(options);
}
