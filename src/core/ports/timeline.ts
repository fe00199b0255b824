/** One step in the life of a message. */

/** One step in the life of a message; `kind` is one of {@link EventKind}. */
export interface TimelineEvent {
  readonly at: Date;
  readonly kind: EventKind;
  /** Canonical address the event is about; absent: the whole message. */
  readonly recipient?: string;
  /** JSON data; text from mail is data, shown escaped everywhere. */
  readonly data: Readonly<Record<string, unknown>>;
}

export type EventKind =
  | "received"
  /** What our own checks say of the sender. */
  | "authenticated"
  | "hook_call"
  | "decision"
  | "stored"
  | "duplicate"
  /** The next hop took it; its reply. */
  | "relayed"
  | "refused"
  | "deferred"
  | "added"
  | "job"
  | "held"
  | "released"
  | "hold_ended"
  /** Given to the outbox: it will be sent. */
  | "queued"
  /** Handed to the MTA. */
  | "sent"
  /** Somebody ended what was to be sent. */
  | "canceled"
  /** Something of the stored message was changed: by a job's result, a late answer. */
  | "changed";
