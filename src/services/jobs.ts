/** Use cases on background jobs: list, show, cancel, run again. */
import type { JobFilter, JobRecord } from "../core/ports/jobs.ts";
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
export function cancelJob(ports: ServicePorts, id: number): Promise<JobRecord> {
  return ports.jobs.cancel(id);
}

/** @throws {MairustError} `not_found`, `invalid_state` (neither failed nor canceled) */
export function retryJob(ports: ServicePorts, id: number): Promise<JobRecord> {
  return ports.jobs.retry(id);
}
