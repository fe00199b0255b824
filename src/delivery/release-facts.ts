/** Pure steps of a release: what the remaining hooks are told of a held message, and how it is stored for one account. */
import { parseMailAddress } from "../core/envelope.ts";
import { HEADER_KEEP_BYTES } from "../core/mime/limits.ts";
import type { BlobStore } from "../core/ports/blobs.ts";
import type { ResolvedRecipient } from "../core/ports/directory.ts";
import type { HoldTaken } from "../core/ports/hold-admin.ts";
import type { HookDecision, HookPoint, MessageContent, MessageFacts } from "../core/ports/hooks.ts";
import type { DeliveryTarget } from "../core/ports/store.ts";
import { headerFieldLines, rfc5322Date } from "./prefix.ts";

/** The message's bytes out of the blob store; one object for all calls of one release. */
export function heldContent(blobs: Pick<BlobStore, "get">, { message }: HoldTaken): MessageContent {
  const { digest, sizeBytes } = message.blob;
  return { digest, sizeBytes, read: range => blobs.get(digest, range) };
}

/** Held by `send`: no MTA had it yet, and what is sent of it is made here. */
export const isOfSend = ({ record, message }: HoldTaken): boolean =>
  record.point === "pre_send" && message.queueId === "";

/** The root header block, as far as it is kept while mail comes in. @throws {MairustError} `blob_missing`, `blob_damaged` */
export async function heldHeader(content: MessageContent, { message }: HoldTaken): Promise<Uint8Array> {
  if (message.header !== undefined) return message.header;
  const chunks: Uint8Array[] = [];
  const end = Math.min(message.headerBytes, HEADER_KEEP_BYTES);
  for await (const chunk of content.read({ start: 0, end })) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export interface FactsParts {
  readonly content: MessageContent;
  readonly header: Uint8Array;
  /** Canonical addresses. */
  readonly recipients: readonly string[];
  /** For whom it is to be stored. */
  readonly target: ResolvedRecipient | undefined;
  readonly tags: readonly string[];
}

/**
 * As when it came, as far as that was kept. Nobody of them is only observed: a hook holds a message only where it is enforced for all
 * of its recipients.
 */
export function heldFacts(taken: HoldTaken, point: HookPoint, parts: FactsParts): MessageFacts {
  const { message, record, session } = taken;
  const { target } = parts;
  return {
    messageId: message.messageId,
    receivedAt: message.receivedAt,
    sizeBytes: message.blob.sizeBytes,
    queueId: message.queueId,
    direction: point === "pre_send" ? "outbound" : "inbound",
    stage: target?.stage ?? "store",
    mailFrom: message.mailFrom,
    recipients: parts.recipients,
    observed: new Set(),
    account: target?.account.address,
    client: session.client ?? (message.queueId === "" ? {} : { ident: message.queueId }),
    ...(session.senderAuth === undefined ? {} : { senderAuth: session.senderAuth }),
    authUser: record.authUser,
    tls: session.tls,
    header: parts.header,
    threadKey: message.threadKey,
    tags: parts.tags,
    structure: message.structure,
    content: parts.content,
  };
}

/** As LMTP would have stored it. An account that it was not held for gets a prefix of its own. */
export function releaseTarget(
  taken: HoldTaken,
  { account }: ResolvedRecipient,
  decision: HookDecision,
  hostname: string,
  now: Date,
): DeliveryTarget {
  const isOwn = taken.accountId === account.id;
  const prefix = isOwn ? Buffer.from(taken.prefix) : trace(taken, account.address, hostname, now);
  return {
    accountId: account.id,
    recipient: account.address,
    mailbox: decision.folder ?? "INBOX",
    ifMissing: "create",
    flags: {
      system: decision.flags.system,
      keywords: [...new Set([...decision.tags, ...decision.flags.keywords])].sort(),
    },
    // When it came: a mailbox sorts by it, and it may have been held for weeks.
    internalDate: taken.message.receivedAt,
    prefix: Buffer.concat([prefix, Buffer.from(headerFieldLines(decision.headers), "utf8")]),
    metadata: decision.metadata,
    // The hold's state says whether it was released, for longer than a redelivery key lives.
    exactlyOnce: false,
    ...(decision.wishes === undefined ? {} : { wishes: decision.wishes }),
    events: [],
  };
}

/** RFC 5321 §4.4: what a final delivery adds. */
function trace({ message }: HoldTaken, address: string, hostname: string, now: Date): Buffer {
  const sender = parseMailAddress(message.mailFrom).raw.replace(/[\x00-\x1f\x7f]/gu, " ");
  return Buffer.from(
    [
      `Return-Path: <${sender}>`,
      `Delivered-To: ${address}`,
      `Received: by ${hostname} (held mail) id ${message.messageId}`,
      `\tfor <${address}>; ${rfc5322Date(now)}`,
      "",
    ].join("\r\n"),
    "utf8",
  );
}
