/** Use cases on relayed mail as a whole: it is held while the server that takes it reads its settings anew. This process's relays alone. */
import { deadlineAfter } from "../platform/deadline.ts";
import type { ServicePorts } from "./ports.ts";

type Ports = Pick<ServicePorts, "nextHops" | "log">;

/** @returns false: something is under way still, and will be while the pause lasts */
export async function pauseRelays({ nextHops, log }: Ports, forMs: number, by: string): Promise<boolean> {
  const deadline = deadlineAfter(forMs / 2);
  try {
    const isQuiet = await nextHops.pause(forMs, deadline);
    log.info("relays paused", { ms: forMs, quiet: isQuiet, by });
    return isQuiet;
  } finally {
    deadline.dispose();
  }
}

export function resumeRelays({ nextHops, log }: Ports, by: string): void {
  nextHops.resume();
  log.info("relays go on", { by });
}
