/** The audit log: who did what to what, when. Append only. `store/audit.ts` implements it. */
import type { Page, PageRequest } from "../admin-ports.ts";

export interface AuditEntry {
  /** Who: `local:<name>` by the UNIX socket, `rule:<name>` for what the service did by itself. */
  readonly actor: string;
  /** `<object kind>.<verb>`: `plugin.approve`, `bypass.on`. */
  readonly action: string;
  /** Id or name of what it was done to. */
  readonly object: string;
  /** No secret, no text of mail. */
  readonly detail: Readonly<Record<string, unknown>>;
}

export interface Audit {
  /** Durable when it resolves: recorded before the change it is about takes effect. @throws {MairustError} `store_unavailable` */
  record(entry: AuditEntry): Promise<void>;
}

export interface AuditRecord extends AuditEntry {
  /** Rises with time; texts hold it exactly. */
  readonly id: string;
  readonly at: Date;
}

/** What to look for; all that is set must hold. */
export interface AuditFilter {
  readonly actor?: string;
  /** `plugin.approve`, or `plugin.` for everything that was done to plugins. */
  readonly action?: string;
  readonly object?: string;
  /** From this time on. */
  readonly since?: Date;
  /** Before this time. */
  readonly until?: Date;
}

/** The audit log as people read it, newest first. */
export interface AuditRecords {
  /** @throws {MairustError} `invalid_argument`: the cursor; `store_unavailable` */
  list(filter: AuditFilter, page: PageRequest): Promise<Page<AuditRecord>>;
}
