/** Use case: check everything that is stored. */
import type { ScrubItem, ScrubOptions } from "../core/ports/scrub.ts";
import type { ServicePorts } from "./ports.ts";

/**
 * @returns what is found, as it is found; ends with `done`
 * @throws {MairustError} at the first item `invalid_state` (one runs already); later `draining`, `store_unavailable`
 */
export function scrubStore(ports: ServicePorts, options: ScrubOptions): AsyncIterable<ScrubItem> {
  return ports.scrubber.run(options);
}
