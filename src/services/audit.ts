/** Use cases on the audit log: changes that are recorded before they are made, and reading what was recorded. */
import { MairustError, messageOf } from "../core/errors.ts";
import type { AuditEntry, AuditFilter, AuditRecord } from "../core/ports/audit.ts";
import { MAX_PAGE_ITEMS } from "../wire/api/codes.ts";
import { type PageAsked, type PageGiven, pageGiven, pageRequest } from "./paging.ts";
import type { ServicePorts } from "./ports.ts";

/** Newest first. @throws {MairustError} `invalid_argument`, `store_unavailable` */
export async function listAudit(
  ports: ServicePorts,
  filter: AuditFilter,
  asked: PageAsked,
): Promise<PageGiven<AuditRecord>> {
  return pageGiven(await ports.auditRecords.list(filter, pageRequest(asked)));
}

/** All of it, newest first, one page in memory at a time. */
export async function* exportAudit(ports: ServicePorts, filter: AuditFilter): AsyncIterable<AuditRecord> {
  let after: string | undefined;
  do {
    const page = { limit: MAX_PAGE_ITEMS, ...(after === undefined ? {} : { after }) };
    const { items, next } = await ports.auditRecords.list(filter, page);
    yield* items;
    after = next;
  } while (after !== undefined);
}

/** Who asks for a change. */
export interface Actor {
  readonly who: string;
}

/**
 * Record a change, then make it. One that fails is recorded a second time, with why: whoever reads the log sees that somebody tried.
 *
 * @param options  a dry run changes nothing and is not recorded
 * @throws {MairustError} `store_unavailable`: nothing was recorded, and nothing changed; or what `change` throws
 */
export async function audited<T>(
  ports: Pick<ServicePorts, "audit" | "log">,
  entry: AuditEntry,
  { dryRun }: { readonly dryRun: boolean },
  change: () => Promise<T>,
): Promise<T> {
  if (dryRun) return change();
  await ports.audit.record(entry);
  try {
    return await change();
  } catch (error) {
    const failed = error instanceof MairustError ? error.code : "internal";
    await ports.audit.record({ ...entry, detail: { ...entry.detail, failed } }).catch((second: unknown) =>
      // That it was tried is recorded; the request fails with the first reason in any case.
      ports.log.warn("audit_outcome_not_recorded", { action: entry.action, reason: messageOf(second) }),
    );
    throw error;
  }
}
