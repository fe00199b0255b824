/** The hook chain as its callers see it; `hooks/runner.ts` implements it. */
import type { ProvenanceEntry } from "../../wire/hook-payload.ts";
import type { Deadline } from "../deadline.ts";
import type { ClientFacts } from "../envelope.ts";
import type { BlobDigest, MessageId } from "../ids.ts";
import type { ByteRange } from "./blobs.ts";
import type { Stage } from "./directory.ts";
import type { HookWish } from "./hook-wish.ts";
import type { AuthFacts } from "./sender-auth.ts";
import type { FlagSet } from "./store.ts";
import type { TimelineEvent } from "./timeline.ts";

export type HookPoint = "pre_receive" | "pre_delivery" | "post_receive" | "pre_send";

/** The bytes of a message, wherever they are: in a spool file, in the blob store. */
export interface MessageContent {
  /** "" when the bytes are not all here: the MTA was asked for the header only. */
  readonly digest: BlobDigest | "";
  readonly sizeBytes: number;
  /** @throws {MairustError} `blob_missing`, `blob_damaged` (also while iterating) */
  read(range?: ByteRange): AsyncIterable<Uint8Array>;
}

/** What is known of a message when hooks run: the only source that payloads are built from. */
export interface MessageFacts {
  readonly messageId: MessageId;
  readonly receivedAt: Date;
  readonly sizeBytes: number;
  readonly queueId: string;
  readonly direction: "inbound" | "outbound";
  readonly stage: Stage;
  readonly mailFrom: string;
  /** Recipients in scope of this call, as canonical addresses; at least one. */
  readonly recipients: readonly string[];
  /** Those of them for whom hooks are only recorded, whatever their mode: stage `observe`, and domains that are not ours. */
  readonly observed: ReadonlySet<string>;
  readonly account: string | undefined;
  readonly client: ClientFacts;
  readonly authUser: string | undefined;
  /** What our own checks said of the sender; absent: nothing was checked. */
  readonly senderAuth?: AuthFacts;
  /** The client came by TLS; undefined: not known. */
  readonly tls: boolean | undefined;
  /** Raw root header block (all of it, up to the scanner's cap). */
  readonly header: Uint8Array;
  readonly threadKey: string | undefined;
  readonly tags: readonly string[];
  /** `core/mime/packed.ts` bytes. */
  readonly structure: Uint8Array;
  /** The message's bytes; the same object for every call about the same transaction. */
  readonly content: MessageContent;
  /**
   * All recipients of the transaction in the domain of `recipients`, for hooks with `per_recipient = false`: one call serves
   * them all. Absent: each call stands alone.
   */
  readonly domainRecipients?: readonly string[];
  /** `recipients` are all that the MTA has for this message: so it is at the milter, and nowhere else. */
  readonly everyone?: boolean;
}

export type FinalAction = "deliver" | "reject" | "tempfail" | "hold";

/** The place of a hook in its chain. Order: `priority` ascending, then `name` by code point. */
export interface HookPlace {
  readonly priority: number;
  readonly name: string;
}

/** The merged outcome of one hook point for one recipient. */
export interface HookDecision {
  readonly action: FinalAction;
  /** Whose verdict or failure policy made the action; undefined: `deliver`. */
  readonly by: (HookPlace & { readonly pluginId: string; readonly reason: string | undefined }) | undefined;
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
  /** `pre_send`: text to append, in order. */
  readonly appendText: ReadonlyArray<{ readonly plain: string; readonly html: string }>;
  /** `pre_send`: blind recipients to add. */
  readonly addBcc: readonly string[];
  /** Who changed what, in order: for hooks at the next point. */
  readonly provenance: readonly ProvenanceEntry[];
  /** Whose wishes the copy's changes are, in order; absent: nobody's. */
  readonly wishes?: readonly HookWish[];
}

