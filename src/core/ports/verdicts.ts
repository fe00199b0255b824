/** What the milter decided, kept for LMTP under the id of the trace field. `store/verdicts.ts` implements it. */
import type { HookDecision, HookPoint } from "./hooks.ts";

export interface CarriedVerdict {
  /** As the milter saw the RCPT, raw. */
  readonly recipient: string;
  /** RFC 3461 ORCPT as received, decoded; "" when there was none. */
  readonly orcpt: string;
  readonly decision: HookDecision;
}

export interface VerdictRecord {
  readonly traceId: string;
  readonly queueId: string;
  readonly point: HookPoint;
  readonly mailFrom: string;
  /** The same for all recipients: it serves for any recipient of the queue id. */
  readonly uniform: boolean;
  readonly verdicts: readonly CarriedVerdict[];
  readonly expiresAt: Date;
}

export interface Verdicts {
  /** @throws {MairustError} `store_unavailable` */
  save(record: VerdictRecord): Promise<void>;
  /** @throws {MairustError} `store_unavailable` */
  find(traceId: string): Promise<VerdictRecord | undefined>;
  /** There is a `pre_send` record of this queue id: local submission. @throws {MairustError} `store_unavailable` */
  wasSubmitted(queueId: string): Promise<boolean>;
  /** A carried tempfail was answered: the next try is judged anew. @throws {MairustError} `store_unavailable` */
  forget(traceId: string, recipient: string, orcpt: string): Promise<void>;
}
