/** The hook chain as its callers see it; `hooks/runner.ts` implements it. */
import type { Deadline } from "../deadline.ts";
import type { ClientFacts } from "../envelope.ts";
import type { MessageId } from "../ids.ts";
import type { StagedBlob } from "./blobs.ts";
import type { Stage } from "./directory.ts";
import type { FlagSet } from "./store.ts";
import type { TimelineEvent } from "./timeline.ts";

export type HookPoint = "pre_receive" | "pre_delivery" | "post_receive" | "pre_send";

/** What is known of a message when hooks run: the only source that payloads are built from. */
export interface MessageFacts {
  readonly messageId: MessageId;
  readonly receivedAt: Date;
  readonly sizeBytes: number;
  readonly queueId: string;
  readonly direction: "inbound" | "outbound";
  readonly stage: Stage;
  readonly mailFrom: string;
  /** Recipients in scope of this call, as canonical addresses. */
  readonly recipients: readonly string[];
  readonly account: string | undefined;
  readonly client: ClientFacts;
  readonly authUser: string | undefined;
  /** Raw root header block (all of it, up to the scanner's cap). */
  readonly header: Uint8Array;
  readonly threadKey: string | undefined;
  readonly tags: readonly string[];
  /** `core/mime/packed.ts` bytes. */
  readonly structure: Uint8Array;
  /** The message's bytes; the same object for every call about the same transaction. */
  readonly content: StagedBlob;
  /**
   * All recipients of the transaction in the domain of `recipients`, for hooks with `per_recipient = false`: one call serves
   * them all. Absent: each call stands alone.
   */
  readonly domainRecipients?: readonly string[];
}

export type FinalAction = "deliver" | "reject" | "tempfail" | "hold";

/** The merged outcome of one hook point for one recipient (or transaction). */
export interface HookDecision {
  readonly action: FinalAction;
  /** Set for reject and tempfail. */
  readonly reply: { readonly code: number; readonly enhanced: string; readonly text: string } | undefined;
  readonly folder: string | undefined;
  readonly tags: readonly string[];
  /** Keywords and system flags to set. */
  readonly flags: FlagSet;
  /** Namespaced keys `plugin:<id>:<key>`. */
  readonly metadata: Readonly<Record<string, unknown>>;
  /** Header fields to add, in order; `X-MaiRust-Skipped` marks among them. */
  readonly headers: ReadonlyArray<readonly [name: string, value: string]>;
  readonly events: readonly TimelineEvent[];
  /**
   * Events of calls that the decision did not wait for (shadow). Never rejects, and settles within the hooks' own time-outs; the
   * message's content must stay readable until then.
   */
  readonly late?: Promise<readonly TimelineEvent[]>;
}

export interface HookRunner {
  /** True when at least one enabled hook stands at the point: the caller can skip building facts. */
  has(point: HookPoint): boolean;
  /**
   * Run the chain of one point. Never rejects for what a plugin does: failures go through each hook's policy.
   * The deadline is the whole chain's; hooks cut by it follow their own `on_timeout`.
   */
  run(point: HookPoint, facts: MessageFacts, deadline: Deadline): Promise<HookDecision>;
}
