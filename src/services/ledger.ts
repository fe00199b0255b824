/** Use case: what left for which plugin. */
import type { LedgerEntry, LedgerFilter } from "../core/ports/ledger.ts";
import { type PageAsked, type PageGiven, pageGiven, pageRequest } from "./paging.ts";
import type { ServicePorts } from "./ports.ts";

/** Newest first. @throws {MairustError} `invalid_argument`, `store_unavailable` */
export async function listLedger(
  ports: ServicePorts,
  filter: LedgerFilter,
  asked: PageAsked,
): Promise<PageGiven<LedgerEntry>> {
  return pageGiven(await ports.ledger.list(filter, pageRequest(asked)));
}
