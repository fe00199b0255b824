/** The egress ledger: what left for which plugin, written before it leaves. `hooks/ledger-spool.ts` writes, `store/ledger.ts` keeps. */
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
   * @throws {MairustError} `disk_full`, `internal`, `deadline`: the payload must stay
   */
  record(entry: LedgerEntry, deadline: Deadline): Promise<void>;
}
