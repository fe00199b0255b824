/** What an administrator has to be told: by log and metric, and from there by whatever watches them. */
export interface AdminAlert {
  readonly kind: "demotion" | "circuit" | "crash_rule" | "cap" | "budget" | "revocation" | "verification";
  /** One sentence. */
  readonly text: string;
  readonly plugin?: string;
  readonly hook?: string;
}

export interface AdminAlerts {
  /** Never throws. The same alert again within a minute is counted and not logged again. */
  tell(alert: AdminAlert): void;
}
