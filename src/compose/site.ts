/** The engine of `setup` and `doctor`, as `main.ts` hands it to the commands; what only `store/` can ask is put in here. */
import { deadlineAfter } from "../platform/deadline.ts";
import { createLog } from "../platform/log.ts";
import type { DatabaseFacts } from "../site/checks/host-checks.ts";
import { siteEngines as enginesWith } from "../site/engines.ts";
import { openDatabase } from "../store/db.ts";
import { readDurability } from "../store/durability.ts";
import type { SiteEngines } from "../wire/site-calls.ts";

/** For closing one idle connection. */
const CLOSE_MS = 5_000;

export const siteEngines: SiteEngines = enginesWith({ askDatabase });

async function askDatabase(url: string): Promise<DatabaseFacts> {
  // Its findings say what is wrong; a log beside them would say it twice.
  const log = createLog({ level: "error", format: "json", hash_addresses: false, destination: 2 });
  const db = await openDatabase({ target: url, log, pool: 1 });
  const deadline = deadlineAfter(CLOSE_MS);
  try {
    const asked = Date.now();
    const facts = await readDurability(db);
    // The answer took a while: what is between is no skew.
    return { ...facts, skewMs: facts.nowMs - (asked + Date.now()) / 2 };
  } finally {
    await db.close(deadline);
    deadline.dispose();
  }
}
