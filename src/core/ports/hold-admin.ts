/**
 * What people see of held mail and do with it. `store/holds-admin.ts` lists and ends holds, `delivery/release.ts` releases and bounces
 * them over `HoldReleases` (`store/holds-release.ts`).
 */
import type { ChangeOptions, Page, PageRequest } from "../admin-ports.ts";
import type { AccountId, BlobDigest, MailboxId, MessageId } from "../ids.ts";
import type { Account } from "./directory.ts";
import type { HeldRecipient, HeldSession } from "./holds.ts";
import type { HookDecision, HookPlace, HookPoint } from "./hooks.ts";
import type { SentCopy } from "./outbox.ts";
import type { Delivery } from "./store.ts";
import type { TimelineEvent } from "./timeline.ts";
import type { CarriedVerdict } from "./verdicts.ts";

/**
 * held ──release──► releasing ──► released; releasing ──failure, lost lease──► held; held ──► rejected | deleted | expired.
 */
export type HoldState = "held" | "releasing" | "released" | "rejected" | "deleted" | "expired";

export interface HeldRecord {
  readonly id: string;
  readonly messageId: MessageId;
  readonly state: HoldState;
  readonly point: HookPoint;
  readonly hook: HookPlace | undefined;
  readonly pluginId: string | undefined;
  readonly reason: string;
  readonly queueId: string;
  readonly mailFrom: string;
  /** Those who still wait for it. */
  readonly recipients: readonly HeldRecipient[];
  /** Of mail held at LMTP. */
  readonly account: string | undefined;
  readonly authUser: string | undefined;
  /** Why the last release did not end it. */
  readonly problem: string | undefined;
  /** "" and 0 when the message is gone. */
  readonly subject: string;
  readonly from: string;
  readonly sizeBytes: number;
  readonly attachments: number;
  readonly createdAt: Date;
  readonly expiresAt: Date;
  readonly endedAt: Date | undefined;
  readonly endedBy: string | undefined;
}

/** The message of a hold, for previews. */
export interface HeldContent {
  readonly digest: BlobDigest;
  readonly sizeBytes: number;
  readonly headerBytes: number;
  /** Undefined: too large, read it from the blob. */
  readonly header: Uint8Array | undefined;
  readonly structure: Uint8Array;
}

export interface HoldFilter {
  readonly account: string | undefined;
  /** Undefined: held and releasing. */
  readonly state: HoldState | "all" | undefined;
  readonly hook: string | undefined;
}

export interface HoldAdmin {
  /** Newest first. */
  list(filter: HoldFilter, page: PageRequest): Promise<Page<HeldRecord>>;
  /** @throws {MairustError} `not_found` */
  get(id: string): Promise<HeldRecord>;
  /** @returns undefined when the message is gone. @throws {MairustError} `not_found` */
  content(id: string): Promise<HeldContent | undefined>;
  /**
   * End a hold; the message goes unless it is stored somewhere.
   * @param by  for the record
   * @throws {MairustError} `not_found`, `invalid_state` (it has ended, or is being released)
   */
  end(
    id: string,
    as: "rejected" | "deleted",
    by: string,
    options: ChangeOptions,
    events?: readonly TimelineEvent[],
  ): Promise<HeldRecord>;
  /** How many are open, for the metric. */
  countOpen(): Promise<number>;
}

/** What a release needs of a hold that it has taken. */
export interface HoldTaken {
  readonly record: HeldRecord;
  /** Proves that this release, and no later one, has the hold. */
  readonly lease: string;
  readonly accountId: AccountId | undefined;
  readonly decision: HookDecision;
  readonly by: HookDecision["by"];
  readonly prefix: Uint8Array;
  readonly session: HeldSession;
  /** All of the message but its targets. */
  readonly message: Omit<Delivery, "targets" | "events" | "followUp">;
}

/** Why, and for whom, a hold goes on. */
export interface HoldKept {
  readonly recipients: readonly HeldRecipient[];
  readonly problem: string;
  /** Another hook holds it from now on. */
  readonly holder?: {
    readonly point: HookPoint;
    readonly by: HookDecision["by"];
    readonly reason: string;
    readonly decision: HookDecision;
  };
  readonly events: readonly TimelineEvent[];
}