/** What one run of a chain came to. */
export interface HookDecisions {
  /** By recipient: each of `MessageFacts.recipients` has one. */
  readonly each: ReadonlyMap<string, HookDecision>;
  /** One for each call, in order; calls for one recipient carry it. */
  readonly events: readonly TimelineEvent[];
  /**
   * Events of calls that the decision did not wait for (shadow, and late ones). Never rejects, and settles within the hooks' own
   * time-outs, `late_timeout_ms` among them; the message's content must stay readable until then.
   */
  readonly late?: Promise<readonly TimelineEvent[]>;
  /**
   * At `post_receive`: enforced hooks whose call failed. No policy applies there, the caller tries again. Absent elsewhere, and when
   * none failed.
   */
  readonly failed?: ReadonlyArray<{ readonly hook: string; readonly problem: string }>;
}

/** What the enabled hooks of a point need to be shown of a message. */
export interface PointNeeds {
  /** A grant reads header fields, or a filter does. */
  readonly headers: boolean;
  /** A grant reads the body or attachments, or a filter the size. */
  readonly body: boolean;
  /** A hook may hold the message, by its verdict or by its failure policy: all of it must be here then. */
  readonly hold: boolean;
  /** `pre_send`: a hook may append text: all of the message must be here then, and its body may be replaced. */
  readonly appendText?: boolean;
  /** `pre_send`: a hook may add blind recipients. */
  readonly addRecipients?: boolean;
}

export interface ChainOptions {
  /**
   * Only hooks behind this place: what a held message still has before it. Hooks that run together with the one at this place are
   * not behind it.
   */
  readonly after?: HookPlace;
  /** What hooks of an earlier point did. */
  readonly provenance?: readonly ProvenanceEntry[];
  /** Only the hooks of these names: those that failed when the chain ran before. */
  readonly only?: ReadonlySet<string>;
  /** Which try this is, from 1: what is tried again counts. */
  readonly attempt?: number;
}

export interface HookRunner {
  /** True when at least one enabled hook stands at the point: the caller can skip building facts. */
  has(point: HookPoint): boolean;
  needs(point: HookPoint): PointNeeds;
  /**
   * Run the chain of one point. A hook is called once, for all recipients that its filter lets through (at `pre_delivery` the
   * caller runs a chain for each account); what comes of it is merged for each recipient. Never rejects for what a plugin does:
   * failures go through each hook's policy. The deadline is the whole chain's; hooks cut by it follow their own `on_timeout`.
   */
  run(
    point: HookPoint,
    facts: MessageFacts,
    deadline: Deadline,
    options?: ChainOptions,
  ): Promise<HookDecisions>;
}

/**
 * What a plugin wants changed of a message that is stored, or will be: the checked answer of a `post_receive` hook, or one that came
 * after its time-out (`late = "apply"`).
 */
export interface MessageChanges {
  readonly tagsAdd: readonly string[];
  readonly tagsRemove: readonly string[];
  /** OR of FLAG_ bits to set. */
  readonly systemFlags: number;
  readonly keywords: readonly string[];
  readonly folder: string | undefined;
  readonly metadata: Readonly<Record<string, unknown>>;
  /** What only undoing does. */
  readonly undo?: {
    /** OR of FLAG_ bits. */
    readonly flagsClear: number;
    /** What is to stand there again; null: nothing. */
    readonly metadata: Readonly<Record<string, unknown>>;
    /** `folder` moves only copies that are here. */
    readonly onlyIn: string | undefined;
  };
}

/** A late answer, to be applied when the message is stored. */
export interface LateAnswer {
  readonly point: HookPoint;
  readonly hook: string;
  readonly pluginId: string;
  readonly pluginVersion: string;
  readonly callId: string;
  /** Of {@link MessageFacts}: at the milter the trace id, which no stored message has; then the queue id leads to it. */
  readonly messageId: MessageId;
  readonly queueId: string;
  readonly recipients: readonly string[];
  /**
   * The call was for every recipient of facts that have `everyone`, and none of them is only observed. Then each copy that comes under
   * the queue id was in scope, whatever address aliases of the MTA gave it.
   */
  readonly everyone?: boolean;
  readonly changes: MessageChanges;
}

/** Takes late answers; after it resolves they are durable and will be applied. @throws {MairustError} `store_unavailable` */
export type LateAnswers = (answer: LateAnswer) => Promise<void>;
