/** Held mail: durable first, then out of the MTA's hands. `store/holds.ts` implements `Holds`, `HoldAdmin` is in `hold-admin.ts`. */
import type { ClientFacts, MailAddress } from "../envelope.ts";
import type { AccountId, MessageId } from "../ids.ts";
import type { HookDecision, HookPoint } from "./hooks.ts";
import type { AuthFacts } from "./sender-auth.ts";
import type { Delivery } from "./store.ts";
import type { TimelineEvent } from "./timeline.ts";

export interface HeldRecipient {
  readonly address: MailAddress;
  /** RFC 3461 ORCPT as received, decoded. */
  readonly orcpt?: string;
  /** RFC 3461 NOTIFY, upper case. */
  readonly notify?: readonly string[];
}

/** What is kept of the session that the message came by, for hooks that run at the release and for its submission. */
export interface HeldSession {
  readonly client?: ClientFacts;
  readonly tls?: boolean;
  /** What our own checks said of the sender. */
  readonly senderAuth?: AuthFacts;
  /** RFC 3461 §4.3–4.4. */
  readonly dsn?: { readonly ret?: "FULL" | "HDRS"; readonly envid?: string };
}

/** For whom a message is held, and why. */
export interface NewHold {
  readonly point: HookPoint;
  /**
   * At the milter all recipients as the MTA knew them; at LMTP the RCPT that meant the account.
   */
  readonly recipients: readonly HeldRecipient[];
  /** At LMTP: whose mail it is. Undefined at the milter. */
  readonly account: { readonly id: AccountId; readonly address: string } | undefined;
  /** Undefined: not a hook of this point held it (a late reject); release then runs no further hooks. */
  readonly by: HookDecision["by"];
  readonly reason: string;
  /** What the chain had decided to change when it was held; release goes on from there. */
  readonly decision: HookDecision;
  /** Submitting user of outbound mail, who may not release it. */
  readonly authUser: string | undefined;
  /**
   * Bytes to put in front when it is stored, as {@link Delivery} targets have them, but without the fields of `decision.headers`:
   * release adds those, with what further hooks add. Empty at the milter.
   */
  readonly prefix: Uint8Array;
  readonly session?: HeldSession;
  readonly events: readonly TimelineEvent[];
}

/** The message; its blob is durable before this is handed over. */
export type HeldMessage = Omit<Delivery, "targets" | "followUp">;

export interface Holds {
  /**
   * Hold a message, in one commit with its redelivery keys (queue id, recipient, digest). Held again: nothing changes.
   *
   * @param holds  of each account at most one; at the milter one for each group of recipients with the same decision
   * @throws {MairustError} `store_unavailable`, `internal`: nothing is held
   */
  hold(message: HeldMessage, holds: readonly NewHold[]): Promise<readonly HoldResult[]>;
}

export interface HoldResult {
  /** "" when the delivery was known already and its hold is no longer on record: it ended long ago, or the message was stored. */
  readonly heldId: string;
  /** It was held before, as this message. */
  readonly already: MessageId | undefined;
}