/** How a held message is stored for one account. */
export interface ReleasedEntry {
  readonly target: Delivery["targets"][number];
  /** A job that the commit makes, as that of a delivery does, for this account's copy. */
  readonly followUp?: "post_receive";
}

export interface StoredPlace {
  readonly mailboxId: MailboxId;
  readonly mailbox: string;
  readonly uid: number;
}

/** Mail from `send` as it went out. */
export interface SentAs {
  /** That of the hold; or, where hooks changed it, another one with an id of its own. Its blob is durable. */
  readonly message: HoldTaken["message"];
  /** Fields to put on top, with CRLF. */
  readonly top: string;
}

/** The steps of a release, each one commit. */
export interface HoldReleases {
  /**
   * Take a hold: it is `releasing` from now on, until its lease ends.
   * @throws {MairustError} `not_found`, `invalid_state` (ended, or somebody releases it)
   */
  take(id: string): Promise<HoldTaken>;
  /** It stays held. @returns false when the lease was lost: nothing was changed */
  keep(taken: HoldTaken, kept: HoldKept): Promise<boolean>;
  /**
   * Store the message for one account and end the hold, in one commit.
   * @throws {MairustError} `over_quota`, `unknown_account`, `invalid_state` (the lease was lost): nothing was changed
   */
  store(
    taken: HoldTaken,
    entry: ReleasedEntry,
    by: string,
    events: readonly TimelineEvent[],
  ): Promise<StoredPlace>;
  /**
   * End it without storing: the MTA has it for all recipients, or a bounce. @throws {MairustError} `invalid_state`: the lease was lost
   */
  end(
    taken: HoldTaken,
    as: "released" | "rejected",
    by: string,
    events: readonly TimelineEvent[],
  ): Promise<void>;
  /**
   * The copy of mail from `send` in its sender's mailbox, once: of mail that goes in parts the first one. The hold's state stays.
   * @throws {MairustError} `store_unavailable`
   */
  keepSent(taken: HoldTaken, account: Account, sent: SentAs): Promise<SentCopy>;
  /** A one-time id for `Submissions.take`. */
  issueToken(holdId: string, point: HookPoint, verdicts: readonly CarriedVerdict[]): Promise<string>;
}

export interface ReleaseAsked {
  readonly id: string;
  /** Store it for this account, in place of its recipients. */
  readonly to: string | undefined;
  readonly by: Approver;
  readonly dryRun: boolean;
}

/** Who asks. */
export interface Approver {
  /** For the record. */
  readonly name: string;
  /** Login; undefined: whoever administers the host. Outbound mail is never released by its own sender. */
  readonly user: string | undefined;
}

export interface RecipientAnswer {
  readonly recipient: string;
  /** Where it is stored, what the MTA said, or why it stays held. */
  readonly text: string;
}

/** `failed`: it could not be written just now; with the next part of mail that goes in parts it is tried again. */
export type ReleasedCopy = SentCopy | "failed";

export interface ReleaseResult {
  /** As it is now; of a dry run as it was before. */
  readonly hold: HeldRecord;
  readonly released: readonly RecipientAnswer[];
  readonly kept: readonly RecipientAnswer[];
  /** What became of the copy in its sender's mailbox; undefined: none was to be made now. */
  readonly sentCopy: ReleasedCopy | undefined;
}

export interface Releases {
  /**
   * Run the remaining hooks and give the message to its recipients, or to one account. What fails stays held.
   * @throws {MairustError} `not_found`, `invalid_state`, `not_permitted` (the sender asks), `unknown_account`, `over_quota`,
   * `store_unavailable` (the MTA is away, too), `deadline`
   */
  release(asked: ReleaseAsked): Promise<ReleaseResult>;
  /**
   * End the hold; the sender of outbound mail is told by a bounce, nobody is told of inbound mail.
   * @throws {MairustError} `not_found`, `invalid_state`, `store_unavailable` (the bounce was not taken: it stays held)
   */
  reject(id: string, by: Approver, options: ChangeOptions): Promise<HeldRecord>;
}
