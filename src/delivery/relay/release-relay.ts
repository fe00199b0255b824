/**
 * Held mail that is let go to an account in a relay stage (message path, step 6, later): handed to the next hop, with what LMTP would
 * have put on top. As by SMTP at least once: a process that ends between the next hop's 250 and the commit leaves the hold.
 */
import type { Deadline } from "../../core/deadline.ts";
import { type Envelope, parseMailAddress } from "../../core/envelope.ts";
import { MairustError } from "../../core/errors.ts";
import { selectHeaderFields } from "../../core/mime/header.ts";
import type { BlobStore } from "../../core/ports/blobs.ts";
import type { ResolvedRecipient } from "../../core/ports/directory.ts";
import type { HoldTaken } from "../../core/ports/hold-admin.ts";
import type { HookDecision } from "../../core/ports/hooks.ts";
import type { NextHops } from "../../core/ports/relay.ts";
import { heldContent, heldHeader } from "../release-facts.ts";
import { addedTop, relayedContent } from "./relayed-bytes.ts";

/** Of the prefix: the next hop's own. */
const FINAL_FIELDS = ["return-path", "delivered-to"];

export interface ReleaseRelay {
  readonly hops: NextHops;
  readonly folderSecret: string;
}

export interface RelayedReply {
  /** For people. */
  readonly text: string;
  /** As of `RelayReply`. */
  readonly tellsSuccess: boolean;
}

export interface RelayedRelease {
  readonly taken: HoldTaken;
  readonly target: ResolvedRecipient;
  readonly decision: HookDecision;
  readonly hostname: string;
  readonly now: Date;
}

/**
 * @returns the next hop's reply
 * @throws {MairustError} `not_permitted`: it refused; `config_invalid`: there is none; and what `NextHops.deliver` throws
 */
export async function relayReleased(
  { hops, folderSecret }: ReleaseRelay,
  blobs: Pick<BlobStore, "get">,
  release: RelayedRelease,
  deadline: Deadline,
): Promise<RelayedReply> {
  const { taken, target } = release;
  const server = target.domain.relayLmtp;
  if (server === undefined) {
    const text = `domain "${target.domain.name}" is in stage ${target.stage} and has no relay.lmtp`;
    throw new MairustError("config_invalid", `Cannot release: ${text}`, { publicText: text });
  }
  const isUnchanged = target.stage === "observe";
  const content = heldContent({ get: blobs.get.bind(blobs) }, taken);
  const bytes = relayedContent(await heldHeader(content, taken), content, isUnchanged);
  const [reply] = await hops.deliver(
    server,
    {
      mailFrom: parseMailAddress(taken.message.mailFrom),
      recipients: [recipientOf(taken, target)],
      dsn: taken.session.dsn ?? {},
      client: taken.session.client ?? {},
      body8bit: true,
      smtpUtf8: false,
      top: Buffer.from(isUnchanged ? "" : topOf(release, folderSecret), "utf8"),
      sizeBytes: bytes.sizeBytes,
      content: () => bytes.content(),
    },
    deadline,
  );
  const text = reply === undefined ? "no answer" : `${reply.code} ${reply.enhanced} ${reply.text}`;
  if (reply !== undefined && reply.code < 300) return { text, tellsSuccess: reply.passesDsn === true };
  throw new MairustError(
    "not_permitted",
    `Cannot release to "${target.account.address}": ${server} says ${text}`,
    {
      publicText:
        reply === undefined
          ? "the next hop did not answer: it may have the mail"
          : `the next hop says ${text}`,
    },
  );
}

/** For its own account as the MTA gave it; another one gets it by its address. */
function recipientOf({ record, accountId }: HoldTaken, { account }: ResolvedRecipient) {
  const [first] = record.recipients;
  const isOwn = record.account === account.address || accountId === account.id;
  return isOwn && first !== undefined ? first : { address: parseMailAddress(account.address) };
}

/** What was to go on top when it was held, without the fields that a mailbox adds. */
function topOf({ taken, target, decision, hostname, now }: RelayedRelease, folderSecret: string): string {
  const envelope: Pick<Envelope, "peer" | "peerHelo" | "smtpUtf8"> = {
    peer: "held mail",
    peerHelo: hostname,
    smtpUtf8: false,
  };
  const isOwn = taken.record.account === target.account.address;
  const before = isOwn
    ? Buffer.from(selectHeaderFields(taken.prefix, FINAL_FIELDS, true)).toString("utf8")
    : "";
  const message = { id: taken.message.messageId, receivedAt: now };
  const { headers, folder } = decision;
  return addedTop({ envelope, hostname, message, headers, folder, folderSecret }) + before;
}
