/** The egress ledger: what left for which plugin, written before it leaves. `hooks/ledger-spool.ts` writes, `store/ledger.ts` keeps. */
import type { Page, PageRequest } from "../admin-ports.ts";
import type { Deadline } from "../deadline.ts";
import type { HookPoint } from "./hooks.ts";

export interface LedgerEntry {
  readonly at: Date;
  readonly callId: string;
  readonly messageId: string;
  readonly queueId: string;
  readonly point: HookPoint;
  readonly hook: string;
  readonly pluginId: string;
  readonly pluginVersion: string;
  readonly mode: "shadow" | "enforce";
  readonly attempt: number;
  /** Names of what the payload carries beyond the envelope of every call. */
  readonly fields: readonly string[];
  /** The grants that let them out, as `[plugin."…".grants]` writes them. */
  readonly grants: Readonly<Record<string, unknown>>;
  readonly bytes: number;
  /** Lower-case hex SHA-256 of the payload. */
  readonly digest: string;
  readonly destination: string;
  /** How many recipients the call was for. */
  readonly recipients: number;
}

export interface Ledger {
  /**
   * Resolves when the entry is on disk: only then may the payload leave.
   * @throws {MairustError} `disk_full`, `internal`, `too_many`, `deadline`: the payload must stay
   */
  record(entry: LedgerEntry, deadline: Deadline): Promise<void>;
}

/** What to look for; all that is set must hold. */
export interface LedgerFilter {
  readonly plugin?: string;
  readonly hook?: string;
  readonly message?: string;
  readonly queueId?: string;
  /** From this time on. */
  readonly since?: Date;
  /** Before this time. */
  readonly until?: Date;
}

/** The ledger as people read it, newest first. */
export interface LedgerRecords {
  /** What this node has written and not loaded is loaded first, if that works at once. @throws {MairustError} `store_unavailable` */
  list(filter: LedgerFilter, page: PageRequest): Promise<Page<LedgerEntry>>;
}
