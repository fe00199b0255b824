/** Who is told of held mail: `delivery/hold-notices.ts` decides and writes, `store/hold-notices.ts` remembers. */
import type { HeldRecord } from "./hold-admin.ts";

/** `approver`: is asked to decide; `owner`: whose mail it is. */
export type NoticeRole = "owner" | "approver";

/** A hold that nobody was told of. */
export interface DueHold {
  readonly record: HeldRecord;
  /** The message's own header; undefined: too large to be kept. */
  readonly header: Uint8Array | undefined;
}

export interface NoticeReader {
  /** Canonical. */
  readonly address: string;
  readonly role: NoticeRole;
}

export interface NoticeEntry {
  readonly kind: "held" | "expired";
  readonly role: NoticeRole;
  readonly record: HeldRecord;
}

/** One mail to one address. */
export interface HoldDigest {
  readonly id: string;
  readonly address: string;
  /** Newest first, as many as were asked for. */
  readonly entries: readonly NoticeEntry[];
  /** Of all that it tells of. */
  readonly total: number;
}

export interface HoldNotices {
  /** Open holds that nobody has looked at, oldest first. */
  due(limit: number): Promise<readonly DueHold[]>;
  /** Looked at: these are to be told, nobody else. Looked at before, nothing changes. */
  assign(holds: ReadonlyMap<string, readonly NoticeReader[]>): Promise<void>;
  /**
   * Digests that are to be queued: new ones for addresses that had none in the last hour, and those of before that were not queued.
   * @param limits  digests, and entries of each
   */
  digests(limits: { readonly digests: number; readonly entries: number }): Promise<readonly HoldDigest[]>;
  /** The outbox has it. */
  queued(id: string): Promise<void>;
}
