/** Use cases on background jobs: list, show, cancel, run again. */
import type { JobFilter, JobRecord } from "../core/ports/jobs.ts";
import { type Actor, audited } from "./audit.ts";
import { type PageAsked, type PageGiven, pageGiven, pageRequest } from "./paging.ts";
import type { ServicePorts } from "./ports.ts";

/** Newest first. */
export async function listJobs(
  ports: ServicePorts,
  filter: JobFilter,
  asked: PageAsked,
): Promise<PageGiven<JobRecord>> {
  return pageGiven(await ports.jobs.list(filter, pageRequest(asked)));
}

/** @throws {MairustError} `not_found` */
export function getJob(ports: ServicePorts, id: number): Promise<JobRecord> {
  return ports.jobs.get(id);
}

/** @throws {MairustError} `not_found`, `invalid_state`, `not_permitted` (a standing job) */
export function cancelJob(ports: ServicePorts, id: number, { who }: Actor): Promise<JobRecord> {
  const entry = { actor: who, action: "job.cancel", object: String(id), detail: {} };
  return audited(ports, entry, { dryRun: false }, () => ports.jobs.cancel(id, who));
}

/** @throws {MairustError} `not_found`, `invalid_state` (neither failed nor canceled) */
export function retryJob(ports: ServicePorts, id: number, { who }: Actor): Promise<JobRecord> {
  const entry = { actor: who, action: "job.retry", object: String(id), detail: {} };
  return audited(ports, entry, { dryRun: false }, () => ports.jobs.retry(id));
}
