/**
 * Held mail of the `send` path that is let go (message path, step 5, later): it gets what it would have got without the hold, the
 * signature of its sender's domain and the copy in its sender's mailbox, with the text and the fields that hooks put in. Mail that came
 * through the MTA has both from its own way.
 *
 * What fails how: a key that cannot be read, or no room for what is sent, leaves the mail held. The copy is made after the MTA took the
 * mail, once; without one the mail is released all the same, because it is out, and its timeline and the answer say so.
 */
import type { Deadline } from "../core/deadline.ts";
import { parseMailAddress } from "../core/envelope.ts";
import { messageOf } from "../core/errors.ts";
import type { MessageId } from "../core/ids.ts";
import type { MimeLimits } from "../core/mime/limits.ts";
import type { BlobStore } from "../core/ports/blobs.ts";
import type { Directory, ResolvedRecipient } from "../core/ports/directory.ts";
import type { HoldReleases, HoldTaken, ReleasedCopy, SentAs } from "../core/ports/hold-admin.ts";
import type { Log } from "../core/ports/log.ts";
import type { DkimSigner } from "../core/ports/sender-auth.ts";
import { within } from "../platform/deadline.ts";
import { MessageReceiver, messageColumns, type ReceivedMessage } from "./received-message.ts";
import type { ReadyMail } from "./release-edits.ts";
import { isOfSend } from "./release-facts.ts";

export interface SentParts {
  readonly holds: HoldReleases;
  readonly blobs: Pick<BlobStore, "get" | "stage">;
  readonly directory: Directory;
  readonly signer: DkimSigner;
  readonly newMessageId: () => MessageId;
  readonly mimeLimits: () => MimeLimits;
  readonly log: Log;
}

export interface SignedSend {
  /** Fields of the signature, with CRLF; "": none. */
  readonly top: string;
  readonly content: AsyncIterable<Uint8Array>;
  /** Undefined: the mail is none of the `send` path, or its sender is gone. */
  readonly copy: { readonly sender: ResolvedRecipient; readonly sent: SentAs } | undefined;
  discard(): Promise<void>;
}

/** @throws {MairustError} `blob_missing`, `blob_damaged`, `disk_full`, `deadline`; the key cannot be used */
export async function signForRelease(
  parts: SentParts,
  taken: HoldTaken,
  mail: ReadyMail,
  deadline: Deadline,
): Promise<SignedSend> {
  const from = parseMailAddress(taken.message.mailFrom);
  const sender = isOfSend(taken) ? await parts.directory.findAccount(from) : undefined;
  if (sender === undefined)
    return { top: "", content: mail.content, copy: undefined, discard: async () => undefined };
  const received = await receive(parts, taken, mail, deadline);
  const discard = () => received.staged.discard();
  try {
    const top = await within(parts.signer.sign(sender.domain.name, received.staged), deadline);
    const message = mail.isEdited ? await changedMessage(taken, received) : taken.message;
    return { top, content: received.staged.read(), copy: { sender, sent: { message, top } }, discard };
  } catch (error) {
    await discard();
    throw error;
  }
}

/** Once, for the signature, the MTA and the copy. */
async function receive(
  { blobs, newMessageId, mimeLimits, log }: SentParts,
  { message: { messageId, receivedAt } }: HoldTaken,
  { content, isEdited }: ReadyMail,
  deadline: Deadline,
): Promise<ReceivedMessage> {
  const id = isEdited ? newMessageId() : messageId;
  const receiver = new MessageReceiver({ blobs, id, receivedAt, limits: mimeLimits(), log });
  try {
    for await (const chunk of content) {
      deadline.signal.throwIfAborted();
      await receiver.write(chunk);
    }
    return await receiver.finish();
  } catch (error) {
    await receiver.abort();
    throw error;
  }
}

/** Durable before it goes out: the copy must not fail for want of room. */
async function changedMessage({ message }: HoldTaken, received: ReceivedMessage): Promise<SentAs["message"]> {
  const { queueId, mailFrom } = message;
  return { ...messageColumns(received, await received.staged.persist()), queueId, mailFrom };
}

/**
 * Never rejects: the mail is out.
 * @returns what became of it; undefined: mail that came through the MTA has none from us
 */
export async function keepSentCopy(
  { holds, log }: SentParts,
  taken: HoldTaken,
  { copy }: SignedSend,
): Promise<ReleasedCopy | undefined> {
  if (copy === undefined) return isOfSend(taken) ? "gone" : undefined;
  if (copy.sender.stage !== "store") return "not_applicable";
  const { sender, sent } = copy;
  const fields = { id: taken.message.messageId, hold: taken.record.id, to: sender.account.address };
  try {
    const state = await holds.keepSent(taken, sender.account, sent);
    if (state !== "stored") log.warn("no copy of sent mail kept", { ...fields, reason: state });
    return state;
  } catch (error) {
    log.warn("no copy of sent mail kept", { ...fields, reason: messageOf(error) });
    return "failed";
  }
}
