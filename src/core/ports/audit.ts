/** The audit log: who did what to what, when. Append only. */
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
